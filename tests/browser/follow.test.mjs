// @ts-check
//
// Pages that scroll with somebody.
import assert from "node:assert/strict";
import { test } from "node:test";
import { enterBound, pointOf } from "../support/bound.mjs";
import { Stage, until } from "../support/browser.mjs";
import { sleep } from "../support/peer.mjs";

const WIDE = { viewport: { width: 1000, height: 600 } };
const NARROW = { viewport: { width: 400, height: 600 } };

const stage = new Stage();

test("who follows somebody reads where they read, on another screen too, until they scroll themselves", async (t) => {
  const alice = await enterBound(stage, t, "alice", { look: NARROW });
  const bob = await enterBound(stage, t, "bob", { look: WIDE });
  await alice.sees(["alice", "bob"]);
  await alice.page.evaluate("here.follow('bob', { onEnd: () => { window.hasEnded = true } }), 0");
  const y = async (/** @type {typeof alice} */ it) => (await pointOf(it, "p6", 0, 0)).y;
  await until("bob knows", () => bob.page.evaluate("here.members.some((it) => it.meta.following)"));
  await bob.page.evaluate("document.getElementById('p6').scrollIntoView({ block: 'center' })");
  // The same part is a third of the window down.
  const isThere = async () => {
    const { top, bottom } = await alice.page.evaluate(() => {
      const { top, bottom } = /** @type {Element} */ (
        document.elementFromPoint(200, 200)
      ).getBoundingClientRect();
      return { top, bottom };
    });
    const read = await bob.page.evaluate(() => document.elementFromPoint(500, 200)?.id);
    const line = await pointOf(alice, String(read), 0, 0);
    return Math.abs(line.y - top) < 3 && bottom > 200;
  };
  await until("alice reads the same", isThere);
  assert.notEqual(await y(alice), undefined);

  await alice.page.mouse.move(200, 300);
  await alice.page.mouse.wheel(0, -40);
  await until("she goes her own way", () => alice.page.evaluate("window.hasEnded === true"));
  await until("she says so", async () => {
    const meta = await bob.page.evaluate("here.members.find((it) => !it.self).meta");
    return JSON.stringify(meta) === "{}";
  });
  const before = await restingPlace(alice);
  await bob.page.evaluate("scrollTo(0, 0)");
  await sleep(700);
  assert.equal(await alice.page.evaluate("scrollY"), before);
});

test("what scrolls may be an element of the page, and scrolling that oneself ends it, too", async (t) => {
  const alice = await enterBound(stage, t, "alice", { look: NARROW });
  const bob = await enterBound(stage, t, "bob", { look: WIDE });
  for (const { page } of [alice, bob]) {
    await page.evaluate(() => {
      const pane = Object.assign(document.createElement("div"), { id: "pane" });
      pane.style.setProperty("overflow", "auto");
      pane.style.setProperty("height", "400px");
      pane.append(/** @type {Node} */ (document.getElementById("article")));
      document.querySelector("main")?.prepend(pane);
    });
  }
  await alice.sees(["alice", "bob"]);
  await alice.page.evaluate("here.follow('bob', { onEnd: () => { window.hasEnded = true } }), 0");
  await until("bob knows", () => bob.page.evaluate("here.members.some((it) => it.meta.following)"));
  await bob.page.evaluate("document.getElementById('p6').scrollIntoView({ block: 'center' })");
  await until("alice reads the same", async () => {
    const read = String(await bob.page.evaluate(() => document.elementFromPoint(500, 200)?.id));
    const isSame = await alice.page.evaluate(() => document.elementFromPoint(200, 200)?.id);
    return read === isSame && Number(read.slice(1)) > 3;
  });
  await alice.page.mouse.move(200, 200);
  await alice.page.mouse.wheel(0, -40);
  await until("she goes her own way", () => alice.page.evaluate("window.hasEnded === true"));
});

test("following ends when the followed one leaves", async (t) => {
  const alice = await enterBound(stage, t, "alice");
  const bob = await enterBound(stage, t, "bob");
  await alice.sees(["alice", "bob"]);
  await alice.page.evaluate("here.follow('bob', { onEnd: () => { window.hasEnded = true } }), 0");
  await until("bob knows", () => bob.page.evaluate("here.members.some((it) => it.meta.following)"));
  await bob.page.close();
  await until("it has ended", () => alice.page.evaluate("window.hasEnded === true"));
  await until("the relay has heard of it", () =>
    alice.page.evaluate("here.self.meta.following === undefined"),
  );
});

