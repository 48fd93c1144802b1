// @ts-check
//
// What the relay's program does besides serving.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { Peer } from "../support/peer.mjs";
import { BINARY, SECRET, startRelay } from "../support/relay.mjs";

/** @type {import("../support/relay.mjs").Relay | undefined} */
let relay;

afterEach(() => relay?.stop("SIGKILL"));

test("a check says what a relay would do and where each flag is from, and shows no secret", () => {
  const { status, stdout, stderr } = run(["check", "--grace", "1m"], { WHOSHERE_SECRET: SECRET });
  assert.equal(stderr, "");
  assert.equal(status, 0);
  assert.match(stdout, /^grace +1m +--grace$/m);
  assert.match(stdout, /^heartbeat +10s +default$/m);
  assert.match(stdout, /^secret +\(not shown\) +WHOSHERE_SECRET$/m);
  assert.match(stdout, /would start\.$/m);
  assert.ok(!stdout.includes(SECRET));
});

test("a check fails with the code that the relay would end with", () => {
  for (const [args, code] of /** @type {const} */ ([
    [[], "secret_missing"],
    [["--secret", "short"], "secret_too_short"],
    [["--secret", SECRET, "--data", "/nowhere"], "no_folder"],
    [["--dev", "--listen", "0.0.0.0:1"], "dev_not_loopback"],
  ])) {
    const { status, stderr } = run(["check", ...args]);
    assert.equal(status, 1, code);
    assert.match(stderr, new RegExp(`^whoshere-relay: ${code}: `));
  }
  assert.equal(run(["check", "--grace", "tomorrow"]).status, 2);
});

test("a check of a running relay's flags changes nothing of what it keeps", async (t) => {
  const data = mkdtempSync(join(tmpdir(), "whoshere-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const args = ["--data", data, "--last-seen", "document:*"];
  relay = await startRelay({ args });
  await (await Peer.join(relay, "alice")).close(1001);
  for (const flags of [args, ["--data", data]]) {
    assert.equal(run(["check", "--secret", SECRET, ...flags]).status, 0, String(flags));
  }
  await relay.stop();
  relay = await startRelay({ args });
  const bob = await Peer.join(relay, "bob");
  bob.send({ last_seen: { key: "document:1" } });
  const { seen } = await bob.next("last_seen");
  assert.ok(seen.some((/** @type {any} */ it) => it.user.id === "alice"));
});

test("a token can be made for a relay, and does what it says", async () => {
  relay = await startRelay();
  const env = { WHOSHERE_SECRET: SECRET };
  const args = ["--sub", "alice", "--name", "Alice", "--keys", "document:*", "--expires-in", "5m"];
  const { stdout, status } = run(["token", ...args, "--can", "join,list"], env);
  assert.equal(status, 0);
  const peer = await Peer.open(relay);
  await peer.hello(stdout.trim());
  const { presences } = await peer.join("document:1");
  assert.deepEqual(
    presences.map((/** @type {any} */ it) => [it.user.id, it.user.name]),
    [["alice", "Alice"]],
  );
  peer.send({ join: { key: "wiki" } });
  assert.equal((await peer.next("error")).code, "key_denied");
  const headers = { authorization: `Bearer ${stdout.trim()}` };
  const members = await fetch(`${relay.http}/v1/keys/document:1/members`, { headers });
  assert.equal(members.status, 200);
});

test("no token is made that a relay would refuse", () => {
  const secret = ["--secret", SECRET];
  for (const [args, code] of /** @type {const} */ ([
    [["--sub", "alice", "--keys", "*"], "no_secret"],
    [["--sub", "", "--keys", "*", ...secret], "token_refused"],
    [["--sub", "alice", "--keys", "a*b", ...secret], "token_refused"],
  ])) {
    const { status, stdout, stderr } = run(["token", ...args]);
    assert.deepEqual([status, stdout], [1, ""], code);
    assert.match(stderr, new RegExp(`^whoshere-relay: ${code}: `));
  }
  assert.equal(run(["token", "--sub", "a", "--keys", "*", "--can", "fly", ...secret]).status, 2);
});

/**
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
function run(args, env = {}) {
  return spawnSync(BINARY, args, { encoding: "utf8", env: { PATH: process.env["PATH"], ...env } });
}
