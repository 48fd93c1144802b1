// @ts-check
//
// How a relay stops, and what it does after it was stopped for a while.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { afterEach, test } from "node:test";
import { Peer, sleep } from "../support/peer.mjs";
import { RawSocket } from "../support/raw.mjs";
import { mintToken, SECRET, startRelay } from "../support/relay.mjs";

/** @type {import("../support/relay.mjs").Relay | undefined} */
let relay;

afterEach(() => relay?.stop("SIGKILL"));

for (const signal of /** @type {const} */ (["SIGTERM", "SIGINT"])) {
  test(`${signal} tells every page to come back, closes every other socket with 1001 and ends with 0`, async () => {
    relay = await startRelay();
    const peers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => Peer.join(/** @type {any} */ (relay), `user${i}`)),
    );
    const silent = await Peer.open(relay);
    const startedAt = performance.now();
    const ended = relay.stop(signal);
    for (const peer of peers) {
      const { code, reason } = await peer.closed();
      assert.ok(code >= 4500 && code <= 4501, `${code}: all of 50 are back within 100 ms`);
      assert.equal(reason, "restarting");
    }
    assert.deepEqual(await silent.closed(), { code: 1001, reason: "going_away" });
    assert.equal(await ended, 0);
    const ms = performance.now() - startedAt;
    assert.ok(ms < 1500, `it took ${ms} ms`);
  });
}

test("sockets that hang don't keep a relay from stopping", async () => {
  relay = await startRelay();
  const deaf = await Peer.join(relay, "deaf");
  deaf.stopReading();
  const raw = await RawSocket.open(relay);
  const idle = connect(relay.port, "127.0.0.1");
  idle.on("error", () => {});
  await sleep(100);
  const startedAt = performance.now();
  assert.equal(await relay.stop(), 0);
  const ms = performance.now() - startedAt;
  assert.ok(ms < 6000, `it took ${ms} ms`);
  for (const socket of [raw, idle]) socket.end();
  deaf.destroy();
});

test("a relay that stood still for longer than the grace tells nobody that anybody left", async () => {
  relay = await startRelay({ args: ["--grace", "2s", "--heartbeat", "500ms"] });
  const alice = await Peer.join(relay, "alice");
  const bob = await Peer.join(relay, "bob");
  const beat = setInterval(() => {
    for (const peer of [alice, bob]) peer.send({ heartbeat: {} });
  }, 300);
  try {
    await alice.sees(["alice", "bob"]);
    relay.signal("SIGSTOP");
    await sleep(6000);
    relay.signal("SIGCONT");
    await sleep(3000);
    assert.ok(alice.isOpen && bob.isOpen);
    for (const peer of [alice, bob]) {
      await peer.heartbeat();
      assert.deepEqual(peer.users(), ["alice", "bob"]);
    }
    assert.deepEqual(alice.rosters.get("document:1")?.told, { joined: 1, left: 0, updated: 0 });
  } finally {
    clearInterval(beat);
  }
});

test("who left while the relay stood still is gone when it goes on", async () => {
  relay = await startRelay();
  const alice = await Peer.join(relay, "alice");
  const bob = await Peer.join(relay, "bob");
  const carol = await Peer.join(relay, "carol");
  await alice.sees(["alice", "bob", "carol"]);
  relay.signal("SIGSTOP");
  bob.send({ leave: { key: "document:1" } });
  bob.destroy();
  carol.send({ leave: { key: "document:1" } });
  await sleep(50);
  carol.reset();
  await sleep(3000);
  relay.signal("SIGCONT");
  await alice.sees(["alice"], "document:1", 1000);
});

test("a relay that can't start says why", async () => {
  for (const [args, reason] of /** @type {const} */ ([
    [["--grace", "30"], /write it like 30s/],
    [["--dev", "--listen", "0.0.0.0:0"], /dev_not_loopback: .*127\.0\.0\.1/],
    [["--origin", "app.example/"], /write it as browsers send it/],
    [["--log", "a=b=c"], /not a filter; write it like/],
  ])) {
    await assert.rejects(startRelay({ args: [...args] }), reason);
  }
  await assert.rejects(startRelay({ secret: "short" }), /secret_too_short: .* at least 32/);
  relay = await startRelay();
  const { port } = relay;
  await assert.rejects(startRelay({ port }), /can't listen on 127\.0\.0\.1:\d+: .*in use/);
});

test("nobody's name and nothing they say is logged", async () => {
  relay = await startRelay({ args: ["--log", "debug"] });
  const peer = await Peer.open(relay);
  await peer.hello(mintToken({ sub: "sub-of-alice", name: "name-of-alice" }));
  await peer.join("logs:1", { text: "meta-of-alice" });
  peer.send("garbage-of-alice");
  await peer.next("error");
  for (const token of [mintToken("bad-of-alice", { secret: `${SECRET}!` }), "token-of-alice"]) {
    const other = await Peer.open(relay);
    other.send({ hello: { token, dial: 1 } });
    await other.closed();
  }
  await peer.close();
  await relay.stop();
  assert.match(relay.log, /token refused/);
  assert.match(relay.log, /connection is over/);
  assert.doesNotMatch(relay.log, /of-alice/);
});
