// @ts-check
//
// Server-sent events: what a server that watches a key is told, and when that ends.
import assert from "node:assert/strict";
import { once } from "node:events";
import { get } from "node:http";
import { after, before, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

/** @type {import("../support/relay.mjs").Relay} */
let relay;
/** @type {Ajv2020} */
let ajv;

before(async () => {
  relay = await startRelay();
  const document = /** @type {object} */ (
    await (await fetch(`${relay.http}/v1/openapi.json`)).json()
  );
  ajv = new Ajv2020({ strict: false });
  ajv.addSchema(document, "openapi");
});
after(() => relay.stop());

test("a watcher is told everybody who is there, and then what happens to whom", async () => {
  const alice = await Peer.join(relay, "alice", "watch:1", { n: 1 });
  const watch = await Watch.open(relay, "watch:1");
  const first = await watch.next("snapshot");
  assert.deepEqual(
    first.members.map((/** @type {any} */ it) => [it.user.id, it.sessions[0].meta]),
    [["alice", { n: 1 }]],
  );
  const bob = await Peer.join(relay, "bob", "watch:1");
  assert.equal((await watch.next("joined")).user.id, "bob");
  const tab = await Peer.join(relay, "bob", "watch:1");
  assert.equal((await watch.next("updated")).sessions.length, 2, "another tab is no other user");
  await tab.close(1001);
  assert.equal((await watch.next("updated")).sessions.length, 1);
  alice.send({ update: { key: "watch:1", meta: { n: 2 } } });
  assert.deepEqual((await watch.next("updated")).sessions[0].meta, { n: 2 });

  const eve = await Peer.open(relay);
  await eve.hello(mintToken("eve"));
  eve.send({ observe: { key: "watch:1" } });
  await eve.next("snapshot");
  await eve.close(1001);
  const elsewhere = await Peer.join(relay, "carol", "watch:2");
  await bob.close(1001);
  const left = await watch.next("left");
  assert.deepEqual([left.user.id, left.reason], ["bob", "left"], "nobody else was told of");
  watch.close();
  for (const peer of [alice, elsewhere]) await peer.close(1001);
});

test("it ends with the token, and with the relay", async (t) => {
  const other = await startRelay();
  t.after(() => other.stop());
  const exp = Math.floor(Date.now() / 1000) + 3;
  const short = await Watch.open(other, "watch:1", { exp });
  const long = await Watch.open(other, "watch:1");
  await short.next("snapshot");
  assert.deepEqual(await short.next("end"), { code: "expired" });
  await short.ended();
  await long.next("snapshot");
  assert.ok(!long.isOver);
  assert.equal(await other.stop(), 0);
  assert.deepEqual(await long.next("end"), { code: "restarting" });
  await long.ended();
});

test("it ends for whom the application puts out, who may not watch again for a while", async () => {
  const watch = await Watch.open(relay, "watch:kick", { sub: "robot" });
  const other = await Watch.open(relay, "watch:kick");
  await watch.next("snapshot");
  const token = mintToken({ sub: "server", can: ["kick"] });
  const kicked = await fetch(`${relay.http}/v1/keys/watch:kick/kick`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify({ user: "robot" }),
  });
  assert.equal(kicked.status, 200);
  assert.deepEqual(await watch.next("end"), { code: "kicked" });
  await watch.ended();
  const again = await Watch.open(relay, "watch:kick", { sub: "robot" });
  await again.ended();
  assert.deepEqual([again.status, JSON.parse(again.text).code], [403, "kicked"]);
  assert.ok(!other.isOver);
  other.close();
});

test("while nothing happens it says so, as often as pages do", async (t) => {
  const other = await startRelay({ args: ["--heartbeat", "1s"] });
  t.after(() => other.stop());
  const watch = await Watch.open(other, "watch:1");
  await watch.next("snapshot");
  await watch.until("there are three comments", () => watch.nComments >= 3);
  assert.equal(watch.events.length, 1);
  watch.close();
});

