// @ts-check
//
// The HTTP API: what it answers is what its own document says, and each refusal.
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

/** @type {import("../support/relay.mjs").Relay} */
let relay;
/** @type {any} */
let document;
/** @type {Ajv2020} */
let ajv;

const ALL = mintToken({ sub: "server", can: ["list", "kick"] });

before(async () => {
  relay = await startRelay({ args: ["--last-seen", "*"] });
  document = await (await fetch(`${relay.http}/v1/openapi.json`)).json();
  ajv = new Ajv2020({ strict: false });
  ajv.addSchema(document, "openapi");
});
after(() => relay.stop());

test("who is in a key is told by user, with all of their sessions", async () => {
  const peers = [];
  for (const [name, meta] of /** @type {[string, object][]} */ ([
    ["bob", { odd: "\ud800" }],
    ["alice", { n: 1 }],
    ["alice", { n: 2 }],
  ])) {
    peers.push(await Peer.join(relay, name, "team/7:a", meta));
    // Each is older than the next one.
    await sleep(10);
  }
  const { count, members } = await ask("GET", "/v1/keys/{key}/members", { key: "team/7:a" });
  assert.equal(count, 2);
  const found = members.map((/** @type {any} */ it) => [
    it.user.id,
    ...it.sessions.map((/** @type {any} */ it) => it.meta.n),
  ]);
  assert.deepEqual(found, [
    ["bob", undefined],
    ["alice", 1, 2],
  ]);
  const { counts } = await ask("GET", "/v1/counts", {}, { keys: "team/7:a,nobody:here" });
  assert.deepEqual(counts, [
    { key: "team/7:a", members: 2, sessions: 3 },
    { key: "nobody:here", members: 0, sessions: 0 },
  ]);
  for (const peer of peers) await peer.close(1001);
  assert.deepEqual(await ask("GET", "/v1/keys/{key}/members", { key: "team/7:a" }), {
    key: "team/7:a",
    count: 0,
    members: [],
  });
});

test("P14: who is online anywhere is told page by page, as far as the token's keys go", async () => {
  const peers = [];
  for (const name of ["dave", "alice", "carol", "bob"]) {
    peers.push(await Peer.join(relay, name, "page:1"));
  }
  peers.push(await Peer.join(relay, "bob", "page:2"));
  peers.push(await Peer.join(relay, "erin", "other:1"));
  const token = mintToken({ sub: "server", keys: ["page:*"], can: ["list"] });
  const found = [];
  let after;
  do {
    const query = { limit: "2", ...(after && { after }) };
    const page = await ask("GET", "/v1/online", {}, query, { token });
    assert.ok(page.users.length <= 2);
    for (const { user, keys } of page.users) found.push([user.id, keys.join()]);
    after = page.next;
  } while (after);
  assert.deepEqual(found, [
    ["alice", "page:1"],
    ["bob", "page:1,page:2"],
    ["carol", "page:1"],
    ["dave", "page:1"],
  ]);
  for (const peer of peers) await peer.close(1001);
});

test("who was there is told, until it is forgotten", async () => {
  await (await Peer.join(relay, "zoe/1", "past:1")).close(1001);
  const { seen } = await ask("GET", "/v1/keys/{key}/last-seen", { key: "past:1" });
  assert.deepEqual(
    seen.map((/** @type {any} */ it) => it.user.id),
    ["zoe/1"],
  );
  const user = { user: "zoe/1" };
  assert.deepEqual(await ask("DELETE", "/v1/users/{user}/last-seen", user), { forgotten: 1 });
  const later = await ask("GET", "/v1/keys/{key}/last-seen", { key: "past:1" });
  assert.deepEqual(later.seen, []);
});

