// @ts-check
//
// A deploy under everybody's eyes: pages are told when to come back, and nobody sees anybody go.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

const PER_KEY = 10;

/** @type {import("../support/relay.mjs").Relay | undefined} */
let relay;

afterEach(() => relay?.stop("SIGKILL"));

test("100 sessions in 10 keys go through a restart in turns, and none is seen to leave or to join", async () => {
  relay = await startRelay();
  /** @type {Awaited<ReturnType<typeof visit>>[]} */
  const pages = [];
  for (let number = 0; number < 100; number += 1) pages.push(await visit(number));
  const beganAt = Math.min(...pages.map((it) => it.beganAt));
  const everybody = (/** @type {{ key: string }} */ { key }) =>
    pages.filter((it) => it.key === key).map((it) => it.user);
  for (const page of pages) await page.peer.sees(everybody(page), page.key);

  // However late this process runs, everybody has been here for some time before the next relay is.
  await sleep(1000);
  await relay.stop();
  const codes = await Promise.all(pages.map(async ({ peer }) => (await peer.closed()).code));
  const waits = codes.map((code) => (code - 4500) * 100);
  for (const wait of [0, 100]) {
    const n = waits.filter((it) => it === wait).length;
    assert.equal(n, 50, `two milliseconds for each: ${n} of 100 come back after ${wait} ms`);
  }
  for (const { peer, key } of pages) {
    assert.equal(peer.rosters.get(key)?.told.left, 0, "nobody was told of a leave on the way out");
  }

  relay = await startRelay({ port: relay.port });
  const back = [];
  for (const page of pages) back.push(await comeBack(page, beganAt));
  for (const page of back) await page.peer.sees(everybody(page), page.key);
  for (const { peer, key } of back) {
    assert.equal(peer.rosters.get(key)?.told.left, 0);
    const news = [...(peer.rosters.get(key)?.presences.values() ?? [])].filter(
      (it) => it.since >= 0,
    );
    assert.deepEqual(news, [], "everybody is older than the relay, so nobody is a join");
  }
});

test("a relay that is told to stop isn't ready any more, and goes on for as long as it was asked to", async () => {
  relay = await startRelay({ args: ["--drain-delay", "5m"] });
  const alice = await Peer.join(relay, "alice");
  assert.deepEqual(await answers("/readyz"), [200, "ready\n"]);
  relay.signal("SIGTERM");
  while ((await answers("/readyz"))[0] === 200) await sleep(20);
  assert.deepEqual(await answers("/readyz"), [503, "stopping\n"]);
  assert.deepEqual(await answers("/healthz"), [200, "ok\n"]);
  await Peer.join(relay, "bob");
  await alice.sees(["alice", "bob"]);
  assert.equal(await relay.stop(), 0, "a second signal ends it");
  assert.equal((await alice.closed()).reason, "restarting");
});

/** @param {number} number */
async function visit(number) {
  const { url } = /** @type {import("../support/relay.mjs").Relay} */ (relay);
  const [user, key] = [`user${number}`, `document:${Math.floor(number / PER_KEY)}`];
  const peer = await Peer.open({ url });
  const { resume, epoch } = await peer.hello(mintToken(user));
  await peer.join(key);
  return { peer, user, key, resume, beganAt: Date.now() - epoch.age_ms };
}

/**
 * @param {Awaited<ReturnType<typeof visit>>} page
 * @param {number} beganAt when the epoch began that it was in
 */
async function comeBack({ peer: before, user, key, resume }, beganAt) {
  const { url } = /** @type {import("../support/relay.mjs").Relay} */ (relay);
  const peer = await Peer.open({ url });
  const welcome = await peer.hello(mintToken(user), { resume, dial: 2 });
  assert.ok(welcome.resumed);
  const age = Date.now() - (beganAt + before.presence(user, key).since);
  await peer.join(key, {}, { age });
  return { peer, user, key };
}

/**
 * @param {string} path
 * @returns {Promise<[number, string]>}
 */
async function answers(path) {
  const response = await fetch(`${relay?.http}${path}`);
  return [response.status, await response.text()];
}
