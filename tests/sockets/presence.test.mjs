// @ts-check
//
// What people in the same key are told about each other, over real sockets.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

const GRACE_MS = 1000;

/** @type {import("../support/relay.mjs").Relay} */
let relay;

before(async () => {
  relay = await startRelay({ args: ["--grace", `${GRACE_MS}ms`, "--heartbeat", "400ms"] });
});
after(() => relay.stop());

test("hello is answered by welcome, join by a snapshot with oneself in it", async () => {
  const alice = await Peer.open(relay);
  const welcome = await alice.hello(mintToken({ sub: "u-1", name: "alice" }));
  assert.match(welcome.session, /^[0-9a-f]{16}$/);
  assert.equal(welcome.resumed, false);
  assert.equal(welcome.heartbeat_ms, 400);
  assert.equal(welcome.grace_ms, GRACE_MS);
  assert.ok(Math.abs(welcome.expires_in_ms - 3_600_000) < 5000);

  const snapshot = await alice.join("welcome:1", { section: "goals" });
  assert.equal(snapshot.key, "welcome:1");
  assert.equal(snapshot.presences.length, 1);
  const color = `#${createHash("sha1").update("alice").digest("hex").slice(0, 6)}`;
  const { since, ...presence } = snapshot.presences[0];
  assert.deepEqual(presence, {
    session: welcome.session,
    user: { id: "u-1", name: "alice", color },
    state: "active",
    meta: { section: "goals" },
  });
  assert.ok(since >= 0 && since <= welcome.epoch.age_ms + 1000);
  await alice.close(1000);
});

test("who looks away is away to the others until back, and a join can say so", async () => {
  const alice = await Peer.join(relay, "alice", "away:1");
  const bob = await Peer.join(relay, "bob", "away:1");
  await alice.sees(["alice", "bob"], "away:1");
  const state = () => alice.presence("bob", "away:1")?.state;
  bob.send({ attention: { away: true } });
  await alice.until("bob is away", () => state() === "away");
  bob.send({ attention: { away: false } });
  await alice.until("bob is back", () => state() === "active");
  assert.deepEqual(alice.rosters.get("away:1")?.told, { joined: 1, left: 0, updated: 2 });

  const carol = await Peer.open(relay);
  await carol.hello(mintToken("carol"));
  const { presences } = await carol.join("away:1", {}, { away: true });
  assert.deepEqual(presences.map((/** @type {any} */ it) => `${it.user.id} ${it.state}`).sort(), [
    "alice active",
    "bob active",
    "carol away",
  ]);
  for (const peer of [alice, bob, carol]) await peer.close(1000);
});

test("two people see each other come, change and leave", async () => {
  const alice = await Peer.join(relay, "alice", "two:1");
  const bob = await Peer.join(relay, "bob", "two:1", { section: "goals" });
  await alice.sees(["alice", "bob"], "two:1");
  await bob.sees(["alice", "bob"], "two:1");
  assert.deepEqual(alice.presence("bob", "two:1").meta, { section: "goals" });

  bob.send({ update: { key: "two:1", meta: { is_typing: true } } });
  await alice.until("bob types", () => alice.presence("bob", "two:1").meta.is_typing === true);
  assert.deepEqual(alice.rosters.get("two:1")?.told, { joined: 1, left: 0, updated: 1 });

  bob.send({ leave: { key: "two:1" } });
  await alice.sees(["alice"], "two:1");
  assert.equal((await lastDelta(alice)).left[0].reason, "left");
  assert.ok(bob.isOpen, "a leave ends the presence, not the connection");
  await bob.close();
  await alice.close();
});

test("a join and a leave are told within 50 ms", async () => {
  const alice = await Peer.join(relay, "alice", "quick:1");
  /** @type {number[]} */
  const took = [];
  for (let round = 0; round < 20; round += 1) {
    const bob = await Peer.open(relay);
    await bob.hello(mintToken("bob"));
    await measure(() => bob.send({ join: { key: "quick:1" } }), ["alice", "bob"]);
    await sleep(30);
    await measure(() => bob.send({ leave: { key: "quick:1" } }), ["alice"]);
    await sleep(30);
    bob.destroy();
  }
  took.sort((a, b) => a - b);
  const [median, slowest] = [took[took.length >> 1], took.at(-1)];
  // The machine may be busy with other things: 200 ms is what is promised, 50 ms our own limit.
  const text = `the median took ${median} ms, the slowest ${slowest} ms`;
  assert.ok(Number(median) < 50 && Number(slowest) < 200, text);
  await alice.close();

  /** @param {() => void} act @param {string[]} users */
  async function measure(act, users) {
    const startedAt = performance.now();
    act();
    await alice.sees(users, "quick:1");
    took.push(performance.now() - startedAt);
  }
});

test("keys don't know of each other", async () => {
  const one = await Peer.join(relay, "alice", "isolated:1");
  const two = await Peer.join(relay, "bob", "isolated:2");
  const both = await Peer.join(relay, "carol", "isolated:1");
  await both.join("isolated:2");
  both.send({ update: { key: "isolated:2", meta: { secret: true } } });
  await two.until("carol's change is told", () => two.presence("carol", "isolated:2")?.meta.secret);
  await one.heartbeat();
  assert.deepEqual(one.users("isolated:1"), ["alice", "carol"]);
  assert.deepEqual(one.presence("carol", "isolated:1").meta, {});
  assert.deepEqual([...one.rosters.keys()], ["isolated:1"]);
  assert.deepEqual(two.users("isolated:2"), ["bob", "carol"]);
  for (const peer of [one, two, both]) await peer.close();
});

