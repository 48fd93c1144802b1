// @ts-check
//
// Those who take what they are sent slowly, or not at all, in a key whose snapshots are large.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";
import { Witnesses } from "../support/witness.mjs";

const MIB = 1024 * 1024;
const KEY = "crowd:1";
const N_ROBOTS = 1000;
const N_SLOW = 95;
/** How often each takes a little. */
const TRICKLE_MS = 2000;
/** For how long a key of so many gathers changes, and a little more. */
const WINDOW_MS = 220;
const FILLER = "x".repeat(3900);

/** @type {import("../support/relay.mjs").Relay} */
let relay;

before(async () => {
  const unlimited = ["--max-requests-per-address", "0", "--max-requests-per-user", "0"];
  relay = await startRelay({ args: [...unlimited, "--metrics-listen", "127.0.0.1:0"] });
  for (let n = 0; n < N_ROBOTS; n += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, i) => put(n + i, { n: 0, FILLER })));
  }
});
after(() => relay?.stop("SIGKILL"));

test("who trickles many versions of a large key has the relay hold no more than 128 MiB, and gives up their own", async (t) => {
  const witnesses = await Witnesses.come(relay);
  /** @type {Peer[]} */
  const slow = [];
  const trickle = setInterval(() => {
    for (const peer of slow) {
      peer.readALittle();
      if (peer.isOpen) peer.send({ heartbeat: {} });
    }
  }, TRICKLE_MS);
  t.after(() => clearInterval(trickle));
  /** @param {string} token */
  const come = async (token) => {
    const peer = await Peer.open(relay);
    await peer.hello(token);
    peer.stopReading();
    peer.send({ observe: { key: KEY } });
    slow.push(peer);
    await sleep(WINDOW_MS);
    return peer;
  };
  // Somebody with a slow line was there before.
  const alice = await come(mintToken({ sub: "alice", keys: [KEY] }));
  // One person with a token for it, who may have so many connections.
  const token = mintToken({ sub: "mallory", keys: [KEY] });
  for (let n = 0; n < N_SLOW; n += 1) {
    // So that each is sent another version.
    await put(n, { n, FILLER });
    await come(token);
  }
  const all = N_SLOW * N_ROBOTS * FILLER.length;
  assert.ok(all > 2 * 128 * MIB, `${all} bytes would be no danger`);
  const { samples } = await metricsOf(relay);
  const nStuck = Number(samples.get('whoshere_ended_total{reason="stuck"}'));
  assert.ok(nStuck > N_SLOW / 3, `${nStuck} were given up`);
  assert.ok(!alice.rosters.has(KEY), "who has a slow line hasn't all of it yet");
  // The allocator takes its time to give back what is free.
  t.diagnostic(await witnesses.testify(2 * 128 * MIB));

  const reader = await Peer.open(relay);
  await reader.hello(mintToken("reader"));
  await reader.join(KEY);
  assert.ok(reader.users(KEY).length >= N_ROBOTS, "whoever reads isn't kept from it");
  clearInterval(trickle);
  alice.readAgain();
  await alice.until("and has it in the end", () => alice.rosters.has(KEY), 20_000);
  for (const peer of slow) peer.destroy();
});

/**
 * A server's member says something.
 *
 * @param {number} n
 * @param {object} meta
 */
async function put(n, meta) {
  const response = await fetch(`${relay.http}/v1/keys/${encodeURIComponent(KEY)}/me`, {
    method: "PUT",
    headers: { authorization: `Bearer ${mintToken({ sub: `robot-${n}`, can: ["agent"] })}` },
    body: JSON.stringify({ meta, ttl: 300 }),
  });
  assert.equal(response.status, 200, await response.text());
}
