// @ts-check
//
// Peers that never get as far as a WebSocket, and crowds of them: what they cost, how long they may
// stay, and that nobody else notices.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";
import { Witnesses } from "../support/witness.mjs";

const KIB = 1024;
const MIB = 1024 * KIB;
/** The relay gives up after 5 s of silence, and 5 s after the first byte; the machine may be slow. */
const GIVEN_UP_MS = 30_000;
/** As many sockets as an address may have that aren't upgraded, and what a relay has open besides. */
const MOST_ARRIVING = 4096 + 100;
/** How many sockets are opened at once: fewer than a system keeps until they are accepted. */
const BATCH = 250;
const REQUEST = "GET /v1/presence HTTP/1.1\r\nHost: 127.0.0.1\r\n";

/** @type {import("../support/relay.mjs").Relay} */
let relay;
/** @type {import("node:net").Socket[]} */
let sockets;

beforeEach(async () => {
  // Whatever has no token takes none of the few places.
  relay = await startRelay({
    args: [
      "--max-connects-per-address",
      "0",
      "--max-connections",
      "5",
      "--metrics-listen",
      "127.0.0.1:0",
    ],
  });
  sockets = [];
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await relay.stop("SIGKILL");
});

test("a request that is trickled has 5 s, and a body 10 s", async (t) => {
  const witnesses = await Witnesses.come(relay);
  const body = await open();
  const answer = read(body);
  body.write("POST /v1/leave HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  /** @type {import("node:net").Socket[]} */
  const slow = [];
  const trickle = setInterval(() => {
    for (const socket of slow) if (socket.writable) socket.write("X-Slow: x\r\n");
    if (body.writable) body.write("{");
  }, 300);
  t.after(() => clearInterval(trickle));
  let startedAt = 0;
  await openAll(300, (socket) => {
    startedAt = performance.now();
    socket.write(REQUEST);
    slow.push(socket);
  });
  await until("all requests are closed", () => slow.every((it) => it.destroyed));
  const ms = performance.now() - startedAt;
  assert.ok(ms > 4000, `they had their time: ${ms} ms`);
  await until("the body is answered", () => answer.text !== "" || body.destroyed);
  assert.match(answer.text, /^HTTP\/1\.1 408 /);
  await until("and it is said why", () => answer.text.includes("}") || body.destroyed);
  assert.match(answer.text, /^content-type: application\/problem\+json\r$/im);
  assert.match(answer.text, /"code":"timeout"/);
  assert.ok((await dropped("trickled")) >= 300);
  t.diagnostic(await witnesses.testify(300 * 40 * KIB));
});

/** What the metrics say was dropped. @param {string} reason */
async function dropped(reason) {
  const { samples } = await metricsOf(relay);
  return Number(samples.get(`whoshere_dropped_total{reason="${reason}"}`));
}

test("headers without end, too long or too many are refused while they come", async (t) => {
  const witnesses = await Witnesses.come(relay);
  const line = `X-Long: ${"x".repeat(1000)}\r\n`;
  for (const head of [
    `${REQUEST}X-Long: ${"x".repeat(MIB)}`,
    `${REQUEST}${line.repeat(1000)}`,
    `${REQUEST}${"X-Many: x\r\n".repeat(200)}\r\n`,
    `GET /${"x".repeat(MIB)}`,
  ]) {
    const floods = await Promise.all(Array.from({ length: 20 }, () => open()));
    const answers = floods.map(read);
    for (const socket of floods) socket.write(head);
    await until("all are closed", () => floods.every((it) => it.destroyed));
    // What the socket still holds when it is closed may cost its peer the answer.
    const all = answers.map((it) => it.text.slice(9, 12));
    assert.ok(
      all.every((it) => ["431", "414", ""].includes(it)),
      `${all}`,
    );
  }
  t.diagnostic(await witnesses.testify(4 * MIB));
});

test("what isn't HTTP is closed", async () => {
  for (const bytes of ["\x16\x03\x01\x02\x00\x01\x00", "\0".repeat(1000), "hello\r\n\r\n"]) {
    const socket = await open();
    socket.write(bytes);
    await until("it is closed", () => socket.destroyed);
  }
});

test("5,000 sockets that say nothing are few at a time, cost little and don't stay", async (t) => {
  const witnesses = await Witnesses.come(relay);
  const nBefore = relay.openFiles;
  assertManyFiles();
  await openAll(5000);
  await until("all are closed", () => relay.openFiles <= nBefore);
  assert.ok(witnesses.openFiles <= MOST_ARRIVING, `${witnesses.openFiles} files were open`);
  const nDropped = (await dropped("silent")) + (await dropped("unheard"));
  assert.ok(nDropped >= sockets.length, `${nDropped} of ${sockets.length}`);
  t.diagnostic(await witnesses.testify(MOST_ARRIVING * 2 * KIB + 4 * MIB));
});

test("10,000 WebSockets that say nothing cost little and don't stay", async (t) => {
  const witnesses = await Witnesses.come(relay);
  assertManyFiles();
  const nSockets = 10_000;
  const key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n";
  const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\n${key}Sec-WebSocket-Protocol: whoshere.v1\r\n`;
  /** @type {{ text: string }[]} */
  const told = [];
  for (let n = 0; n < nSockets; n += BATCH) {
    await openAll(BATCH, (socket) => {
      told.push(read(socket));
      socket.write(`${REQUEST}${upgrade}\r\n`);
    });
  }
  const carol = await Peer.open(relay, { localAddress: "127.0.0.3" });
  await carol.hello(mintToken("carol"));
  await carol.join("witness:1");
  // Those that have waited the longest may have to go before their time.
  const isTold = (/** @type {{ text: string }} */ { text }) => /(timeout|busy)$/.test(text);
  await until("each is told that it said no hello", () => told.every(isTold));
  assert.ok(carol.isOpen, "who has a token came in meanwhile");
  assert.ok(told.every(({ text }) => text.startsWith("HTTP/1.1 101 ")));
  const measured = await witnesses.testify(nSockets * 4 * KIB + 4 * MIB);
  const each = (witnesses.grownBytes / witnesses.openFiles).toFixed(0);
  t.diagnostic(`${measured}: ${each} bytes each`);
});

test("a goodbye counts before its body is there", async () => {
  await relay.stop();
  relay = await startRelay({ args: ["--max-connects-per-address", "1"] });
  /** @type {{ text: string }[]} */
  const answers = [];
  await openAll(100, (socket) => {
    answers.push(read(socket));
    socket.write("POST /v1/leave HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  });
  // Who is within the limit isn't answered before the body.
  await until("one is told", () => answers.some(({ text }) => text.startsWith("HTTP/1.1 429 ")));
});

/**
 * @param {(socket: import("node:net").Socket) => void} [onOpen] called as soon as it is open
 * @returns {Promise<import("node:net").Socket>} a socket of which nothing was sent besides
 */
function open(onOpen = () => {}) {
  return new Promise((resolve, reject) => {
    const socket = connect(relay.port, "127.0.0.1");
    sockets.push(socket);
    socket.once("connect", () => {
      onOpen(socket);
      resolve(socket);
    });
    // A reset is how some of these end.
    socket.on("error", reject);
    // Only what is read tells that a socket has ended.
    socket.resume();
  });
}

/** @param {import("node:net").Socket} socket */
function read(socket) {
  const reading = { text: "" };
  socket.on("data", (bytes) => {
    reading.text += bytes;
  });
  return reading;
}

/**
 * @param {string} what
 * @param {() => boolean} condition
 */
async function until(what, condition) {
  const deadline = Date.now() + GIVEN_UP_MS;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `waited ${GIVEN_UP_MS} ms until ${what}`);
    await sleep(10);
  }
}

/**
 * @param {number} nSockets
 * @param {(socket: import("node:net").Socket) => void} [onOpen] called as soon as each is open
 */
async function openAll(nSockets, onOpen) {
  /** @type {import("node:net").Socket[]} */
  const all = [];
  while (all.length < nSockets) {
    const batch = Array.from({ length: Math.min(BATCH, nSockets - all.length) }, () =>
      open(onOpen),
    );
    all.push(...(await Promise.all(batch)));
  }
  return all;
}

/** Fails where this process, and so the relay, may not open as many files as a crowd of 10,000 needs. */
function assertManyFiles() {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const openFiles = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1]);
  // Node has raised it as far as it goes.
  assert.ok(openFiles >= 10_500, `no more than ${openFiles} files may be open: raise ulimit -Hn`);
}
