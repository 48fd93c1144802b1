// @ts-check
//
// How often one address may come: what its pages are told, and that nobody else notices.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { RawSocket } from "../support/raw.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

/** @type {import("../support/relay.mjs").Relay | undefined} */
let relay;

afterEach(() => relay?.stop("SIGKILL"));

/** A machine that is too slow to dial so often within its limits has other problems. */
const MOST_DIALS = 500;
const LIMITED = ["--max-connects-per-address", "1", "--trusted-proxy", "127.0.0.1"];

/** @param {string} address what a proxy would say */
async function dial(address) {
  const from = { "X-Forwarded-For": address };
  const raw = await RawSocket.open(/** @type {any} */ (relay), from);
  return { raw, status: raw.status };
}

test("an address that dials too often is told busy, then answered with 429, and others come in", async () => {
  relay = await startRelay({ args: LIMITED });
  const alice = await Peer.join(relay, "alice", "door:1");
  const open = [];
  let isFlooded = false;
  while (!isFlooded && open.length < MOST_DIALS) {
    const { raw, status } = await dial("198.51.100.7");
    if (status === 429) {
      isFlooded = true;
      assert.match(raw.head, /^retry-after: [1-9]\d*$/im);
      raw.end();
    } else {
      assert.equal(status, 101);
      open.push(raw);
    }
  }
  assert.ok(isFlooded, "in the end it is only answered");
  const first = open.splice(0, 10);
  const refused = open.splice(15);
  assert.ok(refused.length > 0);
  // One is let in every second, and says nothing; on a slow machine there are some of those among them.
  const codes = await Promise.all(refused.map((it) => it.closeCode().catch(() => 4408)));
  assert.ok(codes.includes(4429), `${codes}`);
  assert.ok(
    codes.every((it) => it === 4429 || it === 4408),
    `${codes}`,
  );

  const { raw, status } = await dial("198.51.100.8");
  assert.equal(status, 101);
  const bob = await Peer.join(relay, "bob", "door:1");
  await alice.sees(["alice", "bob"], "door:1");
  assert.ok(bob.isOpen);
  for (const socket of [raw, ...first, ...open]) socket.end();
});

test("sockets without a hello, of however many addresses, keep nobody out who has a token", async () => {
  relay = await startRelay({
    args: ["--max-connections", "5", "--trusted-proxy", "127.0.0.1"],
  });
  const silent = await Promise.all(Array.from({ length: 200 }, (_, n) => dial(`198.51.100.${n}`)));
  assert.ok(silent.every(({ status }) => status === 101));
  const alice = await Peer.join(relay, "alice", "door:1");
  await Peer.join(relay, "bob", "door:1");
  await alice.sees(["alice", "bob"], "door:1");
  const codes = await Promise.all(silent.map(({ raw }) => raw.closeCode(20_000)));
  assert.ok(
    codes.every((it) => it === 4408),
    `each has the time to say hello: ${codes}`,
  );
});

test("who writes the headers of a proxy without being one is counted by its own address", async () => {
  relay = await startRelay({ args: ["--max-connects-per-address", "1"] });
  let last = 0;
  for (let n = 0; last !== 429 && n < MOST_DIALS; n += 1) {
    const { raw, status } = await dial(`198.51.100.${n % 256}`);
    last = status;
    raw.end();
  }
  assert.equal(last, 429);
  const nTold = () => relay?.log.match(/--trusted-proxy is missing/g)?.length ?? 0;
  while (nTold() === 0) await sleep(20);
  assert.equal(nTold(), 1, "and once only");
});

test("goodbyes of one address count as well", async () => {
  relay = await startRelay({ args: ["--max-connects-per-address", "1"] });
  const goodbye = () => fetch(`${relay?.http}/v1/leave`, { method: "POST", body: "{}" });
  let answer = await goodbye();
  assert.equal(answer.status, 400, "a beacon without a resume token");
  for (let n = 0; answer.status !== 429 && n < MOST_DIALS; n += 1) answer = await goodbye();
  assert.equal(answer.status, 429);
  assert.match(await answer.text(), /"code":"busy"/);
});

test("a user who connects too often is told to come later, wherever they come from, and nobody else", async () => {
  relay = await startRelay({ args: ["--max-connects-per-user", "1"] });
  const bob = await Peer.join(relay, "bob", "door:1");
  const addresses = ["127.0.0.1", "127.0.0.2"];
  let refused;
  for (let n = 0; refused === undefined && n < MOST_DIALS; n += 1) {
    const peer = await Peer.open(relay, { localAddress: addresses[n % 2] });
    peer.send({ hello: { token: mintToken("alice"), dial: 1 } });
    await peer.until("an answer", () => peer.received.length > 0 || !peer.isOpen);
    if (peer.isOpen) await peer.close(1000);
    else refused = { ...(await peer.closed()), n };
  }
  assert.ok(refused !== undefined && refused.n >= 10, `ten at once are let in: ${refused?.n}`);
  assert.deepEqual([refused.code, refused.reason], [4429, "busy"]);
  for (const localAddress of addresses) {
    const carol = await Peer.open(relay, { localAddress });
    await carol.hello(mintToken(`carol ${localAddress}`));
    await carol.join("door:1");
  }
  await bob.sees(["bob", "carol 127.0.0.1", "carol 127.0.0.2"], "door:1");
});

