// @ts-check
//
// The lock of set-up: one at a time, and nobody waits for those who are gone. And what it does about a language
// that only an example needs.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
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

test("a language that an example needs is installed, or it is said that the example isn't run", () => {
  const [bin, asked] = [mkdtempSync(join(home, "bin-")), join(home, "asked")];
  const apt = join(bin, "apt-get");
  const module = new URL("../../scripts/setup/runtimes.mjs", import.meta.url);
  const script = `(await import("${module}")).ensureRuntimes(["php", "go"])`;
  const setUp = (/** @type {number} */ status) => {
    writeFileSync(apt, `#!/bin/sh\necho "$@" >> "${asked}"\nexit ${status}\n`);
    chmodSync(apt, 0o755);
    const env = { PATH: bin };
    const child = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      env,
      encoding: "utf8",
    });
    assert.deepEqual([child.status, child.stderr], [0, ""]);
    return child.stdout;
  };
  if (process.getuid?.() !== 0) {
    assert.match(setUp(0), /php, go, .* skipped until php-cli, golang-go is installed/);
    assert.ok(!existsSync(asked));
    return;
  }
  assert.match(setUp(0), /php, go, .* Installing php-cli and golang-go with apt-get/);
  assert.match(readFileSync(asked, "utf8"), /install -y .* php-cli golang-go\n$/);
  assert.match(setUp(100), /could not install php-cli and golang-go.*\n.* are skipped/);
});

test("a lock is free again after work that fails", async () => {
  await assert.rejects(
    withLock(() => Promise.reject(new Error("no room"))),
    /no room/,
  );
  assert.ok(!existsSync(LOCK));
});
