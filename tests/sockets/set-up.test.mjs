// @ts-check
//
// The lock of set-up: one at a time, and nobody waits for those who are gone.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, test } from "node:test";
import { sleep } from "../support/peer.mjs";

const home = mkdtempSync(join(tmpdir(), "whoshere-set-up-"));
after(() => rmSync(home, { recursive: true, force: true }));
// The folder is chosen when the module is loaded.
const { XDG_CACHE_HOME } = process.env;
process.env.XDG_CACHE_HOME = home;
const { cacheDir, withLock } = await import("../../scripts/setup/cache.mjs");
if (XDG_CACHE_HOME === undefined) delete process.env.XDG_CACHE_HOME;
else process.env.XDG_CACHE_HOME = XDG_CACHE_HOME;

const LOCK = join(home, "whoshere/lock");
const MINUTE_MS = 60_000;

afterEach(() => rmSync(LOCK, { force: true }));

/**
 * @param {string} owner
 * @param {number} ageMs
 */
function leaveLock(owner, ageMs) {
  assert.equal(cacheDir, join(home, "whoshere"), "and nobody else's");
  mkdirSync(cacheDir, { recursive: true });
  writeFileSync(LOCK, owner);
  const at = new Date(Date.now() - ageMs);
  utimesSync(LOCK, at, at);
}

/** The number of a process that has ended. */
function nobody() {
  return String(spawnSync(process.execPath, ["-e", ""]).pid);
}

for (const [what, owner, ageMs] of /** @type {const} */ ([
  ["a process that has ended", nobody, 0],
  ["a number that something else has now", () => String(process.pid), 61 * MINUTE_MS],
  ["a disk that was full", () => "", 11_000],
])) {
  test(`a lock is given up that was left by ${what}`, async () => {
    leaveLock(owner(), ageMs);
    const owned = await withLock(async () => readFileSync(LOCK, "utf8"));
    assert.equal(owned, String(process.pid));
    assert.ok(!existsSync(LOCK), "and is free afterwards");
  });
}

for (const [what, owner, ageMs] of /** @type {const} */ ([
  ["a process that runs", () => String(process.pid), 30 * MINUTE_MS],
  ["one that is about to write its number", () => "", -MINUTE_MS],
])) {
  test(`a lock is waited for that is held by ${what}`, async () => {
    leaveLock(owner(), ageMs);
    let isOver = false;
    const work = withLock(async () => {
      isOver = true;
    });
    await sleep(1500);
    assert.ok(!isOver);
    rmSync(LOCK);
    await work;
    assert.ok(isOver);
  });
}

test("a lock is free again after work that fails", async () => {
  await assert.rejects(
    withLock(() => Promise.reject(new Error("no room"))),
    /no room/,
  );
  assert.ok(!existsSync(LOCK));
});