test("following outlives a reload of the followed one's page", async (t) => {
  const alice = await enterBound(stage, t, "alice", { look: NARROW });
  let bob = await enterBound(stage, t, "bob", { look: WIDE });
  await alice.sees(["alice", "bob"]);
  await alice.page.evaluate("here.follow('bob', { onEnd: () => { window.hasEnded = true } }), 0");
  await until("bob knows", () => bob.page.evaluate("here.members.some((it) => it.meta.following)"));
  await bob.page.close();
  await alice.sees(["alice"]);
  bob = await enterBound(stage, t, "bob", { look: WIDE });
  await alice.sees(["alice", "bob"]);
  await sleep(5500);
  assert.equal(await alice.page.evaluate("window.hasEnded"), undefined);
  await bob.page.evaluate("document.getElementById('p9').scrollIntoView({ block: 'center' })");
  await until("alice reads on", () => alice.page.evaluate("scrollY > 200"));
  // A table of contents.
  await alice.page.evaluate(() => {
    const link = Object.assign(document.createElement("a"), { href: "#p0", textContent: "Top" });
    document.body.append(link);
    link.click();
  });
  await until("she goes her own way", () => alice.page.evaluate("window.hasEnded === true"));
});

test("who ends it before the relay has answered follows nobody, and the last one followed counts", async (t) => {
  const alice = await enterBound(stage, t, "alice");
  const bob = await enterBound(stage, t, "bob");
  await alice.sees(["alice", "bob"]);
  const said = await alice.page.evaluate(async (module) => {
    const { here } = /** @type {any} */ (window);
    /** @type {string[]} */
    const ended = [];
    const follow = async (/** @type {string} */ userId) => {
      const end = here.follow(userId, { onEnd: () => ended.push(userId) });
      // It has begun once its module is there.
      await import(module);
      await new Promise((resolve) => setTimeout(resolve));
      return end;
    };
    await follow("carol");
    const end = await follow("bob");
    const before = ended.join();
    end();
    return { before, after: ended.join() };
  }, "/sdk/js/location.js");
  assert.deepEqual(said, { before: "carol", after: "carol,bob" });
  // Not at once: by then nothing has been sent, and the meta is empty for another reason.
  await sleep(1000);
  const meta = () => bob.page.evaluate("JSON.stringify(here.members.find((it) => !it.self).meta)");
  await until("nobody is followed", async () => (await meta()) === "{}");
});

test("that it has ended is said, too, if it never began", async (t) => {
  const alice = await enterBound(stage, t, "alice");
  alice.mayLoseNetwork = true;
  const ended = () => alice.page.evaluate("ended.join()");
  await alice.page.route("**/location.js", (route) => route.abort());
  await alice.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    /** @type {string[]} */
    const ended = [];
    Object.assign(window, { ended });
    here.follow("bob", { onEnd: () => ended.push("stopped") })();
    here.follow("carol", { onEnd: () => ended.push("failed") });
  });
  await until("both have ended", async () => (await ended()) === "stopped,failed");
  await alice.hasHeard(["state live", "error load_failed"]);
});

test("who writes goes on following, and who scrolls by a key doesn't", async (t) => {
  const alice = await enterBound(stage, t, "alice");
  const bob = await enterBound(stage, t, "bob");
  await alice.sees(["alice", "bob"]);
  await alice.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    here.follow("bob", { onEnd: () => Object.assign(window, { hasEnded: true }) });
    document.body.append(Object.assign(document.createElement("input"), { id: "chat" }));
  });
  await until("bob knows", () => bob.page.evaluate("here.members.some((it) => it.meta.following)"));
  await alice.page.locator("#chat").press("Space");
  assert.equal(await alice.page.evaluate("window.hasEnded"), undefined);
  await alice.page.locator("#chat").evaluate((it) => /** @type {HTMLElement} */ (it).blur());
  await alice.page.keyboard.press("Space");
  await until("it has ended", () => alice.page.evaluate("window.hasEnded === true"));
});

test("nobody's scrolling is told while nobody follows", async (t) => {
  const [alice, bob] = [await enterBound(stage, t, "alice"), await enterBound(stage, t, "bob")];
  await alice.sees(["alice", "bob"]);
  await bob.page.evaluate("scrollTo(0, 300)");
  await sleep(500);
  assert.deepEqual(await alice.page.evaluate("here.pulses('scroll')"), []);
});

/**
 * Where a page is scrolled to once it no longer moves: a wheel's turn takes some frames.
 *
 * @param {import("../support/browser.mjs").Viewer} viewer
 */
async function restingPlace({ page }) {
  for (let last = -1; ; await sleep(250)) {
    const y = Number(await page.evaluate("scrollY"));
    if (y === last) return y;
    last = y;
  }
}
