// @ts-check
//
// That the bar can be read, reached and used by everybody.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Stage } from "../support/browser.mjs";
import { Peer } from "../support/peer.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Eleven others, of whom five have a dot beside one's own. */
const NAMES = [
  "bob",
  "carol",
  "dave",
  "erin",
  "frank",
  "grace",
  "heidi",
  "ivan",
  "judy",
  "ken",
  "mia",
];

const stage = new Stage();

for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
  test(`axe finds nothing wrong with the ${colorScheme} page, of one viewer or of twelve`, async (t) => {
    const alice = await stage.visit(t, "alice", { look: { colorScheme } });
    await alice.sees(["alice"]);
    assert.deepEqual(await violations(alice), []);

    await fill(t);
    await alice.page.getByText("12 here", { exact: true }).waitFor();
    // Some flashes are there, too.
    await alice.page.locator(".presence-flash").first().waitFor();
    assert.deepEqual(await violations(alice), []);

    await alice.page.getByRole("button", { name: "+7 more" }).click();
    assert.equal(await alice.page.locator(".presence-list > li").count(), 7);
    assert.deepEqual(await violations(alice), []);
    await alice.page.keyboard.press("Escape");
    await alice.dot("bob").hover();
    assert.deepEqual(await violations(alice), []);
  });
}

test("axe finds nothing wrong with the page that asks who one is, and with the home page", async (t) => {
  const stranger = await stage.visit(t, "stranger", { path: "/docs/1" });
  assert.deepEqual(await violations(stranger), []);
  const home = await stage.visit(t, "home", { path: "/" });
  assert.deepEqual(await violations(home), []);
});

test("with twelve people there are five dots and a button for the rest", async (t) => {
  const alice = await stage.visit(t, "alice");
  await alice.sees(["alice"]);
  await fill(t);
  await alice.page.getByText("12 here", { exact: true }).waitFor();
  assert.equal(await alice.page.locator(".presence-dots > li > .presence-dot").count(), 5);
  const button = alice.page.getByRole("button", { name: "+7 more" });
  assert.equal(await button.getAttribute("aria-expanded"), "false");
  assert.equal(await alice.page.locator(".presence-list").isVisible(), false);
  await button.click();
  assert.equal(await button.getAttribute("aria-expanded"), "true");
  assert.deepEqual(await listed(alice), NAMES.slice(4));
  await alice.page.locator("#title").click();
  assert.equal(await button.getAttribute("aria-expanded"), "false", "a click elsewhere closes it");
});

test("the keyboard reaches every dot and the button, opens the list, and closes it again", async (t) => {
  const alice = await stage.visit(t, "alice");
  await alice.sees(["alice"]);
  await fill(t);
  await alice.page.getByText("12 here", { exact: true }).waitFor();
  const press = (/** @type {string} */ key) => alice.page.keyboard.press(key);
  const focused = () =>
    alice.page.evaluate(() => {
      const { activeElement: it } = document;
      return it?.ariaLabel ?? it?.textContent;
    });

  await alice.page.locator(".brand").focus();
  for (const name of ["alice", ...NAMES.slice(0, 4)]) {
    await press("Tab");
    assert.ok((await focused())?.includes(name), `Tab leads to ${await focused()}, not ${name}`);
  }
  await press("Tab");
  assert.equal(await focused(), "+7 more");
  await press("Enter");
  const button = alice.page.getByRole("button", { name: "+7 more" });
  assert.equal(await button.getAttribute("aria-expanded"), "true");
  assert.deepEqual(await listed(alice), NAMES.slice(4));
  await press("Escape");
  assert.equal(await button.getAttribute("aria-expanded"), "false");
  assert.equal(await focused(), "+7 more", "the focus is back where it was");
  await press("Enter");
  await press("Tab");
  await press("Tab");
  assert.equal(await button.getAttribute("aria-expanded"), "false", "leaving the list closes it");
});

test("an open list follows those who come and go, and keeps its place", async (t) => {
  const alice = await stage.visit(t, "alice");
  await alice.sees(["alice"]);
  const peers = await fill(t);
  await alice.page.getByText("12 here", { exact: true }).waitFor();
  await alice.page.getByRole("button", { name: "+7 more" }).click();
  await alice.page.evaluate("document.querySelector('.presence-list > li').mark = true");

  await peers.at(-1)?.close(1001);
  await alice.page.getByRole("button", { name: "+6 more" }).waitFor();
  assert.deepEqual(await listed(alice), NAMES.slice(4, -1));
  await Peer.join(stage.relay, "zoe", stage.key(t));
  await alice.page.getByRole("button", { name: "+7 more" }).waitFor();
  assert.deepEqual(await listed(alice), [...NAMES.slice(4, -1), "zoe"]);
  const first = await alice.page.evaluate("document.querySelector('.presence-list > li').mark");
  assert.equal(first, true, "who stays has the same element");

  // Whoever has a dot leaves: the first of the list takes the place.
  await peers[0]?.close(1001);
  await alice.page.getByRole("button", { name: "+6 more" }).waitFor();
  assert.deepEqual(await listed(alice), [...NAMES.slice(5, -1), "zoe"]);
  await alice.dot("frank").waitFor();
});

test("who wants less motion gets none, and nothing flickers with high contrast", async (t) => {
  const look = /** @type {const} */ ({ reducedMotion: "reduce", forcedColors: "active" });
  const alice = await stage.visit(t, "alice", { look });
  const atFlash = await alice.atNextFlash((it) => ({
    nAnimations: document.getAnimations().length,
    opacity: getComputedStyle(it).opacity,
  }));
  await stage.visit(t, "bob");
  assert.deepEqual(await atFlash(), { nAnimations: 0, opacity: "1" });
  const border = await alice.dot("bob").evaluate((it) => getComputedStyle(it).borderTopWidth);
  assert.notEqual(border, "0px", "a dot has an outline, since its color may be taken away");
});

/**
 * Fills the test's document with eleven others.
 *
 * @param {import("node:test").TestContext} t
 */
async function fill(t) {
  /** @type {Peer[]} */
  const peers = [];
  for (const name of NAMES) peers.push(await Peer.join(stage.relay, name, stage.key(t)));
  t.after(() => Promise.all(peers.map((peer) => peer.isOpen && peer.close(1001))));
  return peers;
}

/** @param {import("../support/browser.mjs").Viewer} viewer */
function listed(viewer) {
  return viewer.page.locator(".presence-list .presence-name").allTextContents();
}

/**
 * What axe has to say about a page, one line for each.
 *
 * @param {import("../support/browser.mjs").Viewer} viewer
 * @returns {Promise<string[]>}
 */
async function violations({ page }) {
  // What is on its way in or out is paler than it is for those who read it.
  await page.evaluate(() => {
    for (const animation of document.getAnimations()) {
      animation.pause();
      animation.currentTime = 1000;
    }
  });
  // Through the debugger, for the page's policy lets no script in from elsewhere.
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { violations, passes } = await /** @type {any} */ (window).axe.run();
    if (passes.length < 10) return ["it hasn't looked at much"];
    return violations.flatMap((/** @type {any} */ { id, help, nodes }) =>
      nodes.map((/** @type {any} */ { html }) => `${id}: ${help}: ${html}`),
    );
  });
  await page.evaluate(() => {
    for (const animation of document.getAnimations()) animation.play();
  });
  return found;
}