test("who is put out of a key is gone, is told so, and may not come back for a while", async () => {
  const alice = await Peer.join(relay, "alice", "kick:1");
  const bob = await Peer.join(relay, "bob", "kick:1");
  const where = { key: "kick:1" };
  const kick = (/** @type {object} */ body) =>
    ask("POST", "/v1/keys/{key}/kick", where, {}, { body });
  assert.deepEqual(await kick({ user: "bob" }), { kicked: 1 });
  const error = await bob.next("error");
  assert.deepEqual([error.code, error.key], ["kicked", "kick:1"]);
  await alice.sees(["alice"], "kick:1");
  bob.send({ join: { key: "kick:1", meta: {} } });
  assert.equal((await bob.next("error")).code, "kicked");
  await bob.join("kick:2");
  assert.deepEqual(await kick({ user: "nobody", seconds: 0 }), { kicked: 0 });
  const lift = () => ask("DELETE", "/v1/keys/{key}/kick", where, { user: "bob" });
  assert.deepEqual(await lift(), { lifted: true });
  await bob.join("kick:1");
  assert.deepEqual(await lift(), { lifted: false });
  for (const peer of [alice, bob]) await peer.close(1001);
});

test("who is put out of everything is closed, and so is whoever comes as them", async () => {
  const alice = await Peer.join(relay, "alice", "kick:3");
  const mallory = await Peer.join(relay, "mallory", "kick:3");
  const lost = await Peer.join(relay, "mallory", "kick:4");
  lost.reset();
  const user = { user: "mallory" };
  assert.deepEqual(await ask("POST", "/v1/users/{user}/kick", user, {}, { body: {} }), {
    kicked: 2,
  });
  assert.deepEqual(await mallory.closed(), { code: 4410, reason: "kicked" });
  const path = "/v1/users/{user}/kick";
  assert.deepEqual(await ask("DELETE", path, user), { lifted: true });
  await (await Peer.join(relay, "mallory", "kick:4")).close(1001);
  await ask("POST", path, user, {}, { body: { seconds: 1 } });
  await alice.sees(["alice"], "kick:3");
  const { count } = await ask("GET", "/v1/keys/{key}/members", { key: "kick:4" });
  assert.equal(count, 0);
  // For a second.
  for (let isIn = false; !isIn; ) {
    const again = await Peer.open(relay);
    again.send({ hello: { token: mintToken("mallory"), dial: 1 } });
    await again.until("it is let in or not", () => !again.isOpen || again.received.length > 0);
    isIn = again.isOpen;
    if (isIn) await again.close(1000);
    else assert.deepEqual(await again.closed(), { code: 4410, reason: "kicked" });
    await sleep(100);
  }
  await alice.close(1001);
});

test("a server's member is like any other, for as long as the server says so", async () => {
  const alice = await Peer.join(relay, "alice", "bots:1");
  const token = mintToken({ sub: "robot", name: "Robot", keys: ["bots:*"], can: ["agent"] });
  const where = { key: "bots:1" };
  const put = (/** @type {object} */ body) =>
    ask("PUT", "/v1/keys/{key}/me", where, {}, { token, body });
  const first = await put({ meta: { working: true }, ttl: 30 });
  await alice.sees(["alice", "robot"], "bots:1");
  assert.deepEqual(alice.presence("robot", "bots:1").meta, { working: true });
  assert.deepEqual(await put({ meta: { working: false } }), { session: first.session, ttl: 60 });
  await alice.until(
    "its meta is another",
    () => alice.presence("robot", "bots:1").meta.working === false,
  );
  const gone = await ask("DELETE", "/v1/keys/{key}/me", where, {}, { token });
  assert.deepEqual(gone, { withdrawn: true });
  await alice.sees(["alice"], "bots:1");
  assert.deepEqual(alice.rosters.get("bots:1")?.told, { joined: 1, left: 1, updated: 1 });

  await refuses("PUT", "/v1/keys/other:1/me", token, 403, "key_denied", { body: {} });
  await refuses("PUT", "/v1/keys/bots:1/me", ALL, 403, "not_allowed", { body: {} });
  for (const meta of [[], null]) {
    await refuses("PUT", "/v1/keys/bots:1/me", token, 400, "bad_meta", { body: { meta } });
  }
  for (const body of [{ ttl: 4 }, { ttl: "5" }, { ttl: null }, { no: 1 }, "none"]) {
    await refuses("PUT", "/v1/keys/bots:1/me", token, 400, "bad_request", { body });
  }
  const large = { body: { meta: { text: "x".repeat(70_000) } } };
  await refuses("PUT", "/v1/keys/bots:1/me", token, 413, "too_large", large);
  await ask("POST", "/v1/keys/{key}/kick", where, {}, { body: { user: "robot" } });
  await refuses("PUT", "/v1/keys/bots:1/me", token, 403, "kicked", { body: {} });
  await alice.close(1001);
});

