// @ts-check
//
// What is logged, and whom a log doesn't give away.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, SECRET, startRelay } from "../support/relay.mjs";
import { jwkSet, Signer } from "../support/signer.mjs";

/** Whatever has this in it must not be logged. */
const PRIVATE = /zz/;

/** @type {import("../support/relay.mjs").Relay | undefined} */
let relay;

afterEach(() => relay?.stop("SIGKILL"));

/** No secret is ever logged, not even at level trace. */
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const RESUME_SECRET = "a secret for resume tokens alone, which is long enough";

test("a log of everything holds no token and no secret", async (t) => {
  const data = mkdtempSync(join(tmpdir(), "whoshere-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const app = await application(t);
  const signer = new Signer("EdDSA", "the first");
  app.keys = jwkSet(signer);
  relay = await startRelay({
    args: [
      ...["--log", "trace", "--last-seen", "zz:*", "--data", data],
      ...["--origin", "https://app.example", "--webhook", `${app.url}/hook`],
    ],
    env: {
      WHOSHERE_WEBHOOK_SECRET: WEBHOOK_SECRET,
      WHOSHERE_RESUME_SECRET: RESUME_SECRET,
      WHOSHERE_TOKEN_KEYS_URL: `${app.url}/keys`,
    },
  });
  const signed = await Peer.open(relay);
  await signed.hello(signer.token("zz-frank"));
  await signed.join("zz:1");
  const tokens = await doEverything(relay);
  const gone = await Peer.open(relay);
  gone.send({ hello: { token: new Signer("EdDSA", "unknown").token("zz-gil"), dial: 1 } });
  await gone.closed();
  await until("webhooks were delivered", () => app.nDelivered >= 2);
  await signed.close(1001);
  await relay.stop();

  const { log } = relay;
  for (const line of [/TRACE .*wire: hello/, /TRACE .*wire: .*zz/, /token refused/]) {
    assert.match(log, line, "it is a log of everything");
  }
  assert.doesNotMatch(log, /eyJ/, "no JWT");
  assert.ok(tokens.length >= 3);
  for (const token of tokens) {
    for (const part of [token, ...token.split(".").filter((it) => it.length > 8)]) {
      assert.ok(!log.includes(part), "no resume token, nor a part of one");
    }
  }
  for (const secret of [SECRET, RESUME_SECRET, WEBHOOK_SECRET.slice("whsec_".length)]) {
    assert.ok(!log.includes(secret), "no secret");
    assert.ok(!log.includes(Buffer.from(secret).toString("base64")), "nor in base64");
  }
});

for (const format of ["text", "json"]) {
  test(`a log at level debug names no person, key, meta, token or address: ${format}`, async (t) => {
    const data = mkdtempSync(join(tmpdir(), "whoshere-"));
    t.after(() => rmSync(data, { recursive: true, force: true }));
    const args = ["--log", "debug", "--log-format", format, "--last-seen", "zz:*", "--data", data];
    relay = await startRelay({ args: [...args, "--origin", "https://app.example"] });
    await doEverything(relay);
    await relay.stop();

    const lines = relay.log.trimEnd().split("\n");
    const wanted = [/connection is over/, /token refused/, /a foreign origin/, /refused/, /proxy/];
    for (const line of wanted) assert.match(relay.log, line);
    for (const line of lines) {
      assert.doesNotMatch(line, PRIVATE);
      assert.doesNotMatch(line, /eyJ|127\.0\.0\.1|192\.0\.2\./);
      if (format === "json") assert.equal(typeof JSON.parse(line).message, "string", line);
    }
  });
}

test("each line about a connection or a request has its number, which no other one has", async () => {
  relay = await startRelay({ args: ["--log", "debug", "--log-format", "json"] });
  for (const user of ["alice", "bob"]) {
    const token = mintToken({ sub: user, color: "no color" });
    const peer = await Peer.open(relay);
    await peer.hello(token);
    peer.send({ join: { key: "document:1", token: "nonsense" } });
    await peer.next("error");
    await peer.close(1001);
    await said("connection is over", user === "alice" ? 1 : 2);
  }
  await fetch(`${relay.http}/v1/counts?keys=document:1`);
  await said("refused", 1);

  /** @type {Map<number | undefined, any[]>} */
  const byId = new Map();
  for (const line of lines()) {
    byId.set(line.span?.id, [...(byId.get(line.span?.id) ?? []), line]);
  }
  const ids = [...byId.keys()].filter((id) => id !== undefined);
  assert.equal(ids.length, 3, "two sockets and a request");
  for (const id of ids.slice(0, 2)) {
    const messages = (byId.get(id) ?? []).map((line) => line.message);
    for (const message of [
      "answered",
      "a token's `color` is not # and six hexadecimal digits, so the name's color is used",
      "token refused",
      "connection is over",
    ]) {
      assert.equal(messages.filter((it) => it === message).length, 1, `${id}: ${messages}`);
    }
  }
  const { method, route, status, code } = byId.get(ids[2])?.[0] ?? {};
  assert.deepEqual(
    { method, route, status, code },
    { method: "GET", route: "/v1/counts", status: 401, code: "denied" },
  );
  assert.ok(!(byId.get(undefined) ?? []).some((it) => it.target.endsWith("socket")));
});

test("a warning about a connection has its number as well", async () => {
  relay = await startRelay({ args: ["--log", "warn", "--log-format", "json"] });
  const peer = await Peer.open(relay);
  await peer.hello(mintToken({ sub: "alice", color: "no color" }));
  await relay.stop();
  const warning = lines().find((it) => it.message.includes("`color`"));
  assert.equal(warning?.span.id, 1);
});

test("at the usual level a connection that all is well with isn't logged", async () => {
  relay = await startRelay({ args: ["--origin", "https://app.example"] });
  const alice = await Peer.join(relay, "alice");
  await alice.close(1001);
  await relay.stop();
  assert.deepEqual(
    relay.log.split("\n").filter((it) => !/told to terminate|stopping|^$/.test(it)),
    [],
  );
});

/** @returns {any[]} */
function lines() {
  const text = relay?.log ?? "";
  return text
    .slice(0, text.lastIndexOf("\n"))
    .split("\n")
    .filter((it) => it !== "")
    .map((it) => JSON.parse(it));
}

/**
 * Waits until something has been logged so often.
 *
 * @param {string} message
 * @param {number} times
 */
async function said(message, times) {
  for (let n = 0; lines().filter((it) => it.message === message).length < times; n += 1) {
    assert.ok(n < 500, `not logged ${times} times: ${message}`);
    await sleep(20);
  }
}

/**
 * Says and asks everything that there is to say and to ask, right and wrong.
 *
 * @param {import("../support/relay.mjs").Relay} relay
 * @returns {Promise<string[]>} the resume tokens that it was given
 */
async function doEverything(relay) {
  const key = "zz:1";
  const peer = async (/** @type {import("../support/relay.mjs").Claims} */ claims) => {
    const peer = await Peer.open(relay, { headers: { "x-forwarded-for": "192.0.2.66" } });
    peer.send({ hello: { token: mintToken(claims), dial: 1 } });
    return peer;
  };
  const alice = await peer({ sub: "zz-alice", name: "zz Alice", avatar: "zz", color: "zz" });
  const { resume } = await alice.next("welcome");
  alice.send({ token: { token: mintToken({ sub: "zz-alice", name: "zz Alice B." }) } });
  const renewed = await alice.next("token");
  await alice.join(key, { zz: 1 });
  const bob = await peer({ sub: "zz-bob", keys: [key] });
  await bob.next("welcome");
  await bob.join(key);
  for (const frame of [
    { update: { key, meta: { zz: 2 } } },
    { pulse: { key, name: "zz", value: { zz: 3 } } },
    { attention: { away: true } },
    { resync: { key } },
    { last_seen: { key } },
  ]) {
    alice.send(frame);
  }
  await alice.heartbeat();
  for (const frame of [
    { join: { key: "zz:2" } },
    { join: { key: "zz:2", token: "zz" } },
    { join: { key: "zz:2", token: mintToken({ sub: "zz-carol" }) } },
    { join: { key: "zz no key" } },
    { update: { key: "zz:3", meta: {} } },
    { update: { key, meta: "zz" } },
    { zz: {} },
    '{"zz',
  ]) {
    bob.send(frame);
  }
  await bob.heartbeat();

  for (const claims of [
    { sub: "zz-dan", exp: 1 },
    { sub: "zz-dan", exp: "zz" },
    { sub: "zz-dan", keys: "zz:1" },
    { sub: "zz-dan", keys: ["zz *"] },
    { sub: "zz-dan", keys: { zz: 1 } },
    { sub: { id: "zz-dan" } },
    { sub: "zz-dan\n" },
    { sub: "zz-dan", name: "" },
    { sub: "zz-dan", can: "zz" },
  ]) {
    await (await peer(claims)).closed();
  }
  for (const token of ["zz", "zz.zz.zz", mintToken("zz-dan", { secret: "x".repeat(40) })]) {
    const stranger = await Peer.open(relay);
    stranger.send({ hello: { token, dial: 1 } });
    await stranger.closed();
  }
  const foreign = await Peer.open(relay, { origin: "https://zz.example" });
  await foreign.closed();
  const binary = await peer({ sub: "zz-erin" });
  binary.send(new TextEncoder().encode("zz"));
  await binary.closed();

  const lister = mintToken({ sub: "zz-server", can: ["list", "kick"] });
  for (const [method, path, token] of /** @type {const} */ ([
    ["GET", `/v1/keys/${key}/members`, lister],
    ["GET", `/v1/keys/${key}/last-seen`, lister],
    ["GET", `/v1/counts?keys=${key}`, lister],
    ["GET", "/v1/online", lister],
    ["DELETE", "/v1/users/zz-alice/last-seen", lister],
    ["GET", "/v1/keys/zz%20no%20key/members", lister],
    ["GET", `/v1/keys/${key}/members`, "zz"],
    ["GET", `/v1/keys/${key}/members`, mintToken("zz-bob")],
    ["GET", "/zz", lister],
    ["GET", "/v1/presence?zz", lister],
  ])) {
    const response = await fetch(relay.http + path, {
      method,
      headers: { authorization: `Bearer ${token}`, cookie: "zz=zz" },
    });
    await response.text();
  }
  const agent = mintToken({ sub: "zz-robot", name: "zz Robot", can: ["agent"] });
  const eve = await peer({ sub: "zz-eve", can: ["join", "observe", "invisible"] });
  await eve.next("welcome");
  eve.send({ observe: { key, invisible: true } });
  await eve.heartbeat();
  for (const [method, path, token, body] of /** @type {const} */ ([
    ["PUT", `/v1/keys/${key}/me`, agent, { meta: { zz: 4 } }],
    ["PUT", `/v1/keys/${key}/me`, agent, { meta: "zz" }],
    ["GET", `/v1/keys/${key}/events`, lister],
    ["DELETE", `/v1/keys/${key}/me`, agent],
    ["POST", `/v1/keys/${key}/kick`, lister, { user: "zz-eve", seconds: 60 }],
    ["DELETE", `/v1/keys/${key}/kick`, lister, { user: "zz-eve" }],
    ["POST", "/v1/users/zz-eve/kick", lister, {}],
    ["DELETE", "/v1/users/zz-eve/kick", lister, {}],
  ])) {
    const response = await fetch(relay.http + path, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body && { body: JSON.stringify(body) }),
    });
    // One of them has no end.
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
  }
  for (const body of [
    JSON.stringify({ resume, dial: 2, keys: [key] }),
    '{"zz',
    "zz".repeat(40_000),
  ]) {
    await fetch(`${relay.http}/v1/leave`, { method: "POST", body });
  }
  await alice.close(1000);
  await bob.close(1001);
  const again = await Peer.open(relay);
  const welcome = await again.hello(mintToken("zz-bob"), { resume: renewed.resume, dial: 3 });
  await again.close(1001);
  return [resume, renewed.resume, welcome.resume];
}

/**
 * An application that has keys and takes webhooks.
 *
 * @param {import("node:test").TestContext} t
 */
async function application(t) {
  const app = { url: "", keys: "", nDelivered: 0 };
  const server = createServer((request, response) => {
    request.resume();
    if (request.url === "/keys") {
      response.writeHead(200, { "content-type": "application/json" }).end(app.keys);
    } else {
      app.nDelivered += 1;
      response.writeHead(204).end();
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  app.url = `http://127.0.0.1:${port}`;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return app;
}

/**
 * @param {string} what
 * @param {() => boolean} condition
 */
async function until(what, condition) {
  for (const deadline = Date.now() + 30_000; !condition(); await sleep(20)) {
    assert.ok(Date.now() < deadline, `waited until ${what}`);
  }
}
