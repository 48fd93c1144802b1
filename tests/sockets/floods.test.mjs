// @ts-check
//
// Peers with a WebSocket that say too much, half of something, or nonsense, many at a time: two others
// and the relay's memory are watched meanwhile.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { encode, OPCODE, RawSocket } from "../support/raw.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";
import { Witnesses } from "../support/witness.mjs";

const KIB = 1024;
const MIB = 1024 * KIB;
const PATIENCE_MS = 20_000;

/** @type {import("../support/relay.mjs").Relay} */
let relay;

beforeEach(async () => {
  const flags = ["--max-connects-per-address", "0", "--last-seen", "flood:*"];
  relay = await startRelay({ args: flags });
});
afterEach(() => relay.stop("SIGKILL"));

test("a hello that is trickled has 5 s", async (t) => {
  const witnesses = await Witnesses.come(relay);
  const slow = await openAll(200);
  const hello = encode(OPCODE.TEXT, `{"hello":${" ".repeat(1000)}}`);
  let n = 0;
  const trickle = setInterval(() => {
    for (const socket of slow) socket.send(hello.subarray(n, n + 1));
    n += 1;
  }, 200);
  t.after(() => clearInterval(trickle));
  const codes = await Promise.all(slow.map((it) => it.closeCode(PATIENCE_MS)));
  assert.ok(
    codes.every((it) => it === 4408),
    `${codes}`,
  );
  t.diagnostic(await witnesses.testify(200 * 8 * KIB));
});

test("a message in the smallest pieces, and the largest halves, cost what they hold", async (t) => {
  const witnesses = await Witnesses.come(relay);
  const pieces = await openAll(400);
  const half = Buffer.concat([
    encode(OPCODE.TEXT, "x".repeat(16_383), { isFinal: false }),
    encode(OPCODE.CONTINUE, "x", { isFinal: false }),
    encode(OPCODE.CONTINUE, "x".repeat(16_384)).subarray(0, 16_384),
  ]);
  for (const socket of pieces) socket.send(half);
  const crumbs = await RawSocket.open(relay);
  crumbs.sendFrame({ hello: { token: mintToken("crumbs"), dial: 1 } });
  crumbs.send(encode(OPCODE.TEXT, "", { isFinal: false }));
  const crumb = encode(OPCODE.CONTINUE, "", { isFinal: false });
  crumbs.send(Buffer.concat(Array.from({ length: 20_000 }, () => crumb)));
  await sleep(2000);
  t.diagnostic(await witnesses.testify(400 * 48 * KIB + 4 * MIB));
  for (const socket of [...pieces, crumbs]) socket.end();
});

for (const [what, bytes, code] of /** @type {const} */ ([
  ["too large", encode(OPCODE.TEXT, Buffer.alloc(4 * MIB, "x")), 4413],
  ["too large in pieces", pieces(4 * MIB), 4413],
  ["not UTF-8", encode(OPCODE.TEXT, Buffer.alloc(16_000, 0xff)), 4400],
])) {
  test(`messages that are ${what} are refused, cost little and disturb nobody`, async (t) => {
    const witnesses = await Witnesses.come(relay);
    for (let round = 0; round < 10; round += 1) {
      const sockets = await openAll(10);
      for (const socket of sockets) {
        socket.sendFrame({ hello: { token: mintToken("large"), dial: 1 } });
        socket.send(bytes);
      }
      const codes = await Promise.all(sockets.map((it) => it.closeCode(PATIENCE_MS)));
      assert.ok(
        codes.every((it) => it === code),
        `${codes}`,
      );
      for (const socket of sockets) socket.end();
    }
    t.diagnostic(await witnesses.testify(6 * MIB));
  });
}

test("compression that is offered isn't used, and a bomb doesn't go off", async (t) => {
  const witnesses = await Witnesses.come(relay);
  const offers = { "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits" };
  for (let n = 0; n < 20; n += 1) {
    const raw = await RawSocket.open(relay, offers);
    assert.equal(raw.status, 101);
    assert.doesNotMatch(raw.head, /sec-websocket-extensions/i);
    raw.sendFrame({ hello: { token: mintToken("bomb"), dial: 1 } });
    // The bit that says that the payload is compressed.
    raw.send(encode(OPCODE.TEXT, Buffer.alloc(16_000), { reserved: 4 }));
    assert.equal(await raw.closeCode(), 4400);
  }
  t.diagnostic(await witnesses.testify(4 * MIB));
});

