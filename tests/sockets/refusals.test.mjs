// @ts-check
//
// What is refused, and how a page is told.
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { Peer } from "../support/peer.mjs";
import { encode, OPCODE, RawSocket } from "../support/raw.mjs";
import { mintToken, SECRET, startRelay } from "../support/relay.mjs";

const HOUR_AGO = Math.floor(Date.now() / 1000) - 3600;

/** @type {import("../support/relay.mjs").Relay} */
let relay;

before(async () => {
  relay = await startRelay({ args: ["--origin", "https://app.example,https://*.app.example"] });
});
after(() => relay.stop());

for (const [name, token, close] of /** @type {const} */ ([
  ["no token at all", undefined, { code: 4400, reason: "bad_frame" }],
  ["an empty token", "", { code: 4401, reason: "denied" }],
  ["a token that is no JWT", "garbage", { code: 4401, reason: "denied" }],
  [
    "an expired token",
    mintToken({ sub: "alice", exp: HOUR_AGO }),
    { code: 4419, reason: "expired" },
  ],
  [
    "a token without exp",
    mintToken({ sub: "alice", exp: undefined }),
    { code: 4401, reason: "denied" },
  ],
  [
    "a token signed with another secret",
    mintToken("alice", { secret: `${SECRET}!` }),
    { code: 4401, reason: "denied" },
  ],
  [
    "a token signed with none",
    mintToken("alice", { algorithm: "none" }),
    { code: 4401, reason: "denied" },
  ],
  [
    "a token signed with HS512",
    mintToken("alice", { algorithm: "HS512" }),
    { code: 4401, reason: "denied" },
  ],
  ["a user id of 129 bytes", mintToken("a".repeat(129)), { code: 4401, reason: "denied" }],
  [
    "a token of 8 KiB",
    `${mintToken("alice")}${"a".repeat(8192)}`,
    { code: 4400, reason: "bad_frame" },
  ],
])) {
  test(`${name} is refused with ${close.code}`, async () => {
    const peer = await Peer.open(relay);
    peer.send({ hello: { token, dial: 1 } });
    assert.deepEqual(await peer.closed(), close);
    assert.deepEqual(peer.received, [], "and nothing is said before");
  });
}

test("a color that is none is replaced by the name's", async () => {
  const peer = await Peer.open(relay);
  await peer.hello(mintToken({ sub: "alice", color: "red;background:url(x)" }));
  await peer.join("color:1");
  assert.equal(peer.presence("alice", "color:1").user.color, "#522b27");
});

test("an avatar that is none is left out, and another reaches the others", async () => {
  const viewer = await Peer.join(relay, "viewer", "avatar:1");
  for (const [sub, avatar] of [
    ["alice", "javascript:alert(1)"],
    ["bob", "https://cdn.example/bob.png"],
  ]) {
    const peer = await Peer.open(relay);
    await peer.hello(mintToken({ sub, avatar }));
    await peer.join("avatar:1");
  }
  await viewer.sees(["alice", "bob", "viewer"], "avatar:1");
  assert.equal(viewer.presence("alice", "avatar:1").user.avatar, undefined);
  assert.equal(viewer.presence("bob", "avatar:1").user.avatar, "https://cdn.example/bob.png");
});

test("a token for another key is no token for this one, unless the join brings one", async () => {
  const peer = await Peer.open(relay);
  await peer.hello(mintToken({ sub: "alice", keys: ["document:42", "project:7:*"] }));
  await peer.join("document:42");
  await peer.join("project:7:anything");
  for (const key of ["document:43", "document:4", "document:422", "project:70"]) {
    peer.send({ join: { key } });
    const error = await peer.next("error");
    assert.deepEqual([error.code, error.key], ["key_denied", key]);
  }
  peer.send({ join: { key: "document:43", token: mintToken({ sub: "bob" }) } });
  assert.equal((await peer.next("error")).code, "key_denied", "of another user");
  const expired = mintToken({ sub: "alice", keys: ["document:43"], exp: HOUR_AGO });
  peer.send({ join: { key: "document:43", token: expired } });
  assert.equal((await peer.next("error")).code, "key_expired");
  await peer.join("document:43", {}, { token: mintToken({ sub: "alice", keys: ["document:43"] }) });
  assert.deepEqual(peer.users("document:43"), ["alice"]);
});

