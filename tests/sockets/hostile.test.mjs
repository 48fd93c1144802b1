// @ts-check
//
// Peers that do too much or too little: the others must not notice, and memory must not grow.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Peer, sleep } from "../support/peer.mjs";
import { encode, OPCODE, RawSocket } from "../support/raw.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";
import { Witnesses } from "../support/witness.mjs";

const MIB = 1024 * 1024;
const FRAMES_PER_SECOND = 100;

/** @type {import("../support/relay.mjs").Relay} */
let relay;

beforeEach(async () => {
  relay = await startRelay();
});
afterEach(() => relay.stop());

test("10,000 frames at once are read at the peer's own expense, and none is lost", async (t) => {
  const alice = await Peer.join(relay, "alice", "flood:1");
  const flood = await Peer.join(relay, "flood", "flood:1", { n: 0 });
  await alice.sees(["alice", "flood"], "flood:1");
  const witnesses = await Witnesses.come(relay);
  const startedAt = performance.now();
  for (let n = 1; n <= 10_000; n += 1) flood.send({ update: { key: "flood:1", meta: { n } } });

  await sleep(3000);
  t.diagnostic(await witnesses.testify(4 * MIB));
  const read = alice.presence("flood", "flood:1").meta.n;
  const seconds = (performance.now() - startedAt) / 1000;
  const most = FRAMES_PER_SECOND * (seconds + 2) + 1;
  assert.ok(read > 300 && read <= most, `${read} frames were read in ${seconds} s`);

  await sleep(1000);
  const later = () => alice.presence("flood", "flood:1").meta.n;
  await alice.until("reading goes on where it was", () => later() > read + 50);
  flood.destroy();
});

test("a flood of garbage neither kills its sender's connection nor disturbs anybody", async (t) => {
  const witnesses = await Witnesses.come(relay);
  const flood = await Peer.join(relay, "flood", "garbage:1");
  for (let n = 0; n < 1000; n += 1) flood.send("garbage");
  const errors = () => flood.received.filter((name) => name === "error").length;
  await flood.until("each is answered", () => errors() > 200, 20_000);
  t.diagnostic(await witnesses.testify(4 * MIB));
  assert.ok(flood.isOpen);
});

test("pings are answered no faster than frames are read", async () => {
  const raw = await RawSocket.open(relay);
  raw.sendFrame({ hello: { token: mintToken("alice"), dial: 1 } });
  await raw.next();
  raw.send(Buffer.concat(Array(5000).fill(encode(OPCODE.PING, "x".repeat(125)))));
  let pongs = 0;
  const end = Date.now() + 1000;
  while (Date.now() < end && (await raw.next())?.opcode === OPCODE.PONG) pongs += 1;
  assert.ok(pongs > 200 && pongs <= FRAMES_PER_SECOND * 3.2, `${pongs} pongs in about a second`);
  raw.end();
});

test("who never reads costs little, delays nobody, and is told the latest when it reads again", async (t) => {
  const alice = await Peer.join(relay, "alice", "deaf:1");
  const bob = await Peer.join(relay, "bob", "deaf:1");
  const witnesses = await Witnesses.come(relay);
  const deaf = [];
  for (let i = 0; i < 20; i += 1) {
    const peer = await Peer.join(relay, `deaf${i}`, "deaf:1");
    peer.stopReading();
    deaf.push(peer);
  }
  const filler = "x".repeat(3900);
  let n = 0;
  const writer = setInterval(() => {
    for (let i = 0; i < 10; i += 1) {
      n += 1;
      bob.send({ update: { key: "deaf:1", meta: { n, filler } } });
      alice.send({ update: { key: "deaf:1", meta: { n, filler } } });
    }
  }, 110);
  t.after(() => clearInterval(writer));
  await sleep(10_000);
  t.diagnostic(await witnesses.testify(8 * MIB));
  clearInterval(writer);

  const told = () => alice.received.filter((name) => name === "delta").length;
  const [peer] = deaf;
  peer?.readAgain();
  const latest = () => peer?.presence("bob", "deaf:1").meta.n === n;
  await alice.until("the last update is told", () => alice.presence("bob", "deaf:1").meta.n === n);
  await peer?.until("the peer knows what the others know", latest);
  const frames = peer?.received.length ?? 0;
  const snapshots = peer?.received.filter((name) => name === "snapshot").length;
  assert.ok(snapshots === 2 && frames < told() / 2, `${snapshots} snapshots, ${frames} frames`);
  for (const peer of deaf) peer.destroy();
});

test("a thousand sockets that say half a frame cost what they said", async (t) => {
  const witnesses = await Witnesses.come(relay);
  const sockets = await Promise.all(Array.from({ length: 1000 }, () => RawSocket.open(relay)));
  const half = encode(OPCODE.TEXT, "x".repeat(1000)).subarray(0, 500);
  for (const socket of sockets) socket.send(half);
  await sleep(500);
  t.diagnostic(await witnesses.testify(sockets.length * 12 * 1024));
  for (const socket of sockets) socket.end();
});