test("three tabs of one user are three presences, and each goes by itself", async () => {
  const watcher = await Peer.join(relay, "bob", "tabs:1");
  const tabs = [];
  for (let i = 0; i < 3; i += 1) tabs.push(await Peer.join(relay, "alice", "tabs:1"));
  await watcher.sees(["alice", "alice", "alice", "bob"], "tabs:1");
  for (const tab of tabs) await tab.close(1001);
  await watcher.sees(["bob"], "tabs:1");
  await watcher.close();
});

test("a heartbeat is answered with the revs that were written to this socket", async () => {
  const alice = await Peer.join(relay, "alice", "beat:1");
  await Peer.join(relay, "bob", "beat:1");
  await alice.sees(["alice", "bob"], "beat:1");
  const { revs } = await alice.heartbeat();
  assert.deepEqual(revs, [{ key: "beat:1", rev: alice.rosters.get("beat:1")?.rev }]);
  alice.send({ resync: { key: "beat:1" } });
  assert.equal((await alice.next("snapshot")).presences.length, 2);
});

test("a tab that is closed (1001) leaves at once; any other close and a reset wait out the grace", async () => {
  const watcher = await Peer.join(relay, "watcher", "ends:1");
  const endings = /** @type {const} */ ([
    ["1001", (/** @type {Peer} */ peer) => peer.close(1001), true],
    ["1000", (/** @type {Peer} */ peer) => peer.close(1000), false],
    ["4000", (/** @type {Peer} */ peer) => peer.close(4000), false],
    ["no code", (/** @type {Peer} */ peer) => peer.close(), false],
    ["a reset", (/** @type {Peer} */ peer) => peer.reset(), false],
    ["a bare end", (/** @type {Peer} */ peer) => peer.destroy(), false],
  ]);
  for (const [name, end, isLeave] of endings) {
    const peer = await Peer.join(relay, "leaver", "ends:1");
    await watcher.sees(["leaver", "watcher"], "ends:1");
    const startedAt = performance.now();
    await end(peer);
    await beatUntilGone(watcher, "ends:1");
    const ms = performance.now() - startedAt;
    const { reason } = (await lastDelta(watcher)).left[0];
    if (isLeave) {
      assert.ok(ms < 100, `${name}: gone after ${ms} ms`);
      assert.equal(reason, "left", name);
    } else {
      assert.ok(ms > GRACE_MS - 20 && ms < GRACE_MS + 500, `${name}: gone after ${ms} ms`);
      assert.equal(reason, "timeout", name);
    }
  }
  await watcher.close();
});

test("a leave right before a reset is a leave, however busy the key is", async () => {
  const watcher = await Peer.join(relay, "watcher", "busy:1");
  const busy = await Promise.all(
    Array.from({ length: 5 }, (_, i) => Peer.join(relay, `busy${i}`, "busy:1")),
  );
  const rest = ["watcher", ...busy.map((_, i) => `busy${i}`)];
  let n = 0;
  const traffic = setInterval(() => {
    n += 1;
    for (const peer of busy) peer.send({ update: { key: "busy:1", meta: { n } } });
  }, 15);
  try {
    for (let round = 0; round < 30; round += 1) {
      const leaver = await Peer.join(relay, "leaver", "busy:1");
      await watcher.sees(["leaver", ...rest], "busy:1");
      leaver.send({ leave: { key: "busy:1" } });
      leaver.reset();
      await watcher.sees(rest, "busy:1", GRACE_MS - 300);
    }
  } finally {
    clearInterval(traffic);
  }
  for (const peer of [watcher, ...busy]) await peer.close();
});

test("a silent socket that answers pings stays; a watcher that says nothing is told all the same", async () => {
  const quiet = await Peer.join(relay, "quiet", "silence:1");
  const watcher = await Peer.join(relay, "watcher", "silence:1");
  await sleep(3 * GRACE_MS);
  assert.ok(quiet.isOpen && watcher.isOpen);
  await watcher.heartbeat();
  assert.deepEqual(watcher.users("silence:1"), ["quiet", "watcher"]);
  assert.deepEqual(watcher.rosters.get("silence:1")?.told, { joined: 0, left: 0, updated: 0 });
  await quiet.close();
  await watcher.close();
});

test("names and metas that objects trip over are passed on as they are", async () => {
  const watcher = await Peer.join(relay, "watcher", "odd:1");
  const odd = await Peer.open(relay);
  await odd.hello(mintToken({ sub: "__proto__", name: "<img onerror=alert(1)>" }));
  const text = '{"__proto__":{"polluted":true},"constructor":1,"n":1e999,"s":"\\ud800"}';
  odd.send(`{"join":{"key":"odd:1","meta":${text}}}`);
  await watcher.sees(["__proto__", "watcher"], "odd:1");
  const presence = watcher.presence("__proto__", "odd:1");
  assert.equal(presence.user.name, "<img onerror=alert(1)>");
  assert.ok(Object.hasOwn(presence.meta, "__proto__"));
  assert.equal(presence.meta.s, "\ud800");
  await odd.close(1001);
  await watcher.sees(["watcher"], "odd:1");
  await watcher.close();
});

/**
 * Beats until only the watcher is left, as a page would.
 *
 * @param {Peer} watcher
 * @param {string} key
 */
async function beatUntilGone(watcher, key) {
  const beat = setInterval(() => watcher.send({ heartbeat: {} }), 200);
  await watcher.sees(["watcher"], key).finally(() => clearInterval(beat));
}

/** @param {Peer} peer */
async function lastDelta(peer) {
  let delta = await peer.next("delta");
  while (delta.left === undefined) delta = await peer.next("delta");
  return delta;
}