test("a token can do what its `can` says, and the default without one", async () => {
  const open = async (/** @type {unknown} */ can) => {
    const peer = await Peer.open(relay);
    await peer.hello(mintToken({ sub: "alice", can }));
    return peer;
  };
  const key = "can:1";
  for (const can of [[], ["observe", "pulse"], ["list", "kick"], ["fly"]]) {
    const peer = await open(can);
    peer.send({ join: { key } });
    assert.equal((await peer.next("error")).code, "key_denied", JSON.stringify(can));
  }
  const mute = await open(["join", "fly"]);
  await mute.join(key);
  mute.send({ pulse: { key, name: "cursor", value: "1" } });
  assert.equal((await mute.next("error")).code, "not_allowed");
  const page = await open(undefined);
  await page.join(key);
  page.send({ pulse: { key, name: "cursor", value: "1" } });
  assert.equal((await mute.next("delta")).joined.length, 1);
  assert.deepEqual((await mute.next("delta")).pulses[0].value, "1");
  const wrong = await Peer.open(relay);
  wrong.send({ hello: { token: mintToken({ sub: "alice", can: "join" }), dial: 1 } });
  assert.deepEqual(await wrong.closed(), { code: 4401, reason: "denied" });
});

test("a page of a foreign origin is upgraded and then told", async () => {
  for (const origin of [
    "https://evil.example",
    "http://app.example",
    "https://evil-app.example",
    "https://app.example.evil.example",
    "null",
  ]) {
    const peer = await Peer.open(relay, { origin });
    assert.deepEqual(await peer.closed(), { code: 4403, reason: "origin_denied" }, origin);
  }
  for (const origin of ["https://app.example", "https://team-7.app.example"]) {
    const peer = await Peer.open(relay, { origin });
    await peer.hello(mintToken("alice"));
  }
});

test("a relay that names no origin and isn't for development refuses every page", async () => {
  const closed = await startRelay({ env: { WHOSHERE_ORIGIN: undefined } });
  try {
    for (const origin of [closed.http, "https://app.example", "null"]) {
      const peer = await Peer.open(closed, { origin });
      assert.deepEqual(await peer.closed(), { code: 4403, reason: "origin_denied" }, origin);
    }
    await (await Peer.open(closed)).hello(mintToken("program"));
  } finally {
    await closed.stop();
  }
});

test("the first message must be hello", async () => {
  for (const first of [{ heartbeat: {} }, { join: { key: "a" } }, "garbage", "{}", "[]", ""]) {
    const peer = await Peer.open(relay);
    peer.send(first);
    assert.deepEqual(await peer.closed(), { code: 4400, reason: "bad_frame" });
  }
});

test("who doesn't say hello in 5 s is closed", async () => {
  const peer = await Peer.open(relay);
  const startedAt = performance.now();
  assert.deepEqual(await peer.closed(7000), { code: 4408, reason: "timeout" });
  const ms = performance.now() - startedAt;
  assert.ok(ms > 4500 && ms < 5500, `after ${ms} ms`);
});

