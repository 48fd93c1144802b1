// @ts-check
//
// Webhooks: who comes and goes is told once it is certain, signed as the paper says, and until it is taken.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

const PAPER = fileURLToPath(new URL("../../docs/webhooks.md", import.meta.url));
const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

/** A connection that breaks instead. */
const NO_ANSWER = 0;

/** @typedef {{ headers: import("node:http").IncomingHttpHeaders, body: string }} Delivery */

/** @type {string} */
let folder;
/** The paper's own function. @type {(headers: object, body: string, secret: string) => any} */
let verified;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "whoshere-webhooks-"));
  const paper = await readFile(PAPER, "utf8");
  for (const [, language = "", code = ""] of paper.matchAll(/^```(js|python)\n(.*?)^```$/gms)) {
    await writeFile(join(folder, language === "js" ? "webhook.mjs" : "webhook.py"), code);
  }
  ({ verified } = await import(String(pathToFileURL(join(folder, "webhook.mjs")))));
});
after(() => rm(folder, { recursive: true, force: true }));

test("who comes and goes is told, signed as the paper says; a reload isn't told", async (t) => {
  const inbox = await Inbox.open(t);
  const relay = await start(t, inbox, ["--grace", "2s"]);
  const alice = await Peer.join(relay, "alice", "hook:1");
  await inbox.hears(["key.occupied hook:1", "joined hook:1 alice"]);
  await alice.close(1001);
  const again = await Peer.join(relay, "alice", "hook:1");
  const tab = await Peer.join(relay, "alice", "hook:1");
  const bob = await Peer.join(relay, "bob", "hook:1");
  await inbox.hears(["joined hook:1 bob"]);
  bob.reset();
  await tab.close(1001);
  await inbox.hears(["left hook:1 bob"]);
  await again.close(1001);
  await inbox.hears(["left hook:1 alice", "key.vacated hook:1"]);
  assert.equal(inbox.deliveries.length, 6, "and nothing else");

  const [first] = inbox.deliveries;
  assert.ok(first);
  const event = verified(first.headers, first.body, SECRET);
  assert.deepEqual(event.data, { key: "hook:1" });
  assert.ok(Math.abs(Date.parse(event.timestamp) - Date.now()) < 600_000);
  assert.equal(verified(first.headers, `${first.body} `, SECRET), null);
  assert.equal(verified(first.headers, first.body, SECRET.replace("Bw", "CA")), null);
  const old = { ...first.headers, "webhook-timestamp": "1700000000" };
  assert.equal(verified(old, first.body, SECRET), null);
  for (const headers of [{}, { "webhook-timestamp": now() }, unsigned("v1,é"), unsigned("v1,")]) {
    assert.equal(verified(headers, first.body, SECRET), null);
  }
  // A signature that anybody can make who knows that there is no secret.
  for (const none of [undefined, "", "whsec_", "whsec_c2hvcnQ="]) {
    const key = Buffer.from(String(none ?? "").replace("whsec_", ""), "base64");
    assert.throws(
      () => verified(unsigned(signed(key)), "{}", /** @type {any} */ (none)),
      /missing/,
    );
  }
  assert.equal(new Set(inbox.deliveries.map((it) => it.headers["webhook-id"])).size, 6);
});