test("a meta with line breaks is one event like any other", async () => {
  const alice = await Peer.join(relay, "alice", "watch:lines");
  const watch = await Watch.open(relay, "watch:lines");
  await watch.next("snapshot");
  const meta = '{\n\n"a":\r\n\r\n"event: left\\n\\n" }';
  alice.send(`{"update":{"key":"watch:lines","meta":${meta}}}`);
  const { sessions } = await watch.next("updated");
  assert.deepEqual(sessions[0].meta, { a: "event: left\n\n" });
  const again = await Watch.open(relay, "watch:lines");
  assert.deepEqual((await again.next("snapshot")).members[0].sessions[0].meta, sessions[0].meta);
  for (const it of [watch, again]) it.close();
  await alice.close(1001);
});

test("who may not list the key may not watch it", async () => {
  for (const [claims, status, code] of /** @type {const} */ ([
    [{ can: ["join"] }, 403, "not_allowed"],
    [{ keys: ["other"] }, 403, "key_denied"],
    [{ exp: 1 }, 401, "expired"],
  ])) {
    const watch = await Watch.open(relay, "watch:1", claims);
    await watch.ended();
    assert.deepEqual([watch.status, JSON.parse(watch.text).code], [status, code]);
  }
});

test("a watcher that falls behind is given a snapshot, and nobody waits for it", async () => {
  const key = "watch:slow";
  const people = Array.from({ length: 20 }, (_, n) => `user${n}`);
  const peers = await Promise.all(people.map((name) => Peer.join(relay, name, key)));
  const watch = await Watch.open(relay, key);
  await watch.next("snapshot");
  watch.pause();
  // Far more than the system takes for it, and a key remembers.
  const last = 300;
  for (let n = 1; n <= last; n += 1) {
    for (const peer of peers) {
      peer.send({ update: { key, meta: { n, text: "x".repeat(4000) } } });
    }
    await Promise.all(peers.map((it) => it.heartbeat()));
  }
  watch.resume();
  /** @type {Map<string, number>} */
  const known = new Map();
  await watch.until("all are up to date", () => {
    for (const { data } of watch.events.splice(0)) {
      for (const { user, sessions } of data.members ?? [data]) {
        known.set(user.id, sessions[0].meta.n ?? 0);
      }
    }
    return people.every((it) => known.get(it) === last);
  });
  assert.ok(watch.nSnapshots >= 2, "it was given another snapshot");
  watch.close();
  for (const peer of peers) await peer.close(1001);
});

test("who never reads costs little and is ended, and its place is free again", async (t) => {
  const other = await startRelay({ args: ["--max-connections-per-user", "5"] });
  t.after(() => other.stop());
  const key = "watch:deaf";
  const people = Array.from({ length: 20 }, (_, n) => `user${n}`);
  const peers = await Promise.all(people.map((name) => Peer.join(other, name, key)));
  const deaf = await Promise.all(Array.from({ length: 5 }, () => Watch.open(other, key)));
  for (const it of deaf) it.pause();
  const bytesBefore = other.residentBytes;
  let largest = 0;
  for (let n = 1, status = 429; status !== 200; n += 1) {
    for (const peer of peers) peer.send({ update: { key, meta: { n, text: "x".repeat(4000) } } });
    await Promise.all(peers.map((it) => it.heartbeat()));
    largest = Math.max(largest, other.residentBytes - bytesBefore);
    await sleep(100);
    const again = await Watch.open(other, key);
    ({ status } = again);
    again.close();
    assert.ok(status === 200 || status === 429, `${status}`);
    assert.ok(n < 1000, "they are ended at last");
  }
  t.diagnostic(`5 watchers that never read: the relay grew by ${largest} bytes`);
  assert.ok(largest < 16 * 1024 * 1024, `the relay grew by ${largest} bytes`);
  for (const it of [...deaf, ...peers]) await it.close(1001);
});

