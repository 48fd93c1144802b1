// @ts-check
//
// P13: who was here last, in a bar whose reader is alone.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { Peer } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

const stage = new Stage({ args: ["--last-seen", "*"] });

test("P13: a bar says who was here last, until somebody comes, and again when they go", async (t) => {
  const key = stage.key(t);
  await (await Peer.join(stage.relay, "alice", key)).close(1001);
  const bob = await enter(t, "bob");
  await says(bob, "Last viewed by alice this minute");
  const carol = await Peer.join(stage.relay, "carol", key);
  await says(bob, "");
  await carol.close(1001);
  await says(bob, "Last viewed by carol this minute");
  await bob.page.evaluate(() => /** @type {any} */ (window).endBar());
  await says(bob, "");
});

test("P13: who looks on is told of others only, with their own other tab there or without", async (t) => {
  const key = stage.key(t);
  await (await Peer.join(stage.relay, "alice", key)).close(1001);
  const own = await Peer.join(stage.relay, "bob", key);
  const bob = await enter(t, "bob", {}, "observe");
  await says(bob, "Last viewed by alice this minute");
  const carol = await Peer.join(stage.relay, "carol", key);
  await says(bob, "");
  await carol.close(1001);
  await own.close(1001);
  await bob.sees([]);
  // Bob's tab was here after carol.
  await says(bob, "Last viewed by carol this minute");
});

test("P13: a bar whose page was cut off asks again who was here meanwhile", async (t) => {
  const [key, proxy] = [stage.key(t), await stage.proxy(t)];
  await (await Peer.join(stage.relay, "alice", key)).close(1001);
  const bob = await enter(t, "bob", { at: proxy.http });
  await says(bob, "Last viewed by alice this minute");
  bob.mayLoseNetwork = true;
  proxy.drop();
  await bob.becomes("reconnecting");
  await (await Peer.join(stage.relay, "carol", key)).close(1001);
  await says(bob, "Last viewed by alice this minute");
  await proxy.goOn();
  await says(bob, "Last viewed by carol this minute");
  const said = await bob.page.evaluate(() => /** @type {any} */ (window).said);
  assert.deepEqual(
    said,
    ["alice", "carol"].map((it) => `Last viewed by ${it} this minute`),
  );
});

test("P13: nothing is said where nobody was", async (t) => {
  const bob = await enter(t, "bob");
  const seen = await bob.page.evaluate(() => /** @type {any} */ (window).here.lastSeen());
  assert.deepEqual(
    seen.map((/** @type {any} */ it) => [it.userId, it.name, it.self, it.avatar]),
    [["bob", "bob", true, null]],
  );
  await says(bob, "");
});

test("P13: the time goes on by itself, in every language", async (t) => {
  await (await Peer.join(stage.relay, "alice", stage.key(t))).close(1001);
  const age = 12 * 60_000 + 56_000;
  const bob = await enter(t, "bob", { watch: (page) => answers(page, age) });
  await says(bob, "Last viewed by alice 13 minutes ago");
  const said = await bob.page.evaluate(() => /** @type {any} */ (window).said);
  assert.deepEqual(
    said,
    [12, 13].map((it) => `Last viewed by alice ${it} minutes ago`),
  );
  for (const [locale, text] of [
    ["de", "Zuletzt angesehen von alice vor 13 Minuten"],
    ["ja", "最終閲覧：aliceさん（13 分前）"],
    ["ar", "آخر مشاهدة: alice، قبل 13 دقيقة"],
  ]) {
    await bob.page.evaluate(async (locale) => {
      const messages = (await import(`/sdk/locales/${locale}.js`)).default;
      Object.assign(/** @type {any} */ (window).here, { messages });
    }, locale);
    await says(bob, String(text));
    const languages = await bob.page.evaluate(() =>
      [...document.querySelectorAll(".presence-last-seen, .presence-last-seen > bdi")].map(
        (it) => /** @type {HTMLElement | null} */ (it.closest("[lang]"))?.lang,
      ),
    );
    assert.deepEqual(languages, [locale, ""], "the sentence's own, and none of the name's");
  }
});

test("P13: long ago is told in hours, days, months and years", async (t) => {
  await (await Peer.join(stage.relay, "alice", stage.key(t))).close(1001);
  for (const [minutes, text] of /** @type {const} */ ([
    [60, "1 hour ago"],
    [3 * 1440, "3 days ago"],
    [70 * 1440, "2 months ago"],
    [400 * 1440, "1 year ago"],
  ])) {
    const bob = await enter(t, "bob", { watch: (page) => answers(page, minutes * 60_000 + 1000) });
    await says(bob, `Last viewed by alice ${text}`);
    await bob.page.close();
  }
});

