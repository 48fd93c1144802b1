// @ts-check
//
// A peer that says that it is alive and never reads, until its window is shut: it is given up after 30 s.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { startRelay } from "../support/relay.mjs";
import { Witnesses } from "../support/witness.mjs";

const MIB = 1024 * 1024;
const PATIENCE_MS = 120_000;
/** How long a socket may take nothing. */
const STUCK_MS = 30_000;

/** @type {import("../support/relay.mjs").Relay} */
let relay;

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
