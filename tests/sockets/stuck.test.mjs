// @ts-check
//
// A peer that says that it is alive and never reads, until its window is shut: it is given up after 30 s.
// And one that says one thing without end.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { encode, OPCODE, RawSocket } from "../support/raw.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";
import { Witnesses } from "../support/witness.mjs";

const MIB = 1024 * 1024;
const PATIENCE_MS = 120_000;
/** How long a socket may take nothing. */
const STUCK_MS = 30_000;

/** @type {import("../support/relay.mjs").Relay} */
let relay;

test("who has said hello and trickles one frame without end is as good as silent", async () => {
  relay = await startRelay({ args: ["--heartbeat", "1s", "--grace", "6s"] });
  const alice = await Peer.join(relay, "alice", "trickle:1");
  const beating = setInterval(() => alice.send({ heartbeat: {} }), 500);
  const slow = await RawSocket.open(relay);
  slow.sendFrame({ hello: { token: mintToken("slow"), dial: 1 } });
  slow.sendFrame({ join: { key: "trickle:1", meta: {} } });
  await alice.sees(["alice", "slow"], "trickle:1");
  const startedAt = performance.now();
  const frame = encode(OPCODE.TEXT, "x".repeat(16_000));
  let n = 0;
  const trickle = setInterval(() => {
    slow.send(frame.subarray(n, n + 1));
    n += 1;
  }, 50);
  try {
    assert.equal(await slow.closeCode(PATIENCE_MS), 4408);
    const ms = performance.now() - startedAt;
    assert.ok(ms > 6500, `it had its time: ${ms} ms`);
    await alice.sees(["alice"], "trickle:1");
  } finally {
    clearInterval(beating);
    clearInterval(trickle);
    await relay.stop("SIGKILL");
  }
});

after(() => relay?.stop("SIGKILL"));

test("who beats and never reads is given up after 30 s, and nobody else notices", async (t) => {
  relay = await startRelay({ args: ["--metrics-listen", "127.0.0.1:0"] });
  const witnesses = await Witnesses.come(relay);
  const writer = await Peer.join(relay, "writer", "stuck:1");
  const deaf = await Peer.join(relay, "deaf", "stuck:1");
  await writer.sees(["deaf", "writer"], "stuck:1");
  const sessions = async () => (await metricsOf(relay)).samples.get("whoshere_sessions");
  assert.equal(await sessions(), 4);

  deaf.stopReading();
  const startedAt = performance.now();
  const filler = "x".repeat(3900);
  let n = 0;
  const busy = setInterval(() => {
    n += 1;
    writer.send({ update: { key: "stuck:1", meta: { n, filler } } });
    if (n % 20 === 0) deaf.send({ heartbeat: {} });
  }, 50);
  t.after(() => clearInterval(busy));
  while ((await sessions()) !== 3) {
    assert.ok(performance.now() - startedAt < PATIENCE_MS, "it is never given up");
    await sleep(250);
  }
  const gone = performance.now() - startedAt;
  assert.ok(gone > STUCK_MS, `it is given up after ${gone} ms, before its time`);
  clearInterval(busy);
  t.diagnostic(await witnesses.testify(6 * MIB));
  // It is a loss: its place is held for the grace.
  assert.deepEqual(writer.users("stuck:1"), ["deaf", "writer"]);
  deaf.readAgain();
  await deaf.closed(PATIENCE_MS);
});
