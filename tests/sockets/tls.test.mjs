// @ts-check
//
// A relay that speaks TLS itself: what works, what is refused, and certificates that are renewed.
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";
import { Witnesses } from "../support/witness.mjs";

const KIB = 1024;
const MIB = 1024 * KIB;
const PATIENCE_MS = 30_000;

/** Two certificates for 127.0.0.1 that sign themselves, good for nothing but these tests. */
const CERTIFICATES = fileURLToPath(new URL("../support/tls", import.meta.url));
const [one, other] = ["one", "other"].map((it) => readFileSync(join(CERTIFICATES, `${it}.crt`)));
const folder = mkdtempSync(join(tmpdir(), "whoshere-tls-"));
const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];

/** @type {import("../support/relay.mjs").Relay} */
let relay;

beforeEach(async () => {
  copyFileSync(join(CERTIFICATES, "one.crt"), cert);
  copyFileSync(join(CERTIFICATES, "one.key"), key);
  const limits = ["--max-connects-per-address", "0", "--metrics-listen", "127.0.0.1:0"];
  relay = await startRelay({ args: ["--tls-cert", cert, "--tls-key", key, ...limits] });
});
afterEach(() => relay.stop("SIGKILL"));
after(() => rmSync(folder, { recursive: true }));

test("pages speak over TLS as they do without", async () => {
  assert.match(relay.url, /^wss:/);
  const alice = await enter("alice");
  const bob = await enter("bob");
  await alice.sees(["alice", "bob"]);
  const filler = "x".repeat(3900);
  for (let n = 1; n <= 100; n += 1)
    bob.send({ update: { key: "document:1", meta: { n, filler } } });
  await alice.until("the last is told", () => alice.presence("bob").meta.n === 100);
  await bob.close(1001);
  await alice.sees(["alice"]);
});

test("why a page is refused arrives", async () => {
  const peer = await Peer.open(relay, { ca: one });
  peer.send({ hello: { token: "garbage", dial: 1 } });
  assert.deepEqual(await peer.closed(), { code: 4401, reason: "denied" });
});