test("wrong keys, metas and frames are errors, and the connection goes on", async () => {
  const peer = await Peer.join(relay, "alice", "errors:1");
  const nested = `${'{"a":'.repeat(17)}1${"}".repeat(17)}`;
  for (const [frame, code, key] of /** @type {const} */ ([
    [{ join: { key: "a".repeat(129) } }, "bad_key"],
    [{ join: { key: "" } }, "bad_key"],
    [{ join: { key: "a b" } }, "bad_key"],
    [{ join: { key: "ü" } }, "bad_key"],
    [{ update: { key: "errors:1", meta: [] } }, "bad_meta", "errors:1"],
    [{ update: { key: "errors:1", meta: "text" } }, "bad_meta", "errors:1"],
    [{ update: { key: "errors:1", meta: { a: "x".repeat(4096) } } }, "bad_meta", "errors:1"],
    [`{"update":{"key":"errors:1","meta":${nested}}}`, "bad_meta", "errors:1"],
    [{ update: { key: "errors:2", meta: {} } }, "not_joined", "errors:2"],
    [{ leave: { key: "errors:2" } }, "not_joined", "errors:2"],
    [{ resync: { key: "errors:2" } }, "not_joined", "errors:2"],
    [{ hello: { token: mintToken("bob"), dial: 2 } }, "bad_frame"],
    [{ shout: { key: "errors:1" } }, "bad_frame"],
    [{}, "bad_frame"],
    ["garbage", "bad_frame"],
    ["[".repeat(10_000), "bad_frame"],
    ['{"heartbeat":{}} {"heartbeat":{}}', "bad_frame"],
  ])) {
    peer.send(frame);
    const error = await peer.next("error");
    assert.deepEqual([error.code, error.key], [code, key], JSON.stringify(error));
    assert.ok(error.message.length > 0 && error.message.length <= 200);
  }
  await peer.heartbeat();
  assert.deepEqual(peer.presence("alice", "errors:1").meta, {});
});

test("a 65th key is one too many", async () => {
  const peer = await Peer.open(relay);
  await peer.hello(mintToken("alice"));
  for (let i = 1; i <= 64; i += 1) await peer.join(`many:${i}`);
  peer.send({ join: { key: "many:65" } });
  assert.equal((await peer.next("error")).code, "too_many_keys");
});

test("a meta of 4 MiB closes with too_large, and the reason arrives", async () => {
  for (const text of ["x".repeat(4 * 1024 * 1024), "x".repeat(16 * 1024)]) {
    const peer = await Peer.join(relay, "alice", "large:1");
    peer.send({ update: { key: "large:1", meta: { text } } });
    assert.deepEqual(await peer.closed(), { code: 4413, reason: "too_large" });
  }
});

test("a message that is not text closes with bad_frame", async () => {
  const peer = await Peer.join(relay, "alice", "binary:1");
  peer.send(Buffer.from('{"heartbeat":{}}'));
  assert.deepEqual(await peer.closed(), { code: 4400, reason: "bad_frame" });
});

for (const [name, bytes, code] of /** @type {const} */ ([
  ["a frame without a mask", encode(OPCODE.TEXT, "{}", { isMasked: false }), 4400],
  ["a reserved bit", encode(OPCODE.TEXT, "{}", { reserved: 4 }), 4400],
  ["a reserved opcode", encode(3, ""), 4400],
  ["a reserved control opcode", encode(11, ""), 4400],
  ["a ping in pieces", encode(OPCODE.PING, "", { isFinal: false }), 4400],
  ["a ping of 126 bytes", encode(OPCODE.PING, "x".repeat(126)), 4400],
  ["a continuation of nothing", encode(OPCODE.CONTINUE, "{}"), 4400],
  ["text that is not UTF-8", encode(OPCODE.TEXT, Buffer.from([0xff])), 4400],
  ["half a close code", encode(OPCODE.CLOSE, "x"), 4400],
  ["random bytes", Buffer.from("GET / HTTP/1.1\r\nHost: example\r\n\r\n"), 4400],
  ["a length of 2^63", Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), 4413],
  [
    "a message that grows too large in pieces",
    Buffer.concat([
      encode(OPCODE.TEXT, "x".repeat(10_000), { isFinal: false }),
      encode(OPCODE.CONTINUE, "x".repeat(10_000), { isFinal: false }),
    ]),
    4413,
  ],
])) {
  test(`${name} closes with ${code}`, async () => {
    const raw = await RawSocket.open(relay);
    raw.sendFrame({ hello: { token: mintToken("alice"), dial: 1 } });
    raw.send(bytes);
    assert.equal(await raw.closeCode(), code);
    assert.equal(await raw.next(), undefined, "and the socket ends");
  });
}

