// @ts-check
//
// A tab behind others, whose timers Chromium lets fire once a minute.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { sleep } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";
import { startTabbedBrowser } from "../support/tabs.mjs";

/** @typedef {import("../support/tabs.mjs").Tab} Tab */
/** @typedef {import("../support/tabs.mjs").TabbedBrowser} TabbedBrowser */

/** Timers of hidden tabs are throttled to one a second at first. A pause like this is the real thing. */
const THROTTLED_MS = 10_000;

const STATE = "document.getElementById('status').dataset.state";
const COUNT = "document.querySelector('.presence-count').textContent";

const stage = new Stage();
/** @type {TabbedBrowser} */
let tabs;

before(async () => {
  tabs = await startTabbedBrowser([
    // Without this a tab would have to be hidden for 5 minutes.
    "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1",
  ]);
});
after(() => tabs?.stop());

describe("hidden tabs", { concurrency: true }, () => {
  test("a hidden tab with throttled timers stays present", async (t) => {
    const alice = await stage.visit(t, "alice");
    const bob = await tabs.open(`${stage.relay.http}/docs/${stage.doc(t)}?user=bob`);
    await alice.sees(["alice", "bob"]);
    const longestPause = await hideUntilThrottled(bob, stage.relay.http);
    await alice.seesAs("bob", "away");
    const assertHeld = await alice.hold();
    const states = await statesOf(alice, "bob");

    await sleep(75_000);
    assert.ok((await longestPause()) > 2 * THROTTLED_MS, "the timers aren't throttled");
    // P15: away, and nothing else; for an hour it is the same as for this minute.
    assert.deepEqual(await states(), ["away"]);
    await assertHeld();
    // He is told what happens, too.
    assert.equal(await bob.evaluate(STATE), "live");
    const carol = await stage.visit(t, "carol");
    await carol.sees(["alice", "bob", "carol"]);
    await until("bob sees carol", async () => (await bob.evaluate(COUNT)) === "3 here");
    await bob.show();
    for (const viewer of [alice, carol]) await viewer.seesAs("bob", "active");
  });

  test("a hidden tab with throttled timers is back within the grace after a drop", async (t) => {
    const proxy = await stage.proxy(t);
    const alice = await stage.visit(t, "alice");
    const bob = await tabs.open(`${proxy.http}/docs/${stage.doc(t)}?user=bob`);
    await alice.sees(["alice", "bob"]);
    await hideUntilThrottled(bob, proxy.http);

    proxy.drop();
    await sleep(5000);
    await proxy.goOn();
    // Were he not back by the end of this, he would be gone. Nobody looks into his tab meanwhile, because
    // that might wake it up.
    await sleep(35_000);
    assert.deepEqual(
      (await alice.seen()).dots.map(({ what, name }) => `${what} ${name}`),
      ["added alice", "added bob"],
    );
    await alice.seesAs("bob", "away");
    assert.equal(await bob.evaluate(STATE), "live");
  });

  test("who touches nothing for long is away until the next touch", async (t) => {
    const alice = await stage.visit(t, "alice");
    const bob = await stage.blank(t, "bob");
    await bob.enter({ key: stage.key(t), token: mintToken("bob"), away: { idle: 1500 } });
    // A page that scrolls by itself is nobody's input.
    await bob.page.evaluate(() => {
      document.body.style.height = "10000px";
      setInterval(() => window.scrollBy(0, 1), 200);
    });
    await alice.seesAs("bob", "active");
    await alice.seesAs("bob", "away");
    await bob.page.mouse.move(50, 60);
    await alice.seesAs("bob", "active");
  });
});

/**
 * Puts another tab in front, and waits until the browser has lost its patience with the hidden one.
 *
 * @param {Tab} tab
 * @param {string} origin of its page
 * @returns {Promise<() => Promise<number>>} the longest time so far between two timers of the hidden tab,
 *   as a page of the same origin has seen it
 */
async function hideUntilThrottled(tab, origin) {
  await tab.evaluate(`void (function tick() {
    localStorage.setItem("ticks", (localStorage.getItem("ticks") ?? "") + " " + Date.now());
    setTimeout(tick, 1000);
  })()`);
  const front = await tabs.open(`${origin}/`);
  await until("it is hidden", () => tab.evaluate("document.hidden"));
  const pauses = async () => {
    const ticks = (await front.evaluate("localStorage.getItem('ticks')")).trim().split(" ");
    return [...ticks, Date.now()].slice(1).map((at, i) => at - ticks[i]);
  };
  const isThrottled = async () => {
    await sleep(1000);
    return Number((await pauses()).at(-1)) > THROTTLED_MS;
  };
  await until("it is throttled", isThrottled, 120_000);
  return async () => Math.max(...(await pauses()));
}

/**
 * Watches a dot from now on.
 *
 * @param {import("../support/browser.mjs").Viewer} viewer
 * @param {string} name
 * @returns {Promise<() => Promise<string[]>>} the states it was shown in, one after the other
 */
async function statesOf(viewer, name) {
  await viewer.dot(name).evaluate((dot) => {
    const states = [dot.getAttribute("data-state")];
    new MutationObserver(() => states.push(dot.getAttribute("data-state"))).observe(dot, {
      attributeFilter: ["data-state"],
    });
    Object.assign(window, { states });
  });
  return () => viewer.page.evaluate("window.states");
}