test("a user with as many connections as they may have is told to come later, and nobody else", async () => {
  relay = await startRelay({ args: ["--max-connections-per-user", "2"] });
  const first = await Peer.open(relay);
  const { resume } = await first.hello(mintToken("alice"));
  const second = await Peer.join(relay, "alice", "tabs:1");
  const third = await Peer.open(relay);
  third.send({ hello: { token: mintToken("alice"), dial: 1 } });
  assert.deepEqual(await third.closed(), { code: 4429, reason: "busy" });
  await Peer.join(relay, "bob", "tabs:1");
  await second.sees(["alice", "bob"], "tabs:1");

  const again = await Peer.open(relay);
  await again.hello(mintToken("alice"), { resume, dial: 2 });
  assert.deepEqual(await first.closed(), { code: 4409, reason: "replaced" }, "its place is taken");
  await again.close(1000);
  const fourth = await Peer.open(relay);
  await fourth.hello(mintToken("alice"));
});

test("a user who says too much is told late, and closed if that doesn't help, and nobody else notices", async () => {
  relay = await startRelay({ args: ["--max-frames-per-user", "5"] });
  const alice = await Peer.join(relay, "alice", "rate:1");
  const carol = await Peer.join(relay, "carol", "rate:1");
  const bob = await Peer.join(relay, "bob", "rate:1");
  const update = (/** @type {Peer} */ peer, /** @type {number} */ n) =>
    peer.send({ update: { key: "rate:1", meta: { n } } });
  // 50 are saved up; of the others the last is told.
  for (let n = 1; n <= 100; n += 1) update(bob, n);
  await alice.until("the last is told", () => alice.presence("bob", "rate:1")?.meta.n === 100);
  assert.ok(bob.isOpen);
  for (let n = 101; n <= 1000; n += 1) update(bob, n);
  update(carol, 7);
  await alice.until("carol is heard", () => alice.presence("carol", "rate:1").meta.n === 7);
  assert.deepEqual(await bob.closed(20_000), { code: 4429, reason: "busy" });
  assert.ok(alice.isOpen && carol.isOpen);
  assert.deepEqual(alice.users("rate:1"), ["alice", "bob", "carol"], "it is a loss, not a leave");
});

test("an address from which too much comes is told late, and nobody is closed for it", async () => {
  relay = await startRelay({
    args: ["--max-frames-per-address", "20", "--metrics-listen", "127.0.0.1:0"],
  });
  const alice = await Peer.join(relay, "alice", "rate:1");
  const { url } = relay;
  const open = async (/** @type {string} */ user) => {
    const peer = await Peer.open({ url }, { localAddress: "127.0.0.2" });
    await peer.hello(mintToken(user));
    await peer.join("rate:1");
    return peer;
  };
  const [bob, carol] = [await open("bob"), await open("carol")];
  for (let n = 1; n <= 500; n += 1) {
    bob.send({ update: { key: "rate:1", meta: { n } } });
    carol.send({ pulse: { key: "rate:1", name: "cursor", value: `${n}` } });
  }
  bob.send({ heartbeat: {} });
  await bob.until("all was read", () => bob.received.includes("heartbeat"), 20_000);
  await alice.until("the last is told", () => alice.presence("bob", "rate:1").meta.n === 500);
  const { samples } = await metricsOf(relay);
  const dropped = Number(samples.get('whoshere_dropped_total{reason="rate"}'));
  assert.ok(dropped > 100, `${dropped} were dropped`);
  assert.ok(bob.isOpen && carol.isOpen);
  assert.deepEqual(alice.users("rate:1"), ["alice", "bob", "carol"]);
});

test("a relay may hold fewer presences in all and of a user, who fills no others' room", async () => {
  relay = await startRelay({ args: ["--max-presences", "4", "--max-presences-per-user", "2"] });
  const alice = await Peer.join(relay, "alice", "full:1");
  await alice.join("full:2");
  alice.send({ join: { key: "full:3" } });
  assert.equal((await alice.next("error")).code, "key_full");
  const again = await Peer.open(relay);
  await again.hello(mintToken("alice"));
  again.send({ join: { key: "full:3" } });
  assert.equal((await again.next("error")).code, "key_full", "on another connection, too");
  const bob = await Peer.join(relay, "bob", "full:3");
  await bob.join("full:1");
  const carol = await Peer.open(relay);
  await carol.hello(mintToken("carol"));
  carol.send({ join: { key: "full:4" } });
  assert.equal((await carol.next("error")).code, "key_full", "there are four in all");
  alice.send({ leave: { key: "full:2" } });
  await alice.heartbeat();
  await carol.join("full:4");
});

test("a relay may hold fewer presences in a key and keys of a connection", async () => {
  relay = await startRelay({
    args: ["--max-presences-per-key", "2", "--max-keys-per-connection", "1"],
  });
  const alice = await Peer.join(relay, "alice", "full:1");
  const bob = await Peer.join(relay, "bob", "full:1");
  const carol = await Peer.open(relay);
  await carol.hello(mintToken("carol"));
  carol.send({ join: { key: "full:1" } });
  assert.equal((await carol.next("error")).code, "key_full");
  alice.send({ join: { key: "full:2" } });
  assert.equal((await alice.next("error")).code, "too_many_keys");
  await bob.close(1001);
  await carol.join("full:1");
  await alice.sees(["alice", "carol"], "full:1");
});
