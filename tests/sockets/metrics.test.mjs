// @ts-check
//
// What operators read, and what they don't learn.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

const LISTEN = ["--metrics-listen", "127.0.0.1:0"];
const PATIENCE_MS = 30_000;

/** @type {import("../support/relay.mjs").Relay | undefined} */
let relay;

afterEach(() => relay?.stop("SIGKILL"));

test("metrics count what is here and what happened, and name nobody", async () => {
  relay = await startRelay({ args: LISTEN });
  const alice = await Peer.join(relay, "user-of-alice", "key-of-alice", { text: "meta-of-alice" });
  const bob = await Peer.join(relay, "user-of-bob", "key-of-alice");
  await Peer.join(relay, "user-of-bob", "key-of-bob");
  await alice.sees(["user-of-alice", "user-of-bob"], "key-of-alice");
  alice.send({ update: { key: "key-of-alice", meta: { n: 1 } } });
  await bob.next("delta");
  bob.send({ join: { key: "a key that is none" } });
  await bob.next("error");
  const only = await Peer.open(relay);
  await only.hello(mintToken({ sub: "user-of-only", keys: ["key-of-only"] }));
  only.send({ join: { key: "key-of-bob" } });
  await only.next("error");
  const stranger = await Peer.open(relay);
  stranger.send({ hello: { token: "token-of-nobody", dial: 1 } });
  await stranger.closed();
  for (const claims of [{ exp: 1 }, { exp: undefined }]) {
    only.send({ token: { token: mintToken({ sub: "user-of-only", ...claims }) } });
    await only.next("error");
  }
  await alice.heartbeat();
  await fetch(`${relay.http}/v1/counts?keys=key-of-alice`);
  const watch = new AbortController();
  for (const can of ["list", "join"]) {
    await fetch(`${relay.http}/v1/keys/key-of-alice/events`, {
      headers: { authorization: `Bearer ${mintToken({ sub: "user-of-server", can: [can] })}` },
      signal: watch.signal,
    });
  }

  const { text, samples } = await metricsOf(relay);
  assert.doesNotMatch(text, /of-(alice|bob|only|nobody|server)/);
  const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map((it) => it[1]));
  assert.deepEqual([...labels].sort(), ["code", "kind", "le", "reason", "result", "version"]);
  for (const [sample, value] of /** @type {const} */ ([
    ["connections", 4],
    ["sessions", 4],
    ["keys", 2],
    ["presences", 3],
    ["members", 3],
    ["watchers", 1],
    ["ready", 1],
    ['backplane_up{kind="memory"}', 1],
    ['frames_received_total{kind="hello"}', 5],
    ['frames_received_total{kind="join"}', 4],
    ['frames_received_total{kind="update"}', 1],
    ['frames_received_total{kind="bad"}', 1],
    ['frames_sent_total{kind="welcome"}', 4],
    ['frames_sent_total{kind="snapshot"}', 3],
    ['frames_sent_total{kind="heartbeat"}', 1],
    ['frames_sent_total{kind="close"}', 1],
    ['closed_total{code="denied"}', 1],
    ['closed_total{code="expired"}', 0],
    ['errors_total{code="bad_key"}', 1],
    ["changes_total", 4],
    ['auth_refusals_total{code="denied"}', 2],
    ['auth_refusals_total{code="token_expired"}', 1],
    ['auth_refusals_total{code="token_denied"}', 1],
    ['auth_refusals_total{code="key_denied"}', 1],
    ['http_refusals_total{code="denied"}', 1],
    ['http_refusals_total{code="not_allowed"}', 1],
    ['dropped_total{reason="too_often"}', 0],
    ['dropped_total{reason="oversize"}', 0],
    ["throttled_total", 0],
  ])) {
    assert.equal(samples.get(`whoshere_${sample}`), value, sample);
  }
  const told = Number(samples.get("whoshere_changes_told_total"));
  const deltas = Number(samples.get("whoshere_deltas_total"));
  assert.ok(told >= deltas && deltas >= 2, `${told} changes in ${deltas} deltas`);

  const buckets = [...samples].filter(([name]) => name.startsWith("whoshere_fan_out_seconds_b"));
  const counts = buckets.map(([, n]) => n);
  assert.deepEqual(
    counts,
    counts.toSorted((a, b) => a - b),
    "each bucket holds those before it",
  );
  assert.equal(buckets.at(-1)?.[0], 'whoshere_fan_out_seconds_bucket{le="+Inf"}');
  assert.equal(counts.at(-1), samples.get("whoshere_fan_out_seconds_count"));
  assert.equal(counts.at(-1), samples.get('whoshere_frames_sent_total{kind="delta"}'));
  watch.abort();
  await until("watchers", (n) => n === 0);
});