test("the paper's Python verifies it, too", async (t) => {
  if (spawnSync("python3", ["--version"]).error) return t.skip("python3 is not installed");
  const inbox = await Inbox.open(t);
  const relay = await start(t, inbox);
  const alice = await Peer.join(relay, "Jürgen 😀", "hook:2");
  await inbox.hears(["key.occupied hook:2", "joined hook:2 Jürgen 😀"]);
  await alice.close(1001);
  const [, joined] = inbox.deliveries;
  assert.ok(joined);
  const run = `import json, sys, webhook
it = json.load(sys.stdin)
body = it["body"].encode()
print(webhook.verified(it["headers"], body)["data"]["key"])
print(webhook.verified(it["headers"], body + b" "))
for headers in it["others"]:
    print(webhook.verified(headers, body))
for none in ["", "whsec_", "whsec_c2hvcnQ="]:
    try:
        print(webhook.verified(it["forged"], b"{}", none))
    except ValueError:
        print("no secret")`;
  const { status, stdout, stderr } = spawnSync("python3", ["-c", run], {
    cwd: folder,
    input: JSON.stringify({
      ...joined,
      others: [{}, { "webhook-timestamp": now() }, { "webhook-timestamp": "²" }, unsigned("v1,é")],
      forged: unsigned(signed(Buffer.alloc(0))),
    }),
    encoding: "utf8",
    env: { ...process.env, WHOSHERE_WEBHOOK_SECRET: SECRET },
  });
  assert.equal(status, 0, stderr);
  const none = Array.from({ length: 5 }, () => "None");
  const refused = Array.from({ length: 3 }, () => "no secret");
  assert.deepEqual(stdout.trim().split("\n"), ["hook:2", ...none, ...refused]);
});

/** In seconds, as headers have it. */
const now = () => String(Math.floor(Date.now() / 1000));

/** @param {string} signature */
function unsigned(signature) {
  return { "webhook-id": "a", "webhook-timestamp": now(), "webhook-signature": signature };
}

/** What `{}` is signed with. @param {Buffer} key */
function signed(key) {
  return `v1,${createHmac("sha256", key).update(`a.${now()}.{}`).digest("base64")}`;
}

test("what isn't taken is sent again, in order, with the same id; redirects aren't followed", async (t) => {
  const inbox = await Inbox.open(t);
  inbox.answers = [500, 302, NO_ANSWER];
  const relay = await start(t, inbox, ["--metrics-listen", "127.0.0.1:0"]);
  const alice = await Peer.join(relay, "alice", "hook:3");
  await inbox.hears(["key.occupied hook:3", "joined hook:3 alice"]);
  const [first, ...others] = inbox.deliveries.map((it) => it.headers["webhook-id"]);
  const isFirst = others.map((it) => it === first);
  assert.deepEqual(isFirst, [true, true, true, false]);
  await counts(relay, {
    waiting: 0,
    'deliveries_total{result="taken"}': 2,
    'deliveries_total{result="refused"}': 2,
    'deliveries_total{result="unanswered"}': 1,
    'lost_total{reason="queue_full"}': 0,
    'lost_total{reason="disk"}': 0,
    'lost_total{reason="given_up"}': 0,
  });
  await alice.close(1001);
  // Once as it begins, not for each try.
  const deadline = Date.now() + 30_000;
  while (!relay.log.includes("takes what it is told again")) {
    assert.ok(Date.now() < deadline, relay.log);
    await sleep(20);
  }
  assert.equal(relay.log.match(/doesn't take what it is told/g)?.length, 1, relay.log);
  inbox.isDown = true;
  await Peer.join(relay, "bob", "hook:3");
  await counts(relay, { waiting: 1 });
  inbox.isDown = false;
  await inbox.hears(["joined hook:3 bob"]);
});

test("a restart is told of nobody who stays, and what was to be told outlives it", async (t) => {
  const data = await mkdtemp(join(folder, "data-"));
  const args = ["--data", data, "--grace", "2s", "--heartbeat", "1s"];
  const inbox = await Inbox.open(t);
  const first = await start(t, inbox, args);
  const stays = await Peer.open(first);
  const { resume } = await stays.hello(mintToken("stays"));
  await stays.join("hook:4");
  await Peer.join(first, "goes", "hook:4");
  await inbox.hears(["key.occupied hook:4", "joined hook:4 stays", "joined hook:4 goes"]);
  inbox.isDown = true;
  await Peer.join(first, "late", "hook:4");
  await first.stop();

  const second = await start(t, inbox, args);
  const back = await Peer.open(second);
  await back.hello(mintToken("stays"), { resume, dial: 2 });
  await back.join("hook:4");
  const late = await Peer.join(second, "late", "hook:4");
  inbox.isDown = false;
  await inbox.hears(["joined hook:4 late", "left hook:4 goes"]);
  assert.equal(inbox.taken.length, 5, "nobody else was told of");
  for (const peer of [back, late]) await peer.close(1001);
});

test("what a webhook was to be told doesn't outlive it", async (t) => {
  const data = await mkdtemp(join(folder, "data-"));
  const inbox = await Inbox.open(t);
  inbox.isDown = true;
  const first = await start(t, inbox, ["--data", data]);
  const alice = await Peer.join(first, "alice", "hook:5");
  await first.stop();
  await alice.closed();
  assert.deepEqual(await readdir(data), ["webhooks.db"]);
  const second = await startRelay({ args: ["--data", data] });
  t.after(() => second.stop("SIGKILL"));
  await second.stop();
  assert.match(second.log, /WARN.*removed removed=2 events/);
  assert.deepEqual(await readdir(data), []);
});

test("an address that isn't safe, or no secret, is refused at the start", async () => {
  for (const [url, secret, problem] of /** @type {const} */ ([
    ["http://app.example/hook", SECRET, /webhook_address: /],
    ["https://app.example/hook", undefined, /webhook_secret_missing: /],
    ["https://app.example/hook", "whsec_short", /webhook_secret_unusable: /],
  ])) {
    const env = { WHOSHERE_WEBHOOK_SECRET: secret };
    await assert.rejects(startRelay({ args: ["--webhook", url], env }), problem);
  }
});

/**
 * @param {import("node:test").TestContext} t
 * @param {Inbox} inbox
 * @param {string[]} [args]
 */
async function start(t, inbox, args = []) {
  const relay = await startRelay({
    args: ["--webhook", inbox.url, "--webhook-keys", "hook:*", ...args],
    env: { WHOSHERE_WEBHOOK_SECRET: SECRET },
  });
  t.after(() => relay.stop("SIGKILL"));
  return relay;
}

/**
 * Waits until the webhook's metrics are these.
 *
 * @param {import("../support/relay.mjs").Relay} relay
 * @param {Record<string, number>} wanted
 */
async function counts(relay, wanted) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const { samples } = await metricsOf(relay);
    const found = Object.keys(wanted).map((it) => [it, samples.get(`whoshere_webhook_${it}`)]);
    if (isDeepStrictEqual(Object.fromEntries(found), wanted)) return;
    assert.ok(Date.now() < deadline, JSON.stringify(found));
    await sleep(50);
  }
}

