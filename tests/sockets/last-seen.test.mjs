// @ts-check
//
// Who viewed what: told to those in the key, kept over a kill and a restart, and kept of nobody who
// doesn't want it.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

/** @type {string} */
let folder;
/** @typedef {import("../support/relay.mjs").Relay} Relay */
/** @type {Relay | undefined} */
let relay;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "whoshere-last-seen-"));
});
afterEach(() => relay?.stop("SIGKILL"));
after(() => rm(folder, { recursive: true, force: true }));

test("who has left is told to the next in the key, and to nobody else", async () => {
  relay = await startRelay({ args: ["--last-seen", "document:*"] });
  const token = mintToken({ sub: "alice", name: "Alice", color: "#353182", avatar: "/a.png" });
  const alice = await Peer.open(relay);
  await alice.hello(token);
  await alice.join("document:1");
  await alice.close(1001);

  const bob = await Peer.join(relay, "bob");
  const seen = await seenBy(bob, "document:1");
  const user = { id: "alice", name: "Alice", color: "#353182", avatar: "/a.png" };
  const found = seen.find((it) => it.user.id === "alice");
  assert.deepEqual(found?.user, user);
  assert.ok(found.ago_ms >= 0 && found.ago_ms < 60_000, `${found.ago_ms} ms`);

  const carol = await Peer.join(relay, "carol", "other:1");
  carol.send({ last_seen: { key: "document:1" } });
  assert.equal((await carol.next("error")).code, "not_joined");
  assert.deepEqual(await seenBy(carol, "other:1"), [], "nothing is kept of this key");
  for (const peer of [bob, carol]) await peer.close(1000);
});

test("nothing is kept unless it is asked for", async () => {
  relay = await startRelay();
  await (await Peer.join(relay, "alice")).close(1001);
  const bob = await Peer.join(relay, "bob");
  assert.deepEqual(await seenBy(bob, "document:1"), []);
  await bob.close(1000);
});

test("a token can forbid that it is kept of its user", async () => {
  relay = await startRelay({ args: ["--last-seen", "*"] });
  const alice = await Peer.open(relay);
  await alice.hello(mintToken({ sub: "alice", last_seen: false }));
  await alice.join("document:1");
  await alice.close(1001);
  const bob = await Peer.join(relay, "bob");
  const seen = await seenBy(bob, "document:1");
  assert.deepEqual(
    seen.map((it) => it.user.id),
    ["bob"],
  );
  await bob.close(1000);
});

test("a token that forbids it deletes what was kept before", async () => {
  relay = await startRelay({ args: ["--last-seen", "*"] });
  await (await Peer.join(relay, "alice")).close(1001);
  const bob = await Peer.join(relay, "bob");
  const names = async () => (await seenBy(bob, "document:1")).map((it) => it.user.id).sort();
  assert.deepEqual(await names(), ["alice", "bob"]);
  const alice = await Peer.open(relay);
  await alice.hello(mintToken({ sub: "alice", last_seen: false }));
  assert.deepEqual(await names(), ["bob"]);
  for (const peer of [alice, bob]) await peer.close(1000);
});

test("what is not asked for any more is removed", async () => {
  const data = await mkdtemp(join(folder, "less-"));
  const visit = async (/** @type {string} */ name, /** @type {string} */ key) => {
    await (await Peer.join(/** @type {Relay} */ (relay), name, key)).close(1001);
    await written(data, name);
  };
  relay = await startRelay({ args: ["--last-seen", "*", "--data", data] });
  await visit("alice-of-teams", "team:1");
  await visit("alice-of-documents", "document:1");
  await relay.stop();

  relay = await startRelay({ args: ["--last-seen", "document:*", "--data", data] });
  const bob = await Peer.join(relay, "bob");
  const seen = await seenBy(bob, "document:1");
  assert.ok(seen.some((it) => it.user.id === "alice-of-documents"));
  await relay.stop();
  assert.match(relay.log, /WARN.*removed removed=1 records of who viewed/);
  await bob.closed();
  assert.ok(!(await isOnDisk(data, "alice-of-teams")));

  relay = await startRelay({ args: ["--data", data] });
  await relay.stop();
  assert.match(relay.log, /WARN.*removed removed=2 records of who viewed/);
  assert.ok(!(await isOnDisk(data, "alice-of-documents")));

  // As something that can't be removed there is a folder of that name.
  await mkdir(join(data, "whoshere.db"));
  await assert.rejects(startRelay({ args: ["--data", data] }), /not_forgotten: /);
  await rm(data, { recursive: true });
});

test("it outlives a relay that is killed, and one that is stopped", async () => {
  const args = ["--last-seen", "*", "--data", folder];
  relay = await startRelay({ args });
  const gone = await Peer.join(relay, "gone");
  await gone.close(1001);
  const there = await Peer.join(relay, "there");
  for (const name of ["gone", "there"]) await written(folder, name);
  await relay.stop("SIGKILL");
  there.destroy();
  const killedAt = Date.now();

  relay = await startRelay({ args });
  const bob = await Peer.join(relay, "bob");
  const down = Date.now() - killedAt;
  const seen = await seenBy(bob, "document:1");
  assert.deepEqual(seen.map((it) => it.user.id).sort(), ["bob", "gone", "there"]);
  const ago = Math.max(...seen.map((it) => it.ago_ms));
  assert.ok(ago >= down, "it goes on counting while no relay runs");
  // What a relay that is told to stop has not written yet, it writes before it ends.
  const last = await Peer.join(relay, "last");
  assert.equal(await relay.stop(), 0);
  for (const peer of [bob, last]) await peer.closed();

  relay = await startRelay({ args });
  const carol = await Peer.join(relay, "carol");
  const names = (await seenBy(carol, "document:1")).map((it) => it.user.id);
  assert.deepEqual(names.sort(), ["bob", "carol", "gone", "last", "there"]);
  await carol.close(1000);
});