test("what is gone is counted no longer, and what was dropped is", async () => {
  relay = await startRelay({
    args: [...LISTEN, "--max-connections", "1", "--max-frames-per-second", "5"],
  });
  const alice = await Peer.join(relay, "alice");
  for (let n = 0; n < 20; n += 1) alice.send({ heartbeat: {} });
  const second = await Peer.open(relay);
  assert.equal((await second.closed()).code, 4429);
  await until('dropped_total{reason="full"}', (n) => n === 1);
  await until('closed_total{code="busy"}', (n) => n === 1);
  await until("opened_total", (n) => n === 1);
  await until("throttled_total", (n) => n >= 1);
  await alice.close(1001);
  for (const gauge of ["connections", "sessions", "keys", "presences", "members"]) {
    await until(gauge, (n) => n === 0);
  }
});

test("every way in which a socket ends is counted once, and what was said before as well", async () => {
  relay = await startRelay({
    args: [...LISTEN, "--origin", "https://app.example", "--max-connections-per-user", "2"],
  });
  const here = relay;
  const enter = (/** @type {string} */ user) => Peer.join(here, user);
  const greeted = async (/** @type {object | string | Uint8Array} */ first) => {
    const peer = await Peer.open(here);
    peer.send(first);
    return peer;
  };
  const hello = (/** @type {import("../support/relay.mjs").Claims | string} */ claims) => ({
    hello: { token: mintToken(claims), dial: 1 },
  });
  const stays = await enter("stays");
  stays.send(hello("stays"));
  assert.equal((await stays.next("error")).code, "bad_frame");

  await (await enter("left")).close(1001);
  for (const code of [1000, 4000, undefined]) await (await enter("goodbye")).close(code);
  (await enter("lost")).reset();
  (await enter("lost")).destroy();
  (await Peer.open(here)).reset();

  /** @type {[string, Peer][]} */
  const closed = [
    ["too_large", await greeted("x".repeat(70_000))],
    ["bad_frame", await greeted(new Uint8Array(10))],
    ["bad_frame", await greeted("no frame")],
    ["denied", await greeted({ hello: { token: "none of ours", dial: 1 } })],
    ["expired", await greeted(hello({ sub: "alice", exp: 1 }))],
    ["origin_denied", await Peer.open(here, { origin: "https://evil.example" })],
    ["timeout", await Peer.open(here)],
  ];
  const large = await enter("large");
  large.send(JSON.stringify({ update: { key: "document:1", meta: { text: "x".repeat(70_000) } } }));
  const binary = await enter("binary");
  binary.send(new Uint8Array(10));
  closed.push(["too_large", large], ["bad_frame", binary]);
  const tabs = [await enter("tabs"), await enter("tabs")];
  closed.push(["busy", await greeted(hello("tabs"))]);
  const former = await Peer.open(here);
  const welcome = await former.hello(mintToken("moved"));
  const later = await Peer.open(here);
  await later.hello(mintToken("moved"), { resume: welcome.resume, dial: 2 });
  closed.push(["replaced", former]);
  const kicked = await enter("kicked");
  const kick = await fetch(`${here.http}/v1/users/kicked/kick`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${mintToken({ sub: "server", can: ["kick"] })}`,
      "content-type": "application/json",
    },
    body: "{}",
  });
  assert.equal(kick.status, 200, await kick.text());
  closed.push(["kicked", kicked]);
  for (const [reason, peer] of closed) {
    assert.equal((await peer.closed(PATIENCE_MS)).reason, reason);
  }

  const open = [stays, later, ...tabs].length;
  await until("connections", (n) => n === open);
  const { samples } = await metricsOf(relay);
  const count = (/** @type {string} */ sample) => Number(samples.get(`whoshere_${sample}`));
  const family = (/** @type {string} */ name) =>
    Object.fromEntries(
      [...samples].flatMap(([sample, n]) => {
        const label = new RegExp(`^whoshere_${name}_total\\{\\w+="(\\w+)"\\}$`).exec(sample)?.[1];
        return label === undefined || n === 0 ? [] : [[label, n]];
      }),
    );
  const byCode = Object.fromEntries(
    closed.map(([reason]) => [reason, closed.filter((it) => it[0] === reason).length]),
  );
  assert.deepEqual(family("closed"), byCode);
  assert.deepEqual(family("ended"), { closed: closed.length, left: 1, goodbye: 3, lost: 3 });
  assert.equal(count("opened_total"), open + closed.length + 1 + 3 + 3);
  assert.equal(count('frames_sent_total{kind="close"}'), closed.length);
  assert.equal(count('frames_received_total{kind="bad"}'), 1);
});

test("pulses for which there is no room in a delta are counted", async () => {
  relay = await startRelay({ args: LISTEN });
  const { url } = relay;
  const join = (/** @type {number} */ n) => Peer.join({ url }, `user${n}`);
  const peers = await Promise.all(Array.from({ length: 50 }, (_, n) => join(n)));
  const dropped = 'whoshere_dropped_total{reason="pulse"}';
  assert.equal((await metricsOf(relay)).samples.get(dropped), 0);
  const deadline = Date.now() + PATIENCE_MS;
  let n = 0;
  while (n === 0) {
    assert.ok(Date.now() < deadline, "400 pulses at once are more than a delta holds");
    for (const peer of peers) {
      for (const name of "abcdefgh") peer.send({ pulse: { key: "document:1", name, value: "1" } });
    }
    await sleep(500);
    n = Number((await metricsOf(relay)).samples.get(dropped));
  }
});

test("whoever wants something too often is counted", async () => {
  relay = await startRelay({ args: [...LISTEN, "--max-connects-per-address", "1"] });
  for (let n = 0; n < 40; n += 1) await fetch(`${relay.http}/v1/leave`, { method: "POST" });
  const { samples } = await metricsOf(relay);
  const dropped = Number(samples.get('whoshere_dropped_total{reason="too_often"}'));
  assert.ok(dropped >= 1);
  assert.equal(samples.get('whoshere_http_refusals_total{code="busy"}'), dropped);
});

test("metrics have an address of their own, or none", async () => {
  relay = await startRelay({ args: LISTEN });
  assert.equal((await fetch(`${relay.http}/metrics`)).status, 404);
  const own = new URL(relay.metrics).origin;
  for (const [path, status] of /** @type {const} */ ([
    ["/healthz", 200],
    ["/readyz", 200],
    ["/v1/presence", 404],
    ["/", 404],
  ])) {
    const response = await fetch(own + path);
    assert.equal(response.status, status, path);
    const isProblem = response.headers.get("content-type") === "application/problem+json";
    assert.equal(isProblem, status !== 200, path);
  }
  const posted = await fetch(relay.metrics, { method: "POST" });
  assert.equal(posted.status, 405);
  assert.match(await posted.text(), /"code":"method_not_allowed"/);
  await relay.stop();
  relay = await startRelay();
  assert.equal(relay.metrics, "");
});

/**
 * Waits until a sample is as it should be.
 *
 * @param {string} sample
 * @param {(value: number) => boolean} isRight
 */
async function until(sample, isRight) {
  assert.ok(relay !== undefined);
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = (await metricsOf(relay)).samples.get(`whoshere_${sample}`);
    if (value !== undefined && isRight(value)) return;
    assert.ok(Date.now() < deadline, `${sample} is still ${value}`);
    await sleep(10);
  }
}
