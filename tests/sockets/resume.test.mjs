// @ts-check
//
// Coming back: within the grace, to a relay that was restarted, and saying goodbye without a socket.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

const KEY = "document:1";

/** @type {import("../support/relay.mjs").Relay | undefined} */
let relay;

afterEach(() => relay?.stop("SIGKILL"));

test("who comes back within the grace never left", async () => {
  relay = await startRelay({ args: ["--grace", "3s"] });
  const watcher = await Peer.join(relay, "watcher");
  const { peer, welcome } = await join(relay, "alice");
  await watcher.sees(["alice", "watcher"]);
  peer.reset();
  await sleep(300);

  const { peer: back, welcome: again } = await join(relay, "alice", {
    resume: welcome.resume,
    dial: 2,
  });
  assert.equal(again.resumed, true);
  assert.equal(again.session, welcome.session);
  await sleep(4000);
  assert.ok(back.isOpen);
  assert.deepEqual(watcher.rosters.get(KEY)?.told, { joined: 1, left: 0, updated: 0 });
});

test("who comes back too late has left once and joins as new", async () => {
  relay = await startRelay({ args: ["--grace", "300ms"] });
  const watcher = await Peer.join(relay, "watcher");
  const { peer, welcome } = await join(relay, "alice");
  await watcher.sees(["alice", "watcher"]);
  peer.reset();
  await watcher.sees(["watcher"]);
  await join(relay, "alice", { resume: welcome.resume, dial: 2 });
  await watcher.sees(["alice", "watcher"]);
  assert.deepEqual(watcher.rosters.get(KEY)?.told, { joined: 2, left: 1, updated: 0 });
});

test("a relay that is killed and started again knows its sessions, also how old they are", async () => {
  relay = await startRelay();
  const { welcome, since } = await join(relay, "alice");
  const age = welcome.epoch.age_ms - since;
  await sleep(300);
  await relay.stop("SIGKILL");
  relay = await startRelay({ port: relay.port });

  const newcomer = await Peer.join(relay, "newcomer");
  const { welcome: again, since: sinceThen } = await join(relay, "alice", {
    resume: welcome.resume,
    dial: 2,
    more: { age: age + 300 },
  });
  assert.equal(again.resumed, true);
  assert.equal(again.session, welcome.session);
  assert.notEqual(again.epoch.id, welcome.epoch.id);
  assert.ok(sinceThen < 0, `older than the new epoch, so nobody takes it for a join: ${sinceThen}`);
  await newcomer.sees(["alice", "newcomer"]);
  assert.equal(newcomer.presence("alice").since, sinceThen);
});

test("with another secret a session is a new one, and so is one of another user", async () => {
  relay = await startRelay({ args: ["--resume-secret", "one secret for resuming, long enough"] });
  const { welcome } = await join(relay, "alice");
  const other = await join(relay, "mallory", { resume: welcome.resume, dial: 2 });
  assert.equal(other.welcome.resumed, false);
  assert.notEqual(other.welcome.session, welcome.session);
  const changed = `${welcome.resume.slice(0, -1)}${welcome.resume.endsWith("A") ? "B" : "A"}`;
  for (const resume of [changed, "", "garbage"]) {
    const { welcome: fresh } = await join(relay, "alice", { resume, dial: 2 });
    assert.equal(fresh.resumed, false, resume);
  }
  const { port } = relay;
  await relay.stop();
  relay = await startRelay({
    port,
    args: ["--resume-secret", "another secret for resuming, long"],
  });
  const { welcome: fresh } = await join(relay, "alice", { resume: welcome.resume, dial: 2 });
  assert.equal(fresh.resumed, false);
});

test("the newest dial wins: its predecessor is closed as replaced and says nothing more", async () => {
  relay = await startRelay();
  const watcher = await Peer.join(relay, "watcher");
  const { peer: first, welcome } = await join(relay, "alice");
  const { peer: second } = await join(relay, "alice", { resume: welcome.resume, dial: 2 });
  assert.deepEqual(await first.closed(), { code: 4409, reason: "replaced" });

  const late = await Peer.open(relay);
  late.send({ hello: { token: mintToken("alice"), resume: welcome.resume, dial: 2 } });
  assert.equal((await late.closed()).code, 4409);
  assert.ok(second.isOpen);
  await watcher.heartbeat();
  assert.deepEqual(watcher.rosters.get(KEY)?.told, { joined: 1, left: 0, updated: 0 });
});

test("a page without a socket says goodbye with a beacon, in the keys it names", async () => {
  relay = await startRelay();
  const watcher = await Peer.join(relay, "watcher");
  await watcher.join("document:2");
  const { peer, welcome } = await join(relay, "alice");
  await peer.join("document:2");
  await watcher.sees(["alice", "watcher"], "document:2");
  peer.reset();
  await sleep(100);
  assert.equal(await beacon({ resume: welcome.resume, dial: 1, keys: [KEY] }), "204");
  await watcher.sees(["watcher"]);
  assert.deepEqual(watcher.users("document:2"), ["alice", "watcher"]);
});

test("a beacon that was overtaken means nothing; a forged or malformed one is refused", async () => {
  relay = await startRelay();
  const watcher = await Peer.join(relay, "watcher");
  const { peer, welcome } = await join(relay, "alice");
  peer.reset();
  await join(relay, "alice", { resume: welcome.resume, dial: 2 });
  assert.equal(await beacon({ resume: welcome.resume, dial: 1, keys: [KEY] }), "204");

  const { resume } = welcome;
  assert.equal(await beacon({ resume: `${resume}A`, dial: 9, keys: [KEY] }), "401 denied");
  assert.equal(await beacon({ resume: "", dial: 9, keys: [KEY] }), "401 denied");
  assert.equal(await beacon({ resume, dial: 9, keys: ["a b"] }), "400 bad_key");
  const tooMany = { resume, dial: 9, keys: Array(65).fill(KEY) };
  assert.equal(await beacon(tooMany), "400 too_many_keys");
  assert.equal(await beacon("garbage"), "400 bad_frame");
  assert.equal(await beacon(""), "400 bad_frame");
  assert.equal(await beacon("x".repeat(65 * 1024)), "413 too_large");
  await watcher.heartbeat();
  assert.deepEqual(watcher.users(), ["alice", "watcher"]);
});

/**
 * @param {import("../support/relay.mjs").Relay} relay
 * @param {string} user
 * @param {{ resume?: string, dial?: number, more?: object }} [options]
 */
async function join(relay, user, { resume, dial, more } = {}) {
  const peer = await Peer.open(relay);
  const welcome = await peer.hello(mintToken(user), { resume, dial });
  await peer.join(KEY, {}, more);
  return { peer, welcome, since: peer.presence(user).since };
}

/**
 * @param {object | string} body
 * @returns {Promise<string>} the answer's status, and its code if it is a problem
 */
async function beacon(body) {
  const response = await fetch(`${relay?.http}/v1/leave`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": "text/plain;charset=UTF-8" },
  });
  const text = await response.text();
  if (response.ok) return `${response.status}`;
  const [, status, code] = /^\{"status":(\d+),"code":"([a-z_]+)","detail":".+"\}$/.exec(text) ?? [];
  assert.equal(status, `${response.status}`, text);
  return `${status} ${code}`;
}