test("who asks too often is told when to come back, and who tries tokens sooner", async () => {
  const args = ["--max-requests-per-address", "20", "--max-requests-per-user", "2"];
  const own = await startRelay({ args: [...args, "--metrics-listen", "127.0.0.1:0"] });
  try {
    const server = mintToken({ sub: "server", can: ["list"] });
    const get = (/** @type {string} */ token, localAddress = "127.0.0.1") =>
      answerTo(`${own.http}/v1/counts?keys=document:1`, token, localAddress);
    let refused = 0;
    // Whoever has failed too often is refused whatever they bring, until a second has passed.
    for (let n = 0; refused < 429 && n < 20; n += 1) {
      let status = 0;
      for (let m = 0; status !== 429 && m < 200; m += 1) status = (await get("a guess")).status;
      assert.equal(status, 429, "it may guess for ever");
      refused = (await get(server)).status;
    }
    assert.equal(refused, 429);
    assert.equal((await get(server, "127.0.0.2")).status, 200, "nobody else notices");
    let answer = await get(server, "127.0.0.2");
    for (let n = 0; answer.status !== 429 && n < 150; n += 1) {
      answer = await get(server, "127.0.0.2");
    }
    assert.equal(answer.status, 429);
    assert.equal(answer.headers["content-type"], "application/problem+json");
    assert.ok(Number(answer.headers["retry-after"]) >= 1);
    const problem = JSON.parse(answer.body);
    assert.ok(ajv.getSchema("openapi#/components/schemas/Problem")?.(problem), answer.body);
    assert.equal(problem.code, "busy");
    const other = mintToken({ sub: "another server", can: ["list"] });
    assert.equal((await get(other, "127.0.0.2")).status, 200, "another user may");
    const { samples } = await metricsOf(own);
    const dropped = samples.get('whoshere_dropped_total{reason="too_often"}');
    assert.equal(samples.get('whoshere_http_refusals_total{code="busy"}'), dropped);
  } finally {
    await own.stop();
  }
});