test("what many that never read are told of a large key is bounded, and others hear at once", async (t) => {
  const other = await startRelay({ args: ["--max-requests-per-address", "0"] });
  t.after(() => other.stop("SIGKILL"));
  const key = "watch:large";
  await fill(other, key);
  const bytesBefore = other.residentBytes;
  let largest = 0;
  const deaf = [];
  for (let n = 0; n < 100; n += 1) {
    const watch = await Watch.open(other, key);
    watch.pause();
    deaf.push(watch);
    largest = Math.max(largest, other.residentBytes - bytesBefore);
  }
  const small = await Watch.open(other, "watch:small");
  await small.next("snapshot");
  largest = Math.max(largest, other.residentBytes - bytesBefore);
  t.diagnostic(`100 of 4 MB each that nobody takes: the relay grew by ${largest} bytes`);
  assert.ok(largest < 250 * 1024 * 1024, `the relay grew by ${largest} bytes`);
  for (const it of deaf) it.close();
  const last = await Watch.open(other, key);
  assert.equal((await last.next("snapshot")).count, 1000, "its turn comes");
  for (const it of [small, last]) it.close();
});

test("who waits for room keeps its turn over heartbeats, and who has room is ended after a minute", async (t) => {
  const args = ["--max-requests-per-address", "0", "--heartbeat", "2s"];
  const other = await startRelay({ args: [...args, "--metrics-listen", "127.0.0.1:0"] });
  t.after(() => other.stop("SIGKILL"));
  const key = "watch:large";
  await fill(other, key);
  const startedAt = performance.now();
  const slow = await Watch.open(other, key);
  slow.takeSome();
  // Until nothing is left of the room.
  const deaf = [];
  for (let begins = true; begins; ) {
    const watch = await Watch.open(other, key);
    watch.takeSome();
    for (let n = 0; n < 20 && watch.text === ""; n += 1) await sleep(50);
    begins = watch.text !== "";
    if (begins) deaf.push(watch);
    else watch.close();
  }
  const first = await Watch.open(other, key);
  await sleep(1000);
  const second = await Watch.open(other, key);
  second.pause();
  // Now the first was told after the second that it goes on.
  await first.until("there are two comments", () => first.nComments >= 2);
  const freedAt = performance.now();
  deaf.pop()?.close();
  await first.until("the first has its turn", () => first.nSnapshots === 1);
  const waited = performance.now() - freedAt;
  assert.ok(waited < 10_000, `it waits for ${waited} ms, behind one that never reads`);
  for (const it of [first, second, ...deaf]) it.close();

  // Far more than a trickle, and far less than all.
  const watchers = async () => (await metricsOf(other)).samples.get("whoshere_watchers");
  while ((await watchers()) !== 0) {
    assert.ok(performance.now() - startedAt < 90_000, "it is never ended");
    slow.takeSome();
    await sleep(2000);
  }
  const ended = performance.now() - startedAt;
  assert.ok(ended > 60_000, `it is ended after ${ended} ms, before its time`);
  assert.equal(slow.nSnapshots, 0);
  slow.close();
});

test("no more than 1,000 watch at a time, and of one user 200", async (t) => {
  const other = await startRelay();
  t.after(() => other.stop());
  const watches = [];
  for (const sub of ["a", "b", "c", "d", "e"]) {
    for (let n = 0; n < 200; n += 50) {
      const some = Array.from({ length: 50 }, (_, it) => Watch.open(other, `watch:${it}`, { sub }));
      watches.push(...(await Promise.all(some)));
    }
    const refused = await Watch.open(other, "watch:1", { sub });
    await refused.ended();
    const expected = sub === "e" ? [503, "busy"] : [429, "busy"];
    assert.deepEqual([refused.status, JSON.parse(refused.text).code], expected);
  }
  assert.ok(watches.every((it) => it.status === 200));
  watches.pop()?.close();
  const deadline = Date.now() + 60_000;
  for (let status = 503; status !== 200; ) {
    assert.ok(Date.now() < deadline, "a place that is free is taken");
    const again = await Watch.open(other, "watch:1", { sub: "e" });
    ({ status } = again);
    again.close();
    await sleep(50);
  }
  for (const it of watches) it.close();
});

