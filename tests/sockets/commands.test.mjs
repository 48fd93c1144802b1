// @ts-check
//
// What the relay's program does besides serving.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { Peer, sleep } from "../support/peer.mjs";
import { BINARY, SECRET, startRelay } from "../support/relay.mjs";

/** Nobody is there. */
const WEBHOOK = [
  ...["--webhook", "http://127.0.0.1:1/hook"],
  ...["--webhook-secret", `whsec_${Buffer.alloc(32, 7).toString("base64")}`],
];

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

test("a check and a start say what hardly anybody means", async () => {
  const args = ["--grace", "1s", "--metrics-listen", "0.0.0.0:0"];
  const { status, stdout } = run(["check", "--secret", SECRET, ...args]);
  assert.equal(status, 0, "it would start");
  assert.match(stdout, /^Mind: --grace 1s is over before .+\.$/m);
  assert.match(stdout, /^Mind: --metrics-listen 0\.0\.0\.0:0 .+\.$/m);
  assert.match(stdout, /^Mind: no --origin is given/m);
  relay = await startRelay({ args });
  const deadline = Date.now() + 10_000;
  while (!/WARN.* --grace 1s is over before/.test(relay.log)) {
    assert.ok(Date.now() < deadline, relay.log);
    await sleep(20);
  }
});

test("what may be secret in an address is shown by no check", () => {
  const url = "https://me:hush@app.example/hook?key=hush";
  const { stdout, stderr } = run(["check", "--secret", SECRET, "--webhook", url]);
  assert.match(stdout, /^webhook +https:\/\/app\.example\/hook +--webhook$/m);
  assert.match(stderr, /webhook_address: --webhook https:\/\/app\.example\/hook /);
  assert.ok(!(stdout + stderr).includes("hush"));
});

test("a variable that is empty is none", async () => {
  const env = {
    WHOSHERE_AUDIENCE: "",
    WHOSHERE_ISSUER: "",
    WHOSHERE_ORIGIN: "",
    WHOSHERE_DATA: "",
  };
  const { status, stdout, stderr } = run(["check"], { ...env, WHOSHERE_SECRET: SECRET });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^audience +none +default$/m);
  relay = await startRelay({ env });
  await (await Peer.join(relay, "alice")).close(1001);
});

test("a variable that is misspelt fails a check, and a start warns of it", async () => {
  const env = { WHOSHERE_ORIGINS: "https://app.example" };
  const { status, stderr } = run(["check"], { ...env, WHOSHERE_SECRET: SECRET });
  assert.equal(status, 1);
  assert.match(stderr, /^whoshere-relay: unknown_variable: WHOSHERE_ORIGINS means nothing/);
  relay = await startRelay({ env });
  while (!/WARN.* WHOSHERE_ORIGINS means nothing/.test(relay.log)) await sleep(20);
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

test("a check puts nothing into the data folder", (t) => {
  const data = temporary(t);
  for (const flags of [["--last-seen", "*"], WEBHOOK, []]) {
    const { status, stderr } = run(["check", "--secret", SECRET, "--data", data, ...flags]);
    assert.equal(status, 0, stderr);
    assert.deepEqual(readdirSync(data), []);
  }
});

test("a check says if the data folder can't be written to", (t) => {
  if (process.getuid?.() === 0) return t.skip("root can write everywhere");
  const data = temporary(t);
  chmodSync(data, 0o500);
  const args = ["--secret", SECRET, "--data", data];
  assert.match(run(["check", ...args, "--last-seen", "*"]).stderr, /store_unusable: /);
  assert.equal(run(["check", ...args]).status, 0, "but nothing is to be written");
});

test("a check of a running relay's flags changes nothing of what it keeps", async (t) => {
  const data = temporary(t);
  const args = ["--data", data, "--last-seen", "document:*", ...WEBHOOK];
  relay = await startRelay({ args });
  const alice = await Peer.join(relay, "alice");
  const bytes = () => readdirSync(data).map((it) => [it, readFileSync(join(data, it), "hex")]);
  const checked = (/** @type {string[]} */ ...flags) => {
    const { status, stdout, stderr } = run(["check", "--secret", SECRET, ...flags]);
    assert.equal(status, 0, stderr);
    return stdout.match(/would remove \d+ \w+/g);
  };
  const [one, two] = ["would remove 1 records", "would remove 2 events"];
  while (!isDeepStrictEqual(checked("--data", data), [one, two])) await sleep(100);
  await relay.stop("SIGKILL");
  alice.destroy();
  const before = bytes();
  assert.equal(checked(...args), null);
  assert.deepEqual(checked("--data", data, "--last-seen", "wiki:*", ...WEBHOOK), [one]);
  assert.deepEqual(checked("--data", data, "--last-seen", "document:*"), [two]);
  assert.deepEqual(bytes(), before);
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

/** @param {import("node:test").TestContext} t */
function temporary(t) {
  const folder = mkdtempSync(join(tmpdir(), "whoshere-commands-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
function run(args, env = {}) {
  return spawnSync(BINARY, args, { encoding: "utf8", env: { PATH: process.env["PATH"], ...env } });
}