test("a relay that is killed loses what was viewed in the last moment, and nothing before", async (t) => {
  const data = await mkdtemp(join(folder, "killed-"));
  const args = ["--last-seen", "*", "--data", data];
  const authorization = `Bearer ${mintToken({ sub: "server", can: ["list"] })}`;
  // Views are written every 250 ms. A machine may stand still for longer, but not each time.
  let least = Number.POSITIVE_INFINITY;
  for (let round = 1; least > 1000 && round <= 5; round += 1) {
    relay = await startRelay({ args });
    const alice = await Peer.open(relay);
    await alice.hello(mintToken("alice"));
    /** @type {{ key: string, at: number }[]} */
    const viewed = [];
    for (const end = Date.now() + 3000; Date.now() < end; await sleep(60)) {
      const key = `killed:${round}-${viewed.length}`;
      await alice.join(key);
      viewed.push({ key, at: Date.now() });
      alice.send({ leave: { key } });
    }
    const killedAt = Date.now();
    await relay.stop("SIGKILL");
    alice.destroy();

    relay = await startRelay({ args });
    least = 0;
    for (const { key, at } of viewed.toReversed()) {
      const answer = await fetch(`${relay.http}/v1/keys/${key}/last-seen`, {
        headers: { authorization },
      });
      const { seen } = /** @type {any} */ (await answer.json());
      if (seen.length === 0) least = killedAt - at;
    }
    await relay.stop("SIGKILL");
  }
  t.diagnostic(`lost: what was viewed in the last ${least} ms before the kill`);
  assert.ok(least <= 1000, `what was viewed ${least} ms before was lost`);
});

test("what is too old is not told, and no longer on the disk", async () => {
  const data = await mkdtemp(join(folder, "short-"));
  const args = ["--last-seen", "*", "--data", data, "--last-seen-retention", "1s"];
  relay = await startRelay({ args });
  await (await Peer.join(relay, "alice-who-was-here")).close(1001);
  await written(data, "alice-who-was-here");
  const bob = await Peer.join(relay, "bob");
  const isTold = async () => {
    const seen = await seenBy(bob, "document:1");
    return seen.some((it) => it.user.id === "alice-who-was-here");
  };
  while (await isTold()) await sleep(250);
  // Nor is it told to servers, whether or not it is still kept.
  const token = mintToken({ sub: "server", can: ["list"] });
  const answer = await fetch(`${relay.http}/v1/keys/document:1/last-seen`, {
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(answer.status, 200);
  assert.doesNotMatch(await answer.text(), /alice-who-was-here/);
  await forgotten(data, "alice-who-was-here");
  await bob.close(1000);
  await relay.stop("SIGKILL");

  // Also what became too old while no relay ran, whatever the retention is by then.
  relay = await startRelay({ args: [...args.slice(0, -1), "30d"] });
  await (await Peer.join(relay, "carol-who-was-here")).close(1001);
  await written(data, "carol-who-was-here");
  await relay.stop();
  await sleep(1000);
  relay = await startRelay({ args });
  await forgotten(data, "carol-who-was-here", 4000);
});

test("questions beyond what may wait are no reason to close anybody", async () => {
  relay = await startRelay({ args: ["--last-seen", "*"] });
  const alice = await Peer.join(relay, "alice");
  for (let n = 0; n < 150; n += 1) alice.send({ last_seen: { key: "document:1" } });
  await alice.heartbeat();
  // Beyond the rate there is no answer, but a little later there is one again.
  const before = alice.received.length;
  while (!alice.received.slice(before).includes("last_seen")) {
    alice.send({ last_seen: { key: "document:1" } });
    await sleep(250);
    assert.ok(alice.isOpen);
  }
  await alice.close(1000);
});

test("a relay whose data folder can't be used says so", async () => {
  const args = ["--last-seen", "*", "--data", join(folder, "nowhere")];
  await assert.rejects(startRelay({ args }), /no_folder: --data/);
});

/**
 * @param {Peer} peer
 * @param {string} key
 * @returns {Promise<{ user: { id: string, name: string }, ago_ms: number }[]>}
 */
async function seenBy(peer, key) {
  peer.send({ last_seen: { key } });
  const answer = await peer.next("last_seen");
  assert.equal(answer.key, key);
  return answer.seen;
}

/**
 * Waits until a batch with a name in it is on the disk.
 *
 * @param {string} data
 * @param {string} name
 */
async function written(data, name) {
  const deadline = Date.now() + 10_000;
  while (!(await isOnDisk(data, name))) {
    assert.ok(Date.now() < deadline, `${name} is not written`);
    await sleep(50);
  }
}

/**
 * Waits until a name is nowhere on the disk any more.
 *
 * @param {string} data
 * @param {string} name
 */
async function forgotten(data, name, withinMs = 15_000) {
  const deadline = Date.now() + withinMs;
  while (await isOnDisk(data, name)) {
    assert.ok(Date.now() < deadline, `${name} is still on the disk`);
    await sleep(50);
  }
}

/**
 * @param {string} data
 * @param {string} text
 */
async function isOnDisk(data, text) {
  const files = await Promise.all((await readdir(data)).map((it) => readFile(join(data, it))));
  return files.some((it) => it.includes(text));
}
