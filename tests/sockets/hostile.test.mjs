// @ts-check
//
// Peers that do too much or too little: the others must not notice, and memory must not grow.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Peer, sleep } from "../support/peer.mjs";
import { encode, OPCODE, RawSocket } from "../support/raw.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

const MIB = 1024 * 1024;
const FRAMES_PER_SECOND = 100;

/** @type {import("../support/relay.mjs").Relay} */
let relay;

beforeEach(async () => {
  relay = await startRelay();
});
afterEach(() => relay.stop());

test("10,000 frames at once are read at the peer's own expense, and none is lost", async () => {
  const alice = await Peer.join(relay, "alice", "flood:1");
  const bob = await Peer.join(relay, "bob", "flood:1");
  const flood = await Peer.join(relay, "flood", "flood:1", { n: 0 });
  await alice.sees(["alice", "bob", "flood"], "flood:1");
  const bytesBefore = relay.residentBytes;
  const startedAt = performance.now();
  for (let n = 1; n <= 10_000; n += 1) flood.send({ update: { key: "flood:1", meta: { n } } });

  await checkLatency(alice, bob, "flood:1", 3000);
  const read = alice.presence("flood", "flood:1").meta.n;
  const seconds = (performance.now() - startedAt) / 1000;
  const most = FRAMES_PER_SECOND * (seconds + 2) + 1;
  assert.ok(read > 300 && read <= most, `${read} frames were read in ${seconds} s`);
  const grown = relay.residentBytes - bytesBefore;
  assert.ok(grown < 4 * MIB, `the relay grew by ${grown} bytes`);

  await sleep(1000);
  const later = () => alice.presence("flood", "flood:1").meta.n;
  await alice.until("reading goes on where it was", () => later() > read + 50);
  flood.destroy();
});

test("a flood of garbage neither kills its sender's connection nor disturbs anybody", async () => {
  const alice = await Peer.join(relay, "alice", "garbage:1");
  const bob = await Peer.join(relay, "bob", "garbage:1");
  const flood = await Peer.join(relay, "flood", "garbage:1");
  for (let n = 0; n < 1000; n += 1) flood.send("garbage");
  await checkLatency(alice, bob, "garbage:1", 1000);
  assert.ok(flood.isOpen);
  const errors = flood.received.filter((name) => name === "error").length;
  assert.ok(errors > 200, `each is answered: ${errors}`);
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
  const bytesBefore = relay.residentBytes;
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
  const end = Date.now() + 10_000;
  let largest = 0;
  while (Date.now() < end) {
    await sleep(200);
    largest = Math.max(largest, relay.residentBytes - bytesBefore);
  }
  clearInterval(writer);
  t.diagnostic(`20 peers that never read: the relay grew by ${largest} bytes`);
  assert.ok(largest < 8 * MIB, `the relay grew by ${largest} bytes`);
  await checkLatency(alice, bob, "deaf:1", 1000);

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
  const bytesBefore = relay.residentBytes;
  const sockets = await Promise.all(Array.from({ length: 1000 }, () => RawSocket.open(relay)));
  const half = encode(OPCODE.TEXT, "x".repeat(1000)).subarray(0, 500);
  for (const socket of sockets) socket.send(half);
  await sleep(500);
  const each = (relay.residentBytes - bytesBefore) / sockets.length;
  t.diagnostic(`a socket with half a frame of 500 bytes: ${each} bytes`);
  assert.ok(each < 12 * 1024, `${each} bytes each`);
  for (const socket of sockets) socket.end();
});

/**
 * Checks that an update of one peer reaches another soon. The machine may be busy with other things,
 * so only the median is held to what a person notices.
 *
 * @param {Peer} from
 * @param {Peer} to
 * @param {string} key
 * @param {number} durationMs
 */
async function checkLatency(from, to, key, durationMs) {
  const user = from.users(key).find((it) => !/deaf|flood|bob/.test(it)) ?? "";
  const took = [];
  const end = performance.now() + durationMs;
  for (let probe = 1; performance.now() < end; probe += 1) {
    const startedAt = performance.now();
    from.send({ update: { key, meta: { probe } } });
    await to.until("the update arrives", () => to.presence(user, key)?.meta.probe === probe);
    took.push(performance.now() - startedAt);
    await sleep(30);
  }
  took.sort((a, b) => a - b);
  const [median, slowest] = [took[took.length >> 1], took.at(-1)];
  const text = `${took.length} updates, the median took ${median} ms, the slowest ${slowest} ms`;
  assert.ok(Number(median) < 50 && Number(slowest) < 500, text);
}