/** An application's server. */
class Inbox {
  /** What it answers to the next ones; 204 after that. @type {number[]} */
  answers = [];
  isDown = false;
  /** All that came. @type {Delivery[]} */
  deliveries = [];
  /** What it took. @type {string[]} */
  taken = [];
  url = "";
  #nRead = 0;

  /** @param {import("node:test").TestContext} t */
  static async open(t) {
    const inbox = new Inbox();
    const server = createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request.setEncoding("utf8")) body += chunk;
      const delivery = { headers: request.headers, body };
      if (!inbox.isDown) inbox.deliveries.push(delivery);
      const status = inbox.isDown ? 503 : (inbox.answers.shift() ?? 204);
      if (status === NO_ANSWER) return request.socket.destroy();
      if (status === 204) inbox.taken.push(told(delivery));
      response.writeHead(status, { location: inbox.url }).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = /** @type {import("node:net").AddressInfo} */ (server.address());
    inbox.url = `http://127.0.0.1:${address.port}/hook`;
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    return inbox;
  }

  /**
   * Waits until exactly these are the next that it takes.
   *
   * @param {string[]} wanted
   */
  async hears(wanted) {
    const deadline = Date.now() + 60_000;
    const until = this.#nRead + wanted.length;
    while (this.taken.length < until) {
      assert.ok(Date.now() < deadline, `waiting for ${wanted}; took ${this.taken}`);
      await sleep(20);
    }
    assert.deepEqual(this.taken.slice(this.#nRead, until), wanted);
    this.#nRead = until;
  }
}

/** @param {Delivery} delivery */
function told({ headers, body }) {
  const { type, data } = verified(headers, body, SECRET);
  return [type, data.key, data.user?.name].filter((it) => it !== undefined).join(" ");
}