test("frames may come in pieces, together, and with the request itself", async () => {
  const raw = await RawSocket.open(relay);
  const text = JSON.stringify({ hello: { token: mintToken("alice"), dial: 1 } });
  const hello = Buffer.concat([
    encode(OPCODE.TEXT, text.slice(0, 100), { isFinal: false }),
    encode(OPCODE.PING, "in between"),
    encode(OPCODE.CONTINUE, text.slice(100)),
  ]);
  for (const byte of hello) raw.send(Buffer.from([byte]));
  assert.deepEqual(await raw.next(), { opcode: OPCODE.PONG, payload: Buffer.from("in between") });
  assert.match(String((await raw.next())?.payload), /^\{"welcome":/);
  raw.send(
    Buffer.concat([
      encode(OPCODE.TEXT, '{"heartbeat":{}}'),
      encode(OPCODE.TEXT, '{"heartbeat":{}}'),
      encode(OPCODE.CLOSE, Buffer.from([0x03, 0xe8])),
    ]),
  );
  assert.equal(await raw.closeCode(), 1000, "the close is answered");
});

test("an upgrade that isn't one of this protocol is answered over HTTP", async () => {
  for (const [headers, status] of /** @type {const} */ ([
    [{}, 101],
    [{ "Sec-WebSocket-Protocol": "chat, whoshere.v1" }, 101],
    [{ "Sec-WebSocket-Protocol": undefined }, 400],
    [{ "Sec-WebSocket-Protocol": "whoshere.v2" }, 400],
    [{ "Sec-WebSocket-Version": "8" }, 426],
    [{ "Sec-WebSocket-Key": "short" }, 400],
    [{ "Sec-WebSocket-Key": undefined }, 400],
    [{ Upgrade: undefined }, 426],
    [{ Connection: "keep-alive" }, 426],
  ])) {
    const raw = await RawSocket.open(relay, headers);
    assert.equal(raw.status, status, JSON.stringify(headers));
    if (status === 101) {
      assert.match(raw.head, /^sec-websocket-protocol: whoshere\.v1$/im);
      assert.doesNotMatch(raw.head, /extensions/i, "nothing is compressed");
    }
    raw.end();
  }
  assert.equal((await fetch(`${relay.http}/healthz`)).status, 200);
  assert.equal((await fetch(`${relay.http}/dev/token?user=alice`)).status, 404);
});

test("with as many connections as there may be the next one is told to come later", async () => {
  const small = await startRelay({ args: ["--max-connections", "2"] });
  try {
    const peers = [await Peer.join(small, "alice"), await Peer.join(small, "bob")];
    const third = await Peer.open(small);
    assert.deepEqual(await third.closed(), { code: 4429, reason: "busy" });
    await peers[0]?.close();
    await Peer.join(small, "carol");
  } finally {
    await small.stop();
  }
});

test("development mode mints tokens for pages of this machine, and for no others", async () => {
  const dev = await startRelay({ args: ["--dev"] });
  try {
    const token = await (await fetch(`${dev.http}/dev/token?user=alice&keys=a:*,b:1`)).text();
    const peer = await Peer.open(dev, { origin: dev.http });
    await peer.hello(token);
    await peer.join("a:1");
    peer.send({ join: { key: "b:2" } });
    assert.equal((await peer.next("error")).code, "key_denied");

    const foreign = await Peer.open(dev, { origin: "http://evil.example" });
    assert.equal((await foreign.closed()).code, 4403);
    assert.equal((await fetch(`${dev.http}/dev/token`)).status, 400);
    assert.equal((await fetch(`${dev.http}/dev/token?user=alice&ttl=soon`)).status, 400);
    // `fetch` doesn't let a caller choose the Host, but a name that points here does.
    const status = await new Promise((resolve, reject) => {
      const headers = { Host: "evil.example" };
      request(`${dev.http}/dev/token?user=alice`, { headers }, (it) => resolve(it.statusCode))
        .on("error", reject)
        .end();
    });
    assert.equal(status, 421);
    for (const header of ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"]) {
      const headers = { [header]: "for=198.51.100.7" };
      const proxied = await fetch(`${dev.http}/dev/token?user=alice`, { headers });
      assert.equal(proxied.status, 421, header);
      assert.match(await proxied.text(), /"code":"proxied"/, header);
    }
    assert.match(dev.log, /DEVELOPMENT MODE/);
  } finally {
    await dev.stop();
  }
});