test("requests whose answers nobody reads are read no further", async (t) => {
  const witnesses = await Witnesses.come(relay);
  const sockets = Array.from({ length: 20 }, () => connect(relay.port, "127.0.0.1"));
  const requests = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50_000);
  for (const socket of sockets)
    socket
      .on("error", () => {})
      .pause()
      .write(requests);
  await sleep(2000);
  t.diagnostic(await witnesses.testify(20 * 128 * KIB + 4 * MIB));
  for (const socket of sockets) socket.destroy();
});

for (const [what, frames] of /** @type {const} */ ([
  ["joins and leaves", [{ join: { key: "flood:2" } }, { leave: { key: "flood:2" } }]],
  ["joins of many keys", Array.from({ length: 100 }, (_, n) => ({ join: { key: `flood:k${n}` } }))],
  ["resyncs", [{ resync: { key: "flood:1" } }]],
  ["questions about last seen", [{ last_seen: { key: "flood:1" } }]],
  ["heartbeats", [{ heartbeat: {} }]],
  ["looks on and off", [{ observe: { key: "flood:3" } }, { leave: { key: "flood:3" } }]],
  ["tokens", [{ token: { token: "a.b.c" } }, { token: { token: mintToken("flood0") } }]],
  ["updates", [{ update: { key: "flood:1", meta: { filler: "x".repeat(4000) } } }]],
  ["pulses", [{ pulse: { key: "flood:1", name: "cursor", value: "x".repeat(500) } }]],
  ["garbage", ["garbage", { shout: {} }, { join: { key: "" } }]],
])) {
  test(`floods of ${what} of 20 sockets disturb nobody`, async (t) => {
    const peers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => Peer.join(relay, `flood${n}`, "flood:1")),
    );
    const witnesses = await Witnesses.come(relay);
    for (let n = 0; n < 500; n += 1) {
      const frame = frames[n % frames.length] ?? "";
      for (const peer of peers) if (peer.isOpen) peer.send(frame);
      // The witnesses live in this process, too.
      await setImmediate();
    }
    await sleep(1500);
    t.diagnostic(await witnesses.testify(12 * MIB));
    for (const peer of peers) peer.destroy();
  });
}

test("floods of attention in 64 keys are told late, and disturb nobody", async (t) => {
  await relay.stop("SIGKILL");
  const flags = ["--max-connects-per-address", "0", "--last-seen", "flood:*"];
  relay = await startRelay({ args: [...flags, "--metrics-listen", "127.0.0.1:0"] });
  // One person, with as many presences as they may have.
  const peers = await Promise.all(
    Array.from({ length: 15 }, () => Peer.join(relay, "mallory", "flood:0")),
  );
  for (const peer of peers) {
    for (let n = 1; n < 64; n += 1) peer.send({ join: { key: `flood:${n}` } });
    await peer.heartbeat();
  }
  const witnesses = await Witnesses.come(relay);
  for (let n = 0; n < 500; n += 1) {
    for (const peer of peers) if (peer.isOpen) peer.send({ attention: { away: n % 2 === 0 } });
    await setImmediate();
  }
  await sleep(6000);
  t.diagnostic(await witnesses.testify(24 * MIB));
  const { samples } = await metricsOf(relay);
  const dropped = Number(samples.get('whoshere_dropped_total{reason="rate"}'));
  assert.ok(dropped > 1000, `${dropped} were told no more`);
  for (const peer of peers) peer.destroy();
});

/** @param {number} nSockets */
function openAll(nSockets) {
  return Promise.all(Array.from({ length: nSockets }, () => RawSocket.open(relay)));
}

/**
 * A message of so many bytes, 16 KB at a time.
 *
 * @param {number} nBytes
 */
function pieces(nBytes) {
  const more = Array.from({ length: nBytes / 16_384 }, () =>
    encode(OPCODE.CONTINUE, "x".repeat(16_384), { isFinal: false }),
  );
  return Buffer.concat([encode(OPCODE.TEXT, "", { isFinal: false }), ...more]);
}