test("every refusal says why", async () => {
  const page = mintToken("alice");
  const one = mintToken({ sub: "server", keys: ["a:1"], can: ["list", "kick"] });
  const old = mintToken({ sub: "server", can: ["list"], exp: 1 });
  const forged = mintToken({ sub: "server", can: ["list"] }, { secret: "x".repeat(40) });
  for (const [
    path,
    token,
    status,
    code,
  ] of /** @type {[string, string | null, number, string][]} */ ([
    ["/v1/keys/a:1/members", null, 401, "denied"],
    ["/v1/keys/a:1/members", forged, 401, "denied"],
    ["/v1/keys/a:1/members", old, 401, "expired"],
    ["/v1/keys/a:1/members", page, 403, "not_allowed"],
    ["/v1/keys/a:2/members", one, 403, "key_denied"],
    ["/v1/keys/a%20b/members", one, 400, "bad_key"],
    ["/v1/keys/a:2/last-seen", one, 403, "key_denied"],
    ["/v1/counts?keys=a:1,a:2", one, 403, "key_denied"],
    ["/v1/counts?keys=", one, 400, "bad_request"],
    ["/v1/counts", one, 400, "bad_request"],
    [`/v1/counts?keys=${"a:1,".repeat(100)}a:1`, one, 400, "bad_request"],
    ["/v1/online", page, 403, "not_allowed"],
    ["/v1/online?limit=0", one, 400, "bad_request"],
    ["/v1/online?limit=1001", one, 400, "bad_request"],
    ["/v1/online?after=%00", one, 400, "bad_request"],
    ["/v1/nothing", one, 404, "not_found"],
    ["/v1/users/alice/kick", one, 405, "method_not_allowed"],
  ])) {
    await refuses("GET", path, token, status, code);
  }
  for (const [method, path, status, code] of /** @type {const} */ ([
    ["GET", "/", 404, "not_found"],
    ["GET", "/nothing", 404, "not_found"],
    ["POST", "/healthz", 405, "method_not_allowed"],
    ["PUT", "/v1/leave", 405, "method_not_allowed"],
    ["DELETE", "/v1/presence", 405, "method_not_allowed"],
  ])) {
    const response = await fetch(relay.http + path, { method });
    assert.equal(response.headers.get("content-type"), "application/problem+json", path);
    const told = /** @type {any} */ (await response.json());
    assert.deepEqual([response.status, told.status, told.code], [status, status, code], path);
    assert.equal(typeof told.detail, "string");
  }
  await refuses("DELETE", "/v1/users/alice/last-seen", page, 403, "not_allowed");
  await refuses("DELETE", "/v1/users/alice/last-seen", one, 403, "key_denied");
  await refuses("DELETE", "/v1/users/%00/last-seen", ALL, 400, "bad_request");
  const some = mintToken({ sub: "server", keys: ["a:*"], can: ["list", "kick"] });
  await refuses("DELETE", "/v1/users/alice/last-seen", some, 403, "key_denied");
  await refuses("POST", "/v1/users/alice/kick", some, 403, "key_denied", { body: {} });
  await refuses("DELETE", "/v1/users/alice/kick", some, 403, "key_denied");
  await refuses("DELETE", "/v1/keys/b:1/kick?user=bob", some, 403, "key_denied");
  for (const query of ["", "?user=", "?user=%00"]) {
    await refuses("DELETE", `/v1/keys/a:1/kick${query}`, some, 400, "bad_request");
  }
  await refuses("DELETE", "/v1/keys/a:1/me", some, 403, "not_allowed");
  await refuses("PUT", "/v1/keys/a:1/me", some, 403, "not_allowed", { body: {} });
  await refuses("POST", "/v1/keys/a:1/kick", page, 403, "not_allowed", { body: { user: "bob" } });
  await refuses("POST", "/v1/users/alice/kick", page, 403, "not_allowed", { body: {} });
  await refuses("POST", "/v1/users/alice/kick", one, 403, "key_denied", { body: {} });
  await refuses("POST", "/v1/keys/a:2/kick", one, 403, "key_denied", { body: { user: "bob" } });
  for (const body of [
    {},
    { user: "" },
    { user: "bob", seconds: 86_401 },
    { user: "bob", seconds: -1 },
    [],
  ]) {
    await refuses("POST", "/v1/keys/a:1/kick", one, 400, "bad_request", { body });
  }
});

/** What each request takes. */
const NEEDS = /** @type {[string, string, string, object?][]} */ ([
  ["GET", "/v1/keys/{key}/members", "list"],
  ["GET", "/v1/keys/{key}/last-seen", "list"],
  ["GET", "/v1/keys/{key}/events", "list"],
  ["GET", "/v1/counts", "list"],
  ["GET", "/v1/online", "list"],
  ["DELETE", "/v1/users/{user}/last-seen", "kick"],
  ["POST", "/v1/keys/{key}/kick", "kick", { user: "nobody" }],
  ["POST", "/v1/users/{user}/kick", "kick", {}],
  ["DELETE", "/v1/keys/{key}/kick", "kick"],
  ["DELETE", "/v1/users/{user}/kick", "kick"],
  ["PUT", "/v1/keys/{key}/me", "agent", {}],
  ["DELETE", "/v1/keys/{key}/me", "agent"],
]);
/** @type {Record<string, string>} */
const QUERIES = {
  "GET /v1/counts": "?keys=needs:1",
  "DELETE /v1/keys/{key}/kick": "?user=nobody",
};
const CAPABILITIES = ["join", "observe", "invisible", "pulse", "list", "kick", "agent"];

