// @ts-check
//
// A new token on a live socket: what it changes, and what happens without one.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, SECRET, startRelay } from "../support/relay.mjs";

const GRACE_MS = 5000;
/** Long enough to say hello with the token, however slow the machine is. */
const LIFE_MS = 8000;
const PATIENCE_MS = 30_000;
const EXPIRED = { code: 4419, reason: "expired" };

/** @type {import("../support/relay.mjs").Relay} */
let relay;

before(async () => {
  relay = await startRelay({ args: ["--grace", `${GRACE_MS}ms`] });
});
after(() => relay.stop());

test("a token that has expired closes its socket once the grace has passed, which is a loss", async () => {
  const key = "expiry:1";
  const watcher = await Peer.join(relay, "watcher", key);
  const began = Date.now();
  const [late, renewed] = await Promise.all([Peer.open(relay), Peer.open(relay)]);
  const soon = () => (Date.now() + LIFE_MS) / 1000;
  const { expires_in_ms } = await late.hello(mintToken({ sub: "late", exp: soon() }));
  assert.ok(expires_in_ms <= LIFE_MS);
  await renewed.hello(mintToken({ sub: "renewed", exp: soon() }));
  for (const peer of [late, renewed]) await peer.join(key);
  renewed.send({ token: { token: mintToken("renewed") } });
  const answer = await renewed.next("token");
  assert.ok(answer.expires_in_ms > 3_500_000);
  assert.deepEqual(await late.closed(LIFE_MS + GRACE_MS + PATIENCE_MS), EXPIRED);
  // A token counts in whole seconds.
  const least = LIFE_MS + GRACE_MS - 1500;
  assert.ok(Date.now() - began > least, "not before it has expired and the grace has passed");
  await watcher.heartbeat();
  assert.deepEqual(watcher.users(key), ["late", "renewed", "watcher"]);
  await watcher.sees(["renewed", "watcher"], key, GRACE_MS + PATIENCE_MS);
  await renewed.heartbeat();
});

test("a wrong token changes nothing, and it is said what is wrong with it", async () => {
  const peer = await Peer.join(relay, "alice", "wrong:1");
  const hourAgo = Math.floor(Date.now() / 1000) - 3600;
  for (const [token, code] of /** @type {const} */ ([
    [mintToken({ sub: "alice", exp: hourAgo }), "token_expired"],
    [mintToken({ sub: "alice", exp: undefined }), "token_denied"],
    [mintToken("alice", { secret: `${SECRET}!` }), "token_denied"],
    [mintToken("alice", { algorithm: "none" }), "token_denied"],
    ["garbage", "token_denied"],
    ["", "token_denied"],
    ["a".repeat(8193), "bad_frame"],
    [42, "bad_frame"],
  ])) {
    peer.send({ token: { token } });
    const error = await peer.next("error");
    assert.deepEqual([error.code, error.key], [code, undefined], String(token).slice(0, 20));
  }
  await peer.heartbeat();
  assert.deepEqual(peer.users("wrong:1"), ["alice"]);
  const early = await Peer.open(relay);
  early.send({ token: { token: mintToken("alice") } });
  assert.deepEqual(await early.closed(), { code: 4400, reason: "bad_frame" });
});

test("another name is told in place, and somebody else takes the place of who was there", async () => {
  const key = "person:1";
  const watcher = await Peer.join(relay, "watcher", key);
  const page = await Peer.join(relay, "alice", key, { section: "goals" });
  await watcher.sees(["alice", "watcher"], key);
  const { session, since } = watcher.presence("alice", key);
  await sleep(20);

  page.send({ token: { token: mintToken({ sub: "alice", name: "Alice B.", color: "#010203" }) } });
  await page.next("token");
  const name = () => watcher.presence("alice", key)?.user.name;
  await watcher.until("the name is the new one", () => name() === "Alice B.");
  assert.deepEqual(watcher.presence("alice", key).user.color, "#010203");
  assert.equal(watcher.presence("alice", key).since, since);

  page.send({ token: { token: mintToken("bob") } });
  const { resume } = await page.next("token");
  await watcher.sees(["bob", "watcher"], key);
  const bob = watcher.presence("bob", key);
  assert.deepEqual([bob.session, bob.meta], [session, { section: "goals" }]);
  assert.ok(bob.since > since, "bob has only just come");
  await page.sees(["bob", "watcher"], key);
  assert.equal(watcher.rosters.get(key)?.told.left, 0, "in one frame, without a gap");

  page.reset();
  const back = await Peer.open(relay);
  const welcome = await back.hello(mintToken("bob"), { resume, dial: 2 });
  assert.deepEqual([welcome.session, welcome.resumed], [session, true]);
  await back.join(key, { section: "goals" });
  await watcher.heartbeat();
  assert.equal(watcher.rosters.get(key)?.told.left, 0);
});

test("a key that the new token doesn't allow is left, and the others aren't", async () => {
  const [left, kept] = ["shrunk:1", "shrunk:2"];
  const watcher = await Peer.join(relay, "watcher", left);
  await watcher.join(kept);
  const page = await Peer.join(relay, "alice", left);
  await page.join(kept);
  for (const key of [left, kept]) await watcher.sees(["alice", "watcher"], key);
  page.send({ token: { token: mintToken({ sub: "alice", keys: [kept] }) } });
  await page.next("token");
  const error = await page.next("error");
  assert.deepEqual([error.code, error.key], ["key_denied", left]);
  await watcher.sees(["watcher"], left);
  assert.deepEqual(watcher.users(kept), ["alice", "watcher"]);
  page.send({ update: { key: left, meta: {} } });
  assert.equal((await page.next("error")).code, "not_joined");
});