test("P13: the tag says it, too, and axe finds nothing wrong with it", async (t) => {
  const key = stage.key(t);
  await (await Peer.join(stage.relay, "<b>alice</b>", key)).close(1001);
  const bob = await stage.blank(t, "bob");
  await bob.page.evaluate(
    async ({ key, token }) => {
      await import(String("/sdk/element.js"));
      const tag = document.createElement("whos-here");
      Object.assign(tag, { token });
      tag.setAttribute("url", "/v1/presence");
      tag.setAttribute("key", key);
      tag.setAttribute("last-seen", "");
      document.querySelector("main")?.replaceChildren(tag);
    },
    { key, token: mintToken("bob") },
  );
  // Playwright looks into the tag's own tree.
  const line = bob.page.locator("whos-here .presence-last-seen");
  await until("it is said", async () => (await line.count()) === 1);
  assert.equal(await line.textContent(), "Last viewed by <b>alice</b> this minute");
  const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
  await bob.page.evaluate(await readFile(axe, "utf8"));
  const violations = await bob.page.evaluate(async () => {
    const { violations } = await /** @type {any} */ (window).axe.run("whos-here");
    return violations.map((/** @type {any} */ it) => it.id);
  });
  assert.deepEqual(violations, []);
  await bob.page.locator("whos-here").evaluate((it) => it.setAttribute("last-seen", "false"));
  await until("it isn't said any more", async () => (await line.count()) === 0);
});

test("P13: it survives a relay that is killed", async (t) => {
  const data = await mkdtemp(join(tmpdir(), "whoshere-last-seen-"));
  t.after(() => rm(data, { recursive: true, force: true }));
  const relay = await stage.anotherRelay(t, ["--last-seen", "*", "--data", data]);
  const key = stage.key(t);
  await (await Peer.join({ url: `ws://127.0.0.1:${relay.port}/v1/presence` }, "alice", key)).close(
    1001,
  );
  await until("it is written", async () => {
    // In the log, or behind it already if the relay has just looked for what is too old.
    const files = ["whoshere.db", "whoshere.db-wal"].map((it) => readFile(join(data, it), "utf8"));
    return (await Promise.allSettled(files)).some(
      (it) => it.status === "fulfilled" && it.value.includes("alice"),
    );
  });
  await relay.stop("SIGKILL");
  await relay.startAgain();
  const bob = await enter(t, "bob", { at: relay.http });
  await says(bob, "Last viewed by alice this minute");
});

test("who asks while the part for it can't be loaded is told so, and may ask again", async (t) => {
  const alice = await stage.blank(t, "alice");
  alice.mayLoseNetwork = true;
  await alice.enter({ key: stage.key(t), token: mintToken("alice") });
  await alice.page.route("**/js/last-seen.js", (route) => route.abort(), { times: 1 });
  const ask = () =>
    alice.page.evaluate("here.lastSeen().then(() => 'told', (error) => error.code)");
  assert.equal(await ask(), "load_failed");
  assert.equal(await ask(), "told");
});

test("who asks where the relay keeps nothing is told of nobody, and who has left is told so", async (t) => {
  const relay = await stage.anotherRelay(t);
  const bob = await enter(t, "bob", { at: relay.http });
  const result = await bob.page.evaluate(async () => {
    const { here } = /** @type {any} */ (window);
    const seen = await here.lastSeen();
    here.leave();
    const code = await here.lastSeen().catch((/** @type {any} */ error) => error.code);
    return [seen, code];
  });
  assert.deepEqual(result, [[], "left"]);
});

/**
 * Enters the test's key, and shows a bar that says who was here last.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} name
 * @param {import("../support/browser.mjs").VisitOptions} [options]
 * @param {string} [mode]
 */
async function enter(t, name, options, mode) {
  const viewer = await stage.blank(t, name, options);
  await viewer.enter({ key: stage.key(t), token: mintToken(name), mode });
  await viewer.page.evaluate(() => {
    const main = /** @type {Element} */ (document.querySelector("main"));
    const it = /** @type {any} */ (window);
    // Also what is there for a moment only.
    it.said = [];
    new MutationObserver(() => {
      const text = main.querySelector(".presence-last-seen")?.textContent;
      if (text && text !== it.said.at(-1)) it.said.push(text);
    }).observe(main, { subtree: true, childList: true, characterData: true });
    it.endBar = it.here.bar(main, { lastSeen: true });
  });
  return viewer;
}

/**
 * Makes what the relay answers as old as that.
 *
 * @param {import("playwright-core").Page} page
 * @param {number} ageMs
 */
async function answers(page, ageMs) {
  await page.routeWebSocket(/presence/, (socket) => {
    const relay = socket.connectToServer();
    relay.onMessage((message) => {
      const frame = JSON.parse(String(message));
      for (const seen of frame.last_seen?.seen ?? []) seen.ago_ms = ageMs;
      socket.send(frame.last_seen ? JSON.stringify(frame) : message);
    });
  });
}

/**
 * @param {import("../support/browser.mjs").Viewer} viewer
 * @param {string} text
 */
async function says(viewer, text) {
  // At once: it may go between two looks.
  const read = () =>
    viewer.page.evaluate(() => document.querySelector(".presence-last-seen")?.textContent ?? "");
  await until(`it says "${text}"`, async () => (await read()) === text);
}