test("a certificate that is renewed is used for whoever comes then, and one without its key is not", async () => {
  const alice = await enter("alice");
  assert.equal(await name(), "one.test");
  copyFileSync(join(CERTIFICATES, "other.crt"), cert);
  await until("it is noticed", () => /can't be used as they are/.test(relay.log));
  assert.equal(await name(), "one.test", "a certificate with another's key is not taken");
  copyFileSync(join(CERTIFICATES, "other.key"), key);
  await until("the pair is taken", () => /new connections get the certificate/.test(relay.log));
  assert.equal(await name(), "other.test");
  writeFileSync(key, "nonsense");
  await until("it is noticed", () => (relay.log.match(/can't be used/g)?.length ?? 0) >= 2);
  const bob = await enter("bob", other);
  await alice.sees(["alice", "bob"]);
  assert.ok(bob.isOpen);
});

test("who doesn't speak TLS is closed, and so is a handshake that stops or is trickled", async (t) => {
  const witnesses = await Witnesses.come(relay, { ca: one });
  const plain = await open();
  plain.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  let answer = "";
  plain.on("data", (bytes) => {
    answer += bytes.toString("latin1");
  });
  await until("HTTP is closed", () => plain.destroyed);
  assert.doesNotMatch(answer, /HTTP/);

  const slow = await Promise.all(Array.from({ length: 200 }, open));
  // A record that holds 512 bytes of a handshake, and will never be whole.
  for (const socket of slow) socket.write(Buffer.from("160301020001", "hex"));
  const trickle = setInterval(() => {
    for (const socket of slow.slice(100)) if (socket.writable) socket.write("\0");
  }, 300);
  t.after(() => clearInterval(trickle));
  await until("all are closed", () => slow.every((it) => it.destroyed));
  const { samples } = await metricsOf(relay);
  assert.equal(samples.get('whoshere_dropped_total{reason="handshake"}'), 201);
  t.diagnostic(await witnesses.testify(200 * 40 * KIB));
});

test("an address that shakes hands too often is dropped, and nobody else notices", async () => {
  await relay.stop("SIGKILL");
  relay = await startRelay({
    args: [
      ...["--tls-cert", cert, "--tls-key", key, "--max-connects-per-address", "1"],
      ...["--metrics-listen", "127.0.0.1:0"],
    ],
  });
  const elsewhere = { ca: one, localAddress: "127.0.0.2" };
  const alice = await Peer.open(relay, elsewhere);
  await alice.hello(mintToken("alice"));
  let shaken = 0;
  let reason = "";
  while (reason === "") {
    await name().catch((error) => {
      reason = error.code;
    });
    shaken += 1;
    assert.ok(shaken < 1000, `${shaken} handshakes, and none is refused`);
  }
  assert.match(reason, /^(ECONNRESET|EPIPE)$/);
  assert.ok(shaken > 40, `what was saved up is given: ${shaken}`);
  const bob = await Peer.open(relay, elsewhere);
  await bob.hello(mintToken("bob"));
  assert.ok(alice.isOpen);
  const { samples } = await metricsOf(relay);
  assert.ok(Number(samples.get('whoshere_dropped_total{reason="too_often"}')) >= 1);
});

test("who never reads costs little over TLS, too, and is told the latest when it reads again", async (t) => {
  const witnesses = await Witnesses.come(relay, { ca: one });
  const bob = await enter("writer");
  const deaf = await Promise.all(Array.from({ length: 20 }, (_, i) => enter(`deaf${i}`)));
  for (const peer of deaf) peer.stopReading();
  const filler = "x".repeat(3900);
  const last = 500;
  for (let n = 1; n <= last; n += 1) {
    bob.send({ update: { key: "document:1", meta: { n, filler } } });
    await sleep(12);
  }
  for (const peer of deaf) peer.readAgain();
  for (const peer of deaf) {
    const latest = () => peer.presence("writer").meta.n === last;
    await peer.until("the peer knows the latest", latest, PATIENCE_MS);
    const snapshots = peer.received.filter((name) => name === "snapshot").length;
    const frames = peer.received.length;
    assert.ok(
      snapshots >= 2 && frames < last,
      `${snapshots} snapshots, ${frames} frames of ${last}`,
    );
  }
  t.diagnostic(await witnesses.testify(16 * MIB));
});

test("what the socket didn't take at last is told when it does, without anything else to be told", async (t) => {
  await relay.stop("SIGKILL");
  // So that no ping comes behind what is held back, and takes it along.
  const args = ["--max-connects-per-address", "0", "--heartbeat", "300s"];
  relay = await startRelay({ args: ["--tls-cert", cert, "--tls-key", key, ...args] });
  const bob = await enter("writer");
  const filler = "x".repeat(3900);
  const peers = [];
  for (let i = 0; i < 120; i += 20) {
    peers.push(...(await Promise.all(Array.from({ length: 20 }, (_, k) => enter(`deaf${i + k}`)))));
  }
  const began = Date.now();
  let n = 0;
  // Each stops reading an update later than the one before: for some the socket takes all but the last.
  for (const peer of peers) {
    peer.stopReading();
    n += 1;
    bob.send({ update: { key: "document:1", meta: { n, filler } } });
    await bob.until("it is told", () => bob.presence("writer").meta.n === n, PATIENCE_MS);
  }
  t.diagnostic(`none reads for ${Date.now() - began} ms`);
  for (const peer of peers) peer.readAgain();
  for (const peer of peers) {
    // On a machine so slow that it took 30 s the relay has given some up, and rightly.
    const latest = () => peer.presence("writer").meta.n === n || !peer.isOpen;
    await peer.until("the peer knows the latest", latest, PATIENCE_MS);
  }
});

test("a connection that has nothing to say keeps little", async (t) => {
  const before = relay.residentBytes;
  const peers = [];
  for (let n = 0; n < 10; n += 1) {
    peers.push(
      ...(await Promise.all(Array.from({ length: 30 }, (_, i) => enter(`${n}.${i}`, one, "idle")))),
    );
  }
  const each = (relay.residentBytes - before) / peers.length;
  t.diagnostic(`a connection over TLS: ${each.toFixed(0)} bytes`);
  assert.ok(each < 48 * KIB, `${each} bytes each`);
  for (const peer of peers) peer.destroy();
});

/**
 * @param {string} user
 * @param {Buffer} [ca]
 * @param {string} [document]
 */
async function enter(user, ca = one, document = "document:1") {
  const peer = await Peer.open(relay, { ca });
  await peer.hello(mintToken(user));
  await peer.join(document);
  return peer;
}

/** @returns {Promise<string>} the name in the certificate that a new connection gets */
function name() {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port: relay.port, host: "127.0.0.1", rejectUnauthorized: false });
    socket.once("secureConnect", () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

/** @returns {Promise<import("node:net").Socket>} */
function open() {
  return new Promise((resolve, reject) => {
    const socket = connect(relay.port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject).resume();
  });
}

/**
 * @param {string} what
 * @param {() => boolean} condition
 */
async function until(what, condition) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `waited ${PATIENCE_MS} ms until ${what}: ${relay.log}`);
    await sleep(10);
  }
}
