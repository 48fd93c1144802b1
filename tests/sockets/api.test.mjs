// @ts-check
//
// The HTTP API: what it answers is what its own document says, and each refusal.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { Peer } from "../support/peer.mjs";
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
  const peers = [await Peer.join(relay, "alice", "team/7:a", { n: 1 })];
  peers.push(await Peer.join(relay, "bob", "team/7:a", { odd: "\ud800" }));
  peers.push(await Peer.join(relay, "alice", "team/7:a", { n: 2 }));
  const { count, members } = await ask("GET", "/v1/keys/{key}/members", { key: "team/7:a" });
  assert.equal(count, 2);
  assert.deepEqual(members.map((/** @type {any} */ it) => it.user.id).sort(), ["alice", "bob"]);
  const alice = members.find((/** @type {any} */ it) => it.user.id === "alice");
  const metas = alice.sessions.map((/** @type {any} */ it) => it.meta.n);
  assert.deepEqual(metas.sort(), [1, 2]);
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
    ["/v1/keys/a:1/members", page, 403, "denied"],
    ["/v1/keys/a:2/members", one, 403, "key_denied"],
    ["/v1/keys/a%20b/members", one, 400, "bad_key"],
    ["/v1/keys/a:2/last-seen", one, 403, "key_denied"],
    ["/v1/counts?keys=a:1,a:2", one, 403, "key_denied"],
    ["/v1/counts?keys=", one, 400, "bad_request"],
    ["/v1/counts", one, 400, "bad_request"],
    [`/v1/counts?keys=${"a:1,".repeat(100)}a:1`, one, 400, "bad_request"],
    ["/v1/online", page, 403, "denied"],
    ["/v1/online?limit=0", one, 400, "bad_request"],
    ["/v1/online?limit=1001", one, 400, "bad_request"],
    ["/v1/online?after=%00", one, 400, "bad_request"],
  ])) {
    await refuses("GET", path, token, status, code);
  }
  await refuses("DELETE", "/v1/users/alice/last-seen", page, 403, "denied");
  await refuses("DELETE", "/v1/users/alice/last-seen", one, 403, "key_denied");
  await refuses("DELETE", "/v1/users/%00/last-seen", ALL, 400, "bad_request");
});

test("where nothing is kept there is nothing to tell or to forget", async (t) => {
  const other = await startRelay();
  t.after(() => other.stop());
  const { http } = other;
  await refuses("GET", "/v1/keys/a:1/last-seen", ALL, 404, "nothing_kept", http);
  await refuses("DELETE", "/v1/users/alice/last-seen", ALL, 404, "nothing_kept", http);
});

/**
 * Asks as the document says, and holds the answer to it.
 *
 * @param {string} method
 * @param {string} template
 * @param {Record<string, string>} path
 * @param {Record<string, string>} [query]
 * @param {{ token?: string }} [options]
 */
async function ask(method, template, path, query = {}, { token = ALL } = {}) {
  const address = template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(path[name] ?? ""));
  const response = await fetch(`${relay.http}${address}?${new URLSearchParams(query)}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
  });
  const body = /** @type {any} */ (await response.json());
  assert.equal(response.status, 200, JSON.stringify(body));
  assert.equal(response.headers.get("cache-control"), "no-store");
  const { schema } =
    document.paths[template][method.toLowerCase()].responses["200"].content["application/json"];
  holds(schema.$ref, body);
  return body;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {string | null} token
 * @param {number} status
 * @param {string} code
 * @param {string} [http]
 */
async function refuses(method, path, token, status, code, http = relay.http) {
  const headers = /** @type {Record<string, string>} */ (
    token === null ? {} : { authorization: `Bearer ${token}` }
  );
  const response = await fetch(`${http}${path}`, { method, headers });
  const body = /** @type {any} */ (await response.json());
  assert.deepEqual([response.status, body.code], [status, code], path);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  holds("#/components/schemas/Problem", body);
}

/**
 * @param {string} ref
 * @param {unknown} body
 */
function holds(ref, body) {
  const validate = ajv.getSchema(`openapi${ref}`);
  assert.ok(validate?.(body), JSON.stringify(validate?.errors));
}