/**
 * Fills a key with a thousand, whose metas are as large as may be: 4 MB.
 *
 * @param {import("../support/relay.mjs").Relay} of
 * @param {string} key
 */
async function fill(of, key) {
  const meta = { text: "x".repeat(4000) };
  const place = async (/** @type {number} */ n) => {
    const token = mintToken({ sub: `robot${n}`, can: ["agent"] });
    const answer = await fetch(`${of.http}/v1/keys/${key}/me`, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({ meta, ttl: 600 }),
    });
    assert.equal(answer.status, 200);
  };
  for (let n = 0; n < 1000; n += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, it) => place(n + it)));
  }
}

/** A server that watches a key. */
class Watch {
  #response;
  /** @type {{ type: string, data: any }[]} */
  events = [];
  text = "";
  isOver = false;
  nSnapshots = 0;
  nComments = 0;
  #nRead = 0;

  /**
   * @param {import("../support/relay.mjs").Relay} of
   * @param {string} key
   * @param {object} [claims]
   */
  static async open(of, key, claims) {
    const token = mintToken({ sub: "server", can: ["list"], ...claims });
    const headers = { authorization: `Bearer ${token}` };
    const request = get(`${of.http}/v1/keys/${key}/events`, { headers, agent: false });
    const [response] = await once(request, "response");
    return new Watch(response);
  }

  /** @param {import("node:http").IncomingMessage} response */
  constructor(response) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    response.setEncoding("utf8");
    response.on("data", (chunk) => this.#take(chunk));
    response.on("error", () => {});
    response.on("close", () => {
      this.isOver = true;
    });
  }

  pause() {
    this.#response.pause();
  }

  /** Takes what comes next, and then nothing. */
  takeSome() {
    this.#response.once("data", () => this.pause());
    this.resume();
  }

  resume() {
    this.#response.resume();
  }

  close() {
    this.#response.destroy();
  }

  async ended() {
    await this.until("it has ended", () => this.isOver);
  }

  /**
   * The next event, which must be of this type.
   *
   * @param {string} type
   */
  async next(type) {
    await this.until(`there is an event "${type}"`, () => this.events.length > this.#nRead);
    const event = this.events[this.#nRead];
    this.#nRead += 1;
    assert.equal(event?.type, type, JSON.stringify(event));
    const name = { snapshot: "Members", end: "End" }[type] ?? "Change";
    const validate = ajv.getSchema(`openapi#/components/schemas/${name}`);
    assert.ok(validate?.(event.data), JSON.stringify(validate?.errors));
    return event.data;
  }

  /**
   * @param {string} what
   * @param {() => boolean} condition
   */
  async until(what, condition) {
    const deadline = Date.now() + 60_000;
    while (!condition()) {
      assert.ok(Date.now() < deadline, `waiting until ${what}: ${this.text.slice(-500)}`);
      await sleep(10);
    }
  }

  /** @param {string} chunk */
  #take(chunk) {
    const parts = (this.text + chunk).split("\n\n");
    this.text = parts.pop() ?? "";
    for (const part of parts) {
      const fields = new Map(
        part
          .split("\n")
          .map(
            (it) =>
              /** @type {const} */ ([it.slice(0, it.indexOf(":")), it.slice(it.indexOf(":") + 2)]),
          ),
      );
      const type = fields.get("event");
      if (type === undefined) {
        assert.equal(part, ":");
        this.nComments += 1;
        continue;
      }
      if (type === "snapshot") this.nSnapshots += 1;
      this.events.push({ type, data: JSON.parse(String(fields.get("data"))) });
    }
  }
}