test("each request takes the one capability that it needs, and no other does", async () => {
  const takesToken = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, it]) => "403" in (it.responses ?? {}))
      .map(([method]) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(NEEDS.map(([method, path]) => `${method} ${path}`).sort(), takesToken.sort());
  for (const [method, template, needed, body] of NEEDS) {
    const path = template.replace("{key}", "needs:1").replace("{user}", "nobody");
    const query = QUERIES[`${method} ${template}`] ?? "";
    const address = `${relay.http}${path}${query}`;
    const asked = async (/** @type {string[]} */ can) => {
      const token = mintToken({ sub: "needs", can });
      const response = await fetch(address, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (response.status === 403) return /** @type {any} */ (await response.json()).code;
      await response.body?.cancel();
      return response.status < 300;
    };
    const others = CAPABILITIES.filter((it) => it !== needed);
    assert.equal(await asked(others), "not_allowed", `${method} ${path}`);
    assert.equal(await asked([needed]), true, `${method} ${path}`);
  }
});

test("each request that takes a token may be answered too late, and the document says so", () => {
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const { responses } of Object.values(methods)) assert.ok("408" in responses, path);
  }
});

test("where nothing is kept there is nothing to tell or to forget", async (t) => {
  const other = await startRelay();
  t.after(() => other.stop());
  const { http } = other;
  await refuses("GET", "/v1/keys/a:1/last-seen", ALL, 404, "nothing_kept", { http });
  await refuses("DELETE", "/v1/users/alice/last-seen", ALL, 404, "nothing_kept", { http });
});

/**
 * Asks as the document says, and holds the answer to it.
 *
 * @param {string} method
 * @param {string} template
 * @param {Record<string, string>} path
 * @param {Record<string, string>} [query]
 * @param {{ token?: string, body?: object }} [options]
 */
async function ask(method, template, path, query = {}, { token = ALL, body } = {}) {
  const address = template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(path[name] ?? ""));
  const response = await fetch(`${relay.http}${address}?${new URLSearchParams(query)}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(body && { body: JSON.stringify(body) }),
  });
  const answer = /** @type {any} */ (await response.json());
  assert.equal(response.status, 200, JSON.stringify(answer));
  assert.equal(response.headers.get("cache-control"), "no-store");
  const { schema } =
    document.paths[template][method.toLowerCase()].responses["200"].content["application/json"];
  holds(schema.$ref, answer);
  return answer;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {string | null} token
 * @param {number} status
 * @param {string} code
 * @param {{ http?: string, body?: unknown }} [options]
 */
async function refuses(method, path, token, status, code, { http = relay.http, body } = {}) {
  const headers = /** @type {Record<string, string>} */ (
    token === null ? {} : { authorization: `Bearer ${token}` }
  );
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await fetch(`${http}${path}`, { method, headers, ...sent });
  const answer = /** @type {any} */ (await response.json());
  assert.deepEqual([response.status, answer.code], [status, code], path);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.equal(response.headers.get("www-authenticate"), status === 401 ? "Bearer" : null);
  holds("#/components/schemas/Problem", answer);
}

/**
 * @param {string} ref
 * @param {unknown} body
 */
function holds(ref, body) {
  const validate = ajv.getSchema(`openapi${ref}`);
  assert.ok(validate?.(body), JSON.stringify(validate?.errors));
}

/**
 * @param {string} url
 * @param {string} token
 * @param {string} localAddress where the request comes from
 * @returns {Promise<{ status: number, headers: import("node:http").IncomingHttpHeaders, body: string }>}
 */
function answerTo(url, token, localAddress) {
  const headers = { authorization: `Bearer ${token}` };
  return new Promise((resolve, reject) => {
    const sent = request(url, { localAddress, headers }, async (response) => {
      let body = "";
      for await (const chunk of response.setEncoding("utf8")) body += chunk;
      resolve({ status: Number(response.statusCode), headers: response.headers, body });
    });
    sent.on("error", reject).end();
  });
}
