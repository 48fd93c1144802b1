// @ts-check
//
// Looking at a key without being in it: who does sees everything, and is seen nowhere.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { metricsOf } from "../support/metrics.mjs";
import { Peer } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

/** @type {import("../support/relay.mjs").Relay} */
let relay;

before(async () => {
  relay = await startRelay({ args: ["--last-seen", "*", "--metrics-listen", "127.0.0.1:0"] });
});
after(() => relay.stop());

/**
 * @param {string} key
 * @param {{ sub?: string, can?: string[], invisible?: boolean }} [options]
 */
async function observe(key, { sub = "eve", can, invisible } = {}) {
  const peer = await Peer.open(relay);
  await peer.hello(mintToken({ sub, can }));
  peer.send({ observe: { key, invisible } });
  return peer;
}

/** @param {string} path @returns {Promise<any>} */
async function api(path) {
  const token = mintToken({ sub: "server", can: ["list"] });
  const response = await fetch(relay.http + path, {
    headers: { authorization: `Bearer ${token}` },
  });
  return response.json();
}

test("who observes sees everything and is seen nowhere", async () => {
  const key = "observed:1";
  const eve = await observe(key);
  assert.deepEqual((await eve.next("snapshot")).presences, []);
  assert.deepEqual(await api("/v1/counts?keys=observed:1,empty:1"), {
    counts: [
      { key, members: 0, sessions: 0 },
      { key: "empty:1", members: 0, sessions: 0 },
    ],
  });
  const alice = await Peer.join(relay, "alice", key);
  const ivan = await observe(key, { sub: "ivan", can: ["invisible"], invisible: true });
  assert.equal((await ivan.next("snapshot")).presences.length, 1);
  await eve.sees(["alice"], key);
  const bob = await Peer.join(relay, "bob", key);
  bob.send({ pulse: { key, name: "cursor", value: "1" } });
  bob.send({ update: { key, meta: { section: "goals" } } });
  for (const peer of [eve, ivan]) {
    await peer.until("bob is where he is", () => {
      return peer.presence("bob", key)?.meta.section === "goals";
    });
    assert.deepEqual(peer.users(key), ["alice", "bob"]);
  }
  for (const frame of [
    { update: { key, meta: { section: "mine" } } },
    { pulse: { key, name: "cursor", value: "1" } },
  ]) {
    eve.send(frame);
    const { code, key: of } = await eve.next("error");
    assert.deepEqual([code, of], ["not_allowed", key]);
  }
  const { members } = await api(`/v1/keys/${key}/members`);
  const ids = members.map((/** @type {any} */ it) => it.user.id);
  assert.deepEqual(ids.sort(), ["alice", "bob"]);
  const online = JSON.stringify(await api("/v1/online"));
  assert.ok(online.includes("alice") && !online.includes("eve") && !online.includes("ivan"));
  const { samples } = await metricsOf(relay);
  assert.equal(samples.get("whoshere_observers"), 2, "of them only the operator knows");

  eve.send({ leave: { key } });
  await eve.heartbeat();
  eve.send({ resync: { key } });
  assert.equal((await eve.next("error")).code, "not_joined");
  ivan.reset();
  await alice.heartbeat();
  const told = alice.rosters.get(key)?.told;
  assert.deepEqual([told?.joined, told?.left], [1, 0], "alice was told of bob alone");
  alice.send({ last_seen: { key } });
  const { seen } = await alice.next("last_seen");
  const viewers = seen.map((/** @type {any} */ it) => it.user.id);
  assert.deepEqual(viewers.sort(), ["alice", "bob"], "nor is it kept");
  for (const peer of [eve, alice, bob]) await peer.close(1000);
});

test("who observes is told who they are, also once they are somebody else", async () => {
  const peer = await Peer.open(relay);
  const { user_id } = await peer.hello(mintToken({ sub: "eve", name: "Eve" }));
  assert.equal(user_id, "eve");
  peer.send({ observe: { key: "observed:4" } });
  await peer.next("snapshot");
  peer.send({ token: { token: mintToken("mallory") } });
  assert.equal((await peer.next("token")).user_id, "mallory");
  await peer.close(1000);
});

test("to look on unseen takes a token that allows it, and who may not isn't left in sight", async () => {
  const key = "observed:2";
  const bob = await Peer.join(relay, "bob", key);
  for (const [can, invisible] of /** @type {const} */ ([
    [["join", "pulse", "invisible"], false],
    [["join", "pulse", "observe"], true],
    [[], false],
  ])) {
    const peer = await observe(key, { can: [...can], invisible });
    const { code, key: of } = await peer.next("error");
    assert.deepEqual([code, of], ["key_denied", key], JSON.stringify(can));
    await peer.close(1000);
  }
  const alice = await Peer.join(relay, "alice", key);
  await bob.sees(["alice", "bob"], key);
  alice.send({ observe: { key, invisible: true } });
  assert.equal((await alice.next("error")).code, "key_denied");
  await bob.sees(["bob"], key);

  const own = mintToken({ sub: "alice", keys: [key], can: ["invisible"] });
  alice.send({ observe: { key, token: own, invisible: true } });
  await alice.next("snapshot");
  assert.deepEqual(alice.users(key), ["bob"]);
  for (const peer of [alice, bob]) await peer.close(1000);
});

test("from a member to an observer and back is a leave and a join, also over a lost socket", async () => {
  const key = "observed:3";
  const bob = await Peer.join(relay, "bob", key);
  const alice = await Peer.open(relay);
  const { resume } = await alice.hello(mintToken("alice"));
  await alice.join(key);
  await bob.sees(["alice", "bob"], key);
  alice.send({ observe: { key } });
  await bob.sees(["bob"], key);
  await alice.join(key);
  await bob.sees(["alice", "bob"], key);
  alice.reset();
  const back = await Peer.open(relay);
  const { resumed } = await back.hello(mintToken("alice"), { resume, dial: 2 });
  assert.ok(resumed);
  back.send({ observe: { key } });
  await bob.sees(["bob"], key);
  const told = bob.rosters.get(key)?.told;
  assert.deepEqual([told?.joined, told?.left], [2, 2]);
  for (const peer of [back, bob]) await peer.close(1000);
});
