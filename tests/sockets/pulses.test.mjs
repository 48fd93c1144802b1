// @ts-check
//
// Pulses over real sockets: told at once, over by themselves, and too much of them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Peer, sleep } from "../support/peer.mjs";
import { startRelay } from "../support/relay.mjs";

/** @type {import("../support/relay.mjs").Relay} */
let relay;

before(async () => {
  relay = await startRelay();
});
after(() => relay.stop());

test("a pulse reaches the others as it was, and so does its end", async () => {
  const [alice, bob] = await two("pulses:1");
  const { session } = alice.presence("alice", "pulses:1");
  const value = '["goals", 0.5, "\\ud800", "ü"]';
  alice.send({ pulse: { key: "pulses:1", name: "cursor", value } });
  assert.deepEqual((await bob.next("delta")).pulses, [{ session, name: "cursor", value }]);
  await sleep(50);
  alice.send({ pulse: { key: "pulses:1", name: "cursor" } });
  assert.deepEqual((await bob.next("delta")).pulses, [{ session, name: "cursor" }]);
  for (const peer of [alice, bob]) await peer.close(1000);
});

test("a pulse of a peer that fell silent is over after 5 seconds, and none is in a snapshot", async () => {
  const [alice, bob] = await two("pulses:2");
  alice.send({ pulse: { key: "pulses:2", name: "typing", value: "true" } });
  await bob.next("delta");
  const saidAt = performance.now();
  const carol = await Peer.join(relay, "carol", "pulses:2");
  assert.ok(!JSON.stringify(carol.presence("alice", "pulses:2")).includes("typing"));
  await bob.next("delta");
  const [ended] = (await bob.next("delta")).pulses;
  const passed = performance.now() - saidAt;
  assert.deepEqual([ended.name, ended.value], ["typing", undefined]);
  assert.ok(passed > 4500 && passed < 5500, `${passed} ms`);
  for (const peer of [alice, bob, carol]) await peer.close(1000);
});

test("what is no pulse is an error, and the connection goes on", async () => {
  const [alice, bob] = await two("pulses:3");
  const key = "pulses:3";
  for (const pulse of [
    { key, name: "Cursor", value: "1" },
    { key, name: "a".repeat(17), value: "1" },
    { key, name: "a", value: "v".repeat(513) },
  ]) {
    alice.send({ pulse });
    const { code, key: about } = await alice.next("error");
    assert.deepEqual([code, about], ["bad_pulse", key]);
  }
  for (const name of "abcdefghi") alice.send({ pulse: { key, name, value: "1" } });
  assert.equal((await alice.next("error")).code, "bad_pulse");
  alice.send({ pulse: { key: "pulses:4", name: "a", value: "1" } });
  assert.equal((await alice.next("error")).code, "not_joined");
  for (const peer of [alice, bob]) await peer.close(1000);
});

test("a thousand pulses a second reach the others as the last of each moment", async () => {
  const [alice, bob] = await two("pulses:5");
  for (let value = 0; value < 300; value += 1) {
    alice.send({ pulse: { key: "pulses:5", name: "cursor", value: `${value}` } });
  }
  /** @type {string[]} */
  const heard = [];
  while (heard.at(-1) !== "299") {
    const { pulses = [] } = await bob.next("delta");
    assert.ok(pulses.length <= 1, "one for each name");
    heard.push(...pulses.map((/** @type {any} */ it) => it.value));
  }
  assert.ok(heard.length < 200, `${heard.length} of 300 were told`);
  assert.ok(alice.isOpen);
  for (const peer of [alice, bob]) await peer.close(1000);
});

/**
 * Alice and bob in one key, who have heard all of it.
 *
 * @param {string} key
 * @returns {Promise<[Peer, Peer]>}
 */
async function two(key) {
  const alice = await Peer.join(relay, "alice", key);
  const bob = await Peer.join(relay, "bob", key);
  await alice.sees(["alice", "bob"], key);
  await sleep(50);
  return [alice, bob];
}
