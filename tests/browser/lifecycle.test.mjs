// @ts-check
//
// What becomes of a page: it is reloaded, put away and restored, duplicated, left.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { record } from "../support/recorder.mjs";
import { mintToken } from "../support/relay.mjs";
import { startTabbedBrowser } from "../support/tabs.mjs";

const STATE = "document.getElementById('status').dataset.state";
const COUNT = "document.querySelector('.presence-count').textContent";

const stage = new Stage();
/**
 * Playwright switches the back-forward cache off, and where it may not, its looking into pages throws one
 * of ten out of it.
 *
 * @type {import("../support/tabs.mjs").TabbedBrowser}
 */
let tabs;

before(async () => {
  tabs = await startTabbedBrowser();
});
after(() => tabs?.stop());

test("a reload of the only tab takes the dot away and brings it back, and is no news", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key: stage.key(t), token: mintToken("alice") });
  const bob = await stage.visit(t, "bob");
  await alice.sees(["alice", "bob"]);
  await alice.hasSaid("bob joined");
  await bob.page.reload();
  await bob.sees(["alice", "bob"]);
  await alice.hasHeard(["state live", "join bob", "leave bob left", "join bob"], 10_000, /update/);
  const { flashes, dots } = await alice.seen();
  assert.deepEqual(
    dots.map(({ what, name }) => `${what} ${name}`),
    ["added alice", "added bob", "removed bob", "added bob"],
  );
  await alice.hasFlashed(["bob joined", "bob left"]);
  const [, left] = flashes;
  assert.equal(left?.goneAt, dots.at(-1)?.at, "that bob left is withdrawn when he is back");
  assert.deepEqual(await bob.flashes(), [], "nobody flashes for who comes to a page");
});

test("ten reloads in a row leave one dot", async (t) => {
  const alice = await stage.visit(t, "alice");
  const bob = await stage.visit(t, "bob");
  for (let i = 0; i < 10; i += 1) await bob.page.reload({ waitUntil: "domcontentloaded" });
  for (const viewer of [alice, bob]) await viewer.sees(["alice", "bob"]);
  await bob.page.close();
  await alice.sees(["alice"]);
});

test("a page in the back-forward cache has left; restored, it has joined and is live again", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key: stage.key(t), token: mintToken("alice") });
  const bob = await openWatched(t, "bob");
  await alice.sees(["alice", "bob"]);
  await bob.go("location.assign('/')");
  await alice.sees(["alice"]);
  const carol = await stage.visit(t, "carol");
  await alice.sees(["alice", "carol"]);
  await bob.go("history.back()");

  await alice.sees(["alice", "bob", "carol"]);
  await until("bob sees all", async () => (await bob.evaluate(COUNT)) === "3 here");
  assert.equal(await bob.evaluate(STATE), "live");
  assert.deepEqual(await bob.evaluate("seen.shows"), [true], "it wasn't restored but loaded");
  assert.equal(await bob.evaluate("nSockets"), 1, "it has dialed once since");
  assert.deepEqual(await bob.evaluate("seen.flashes"), [], "what happened meanwhile is no news");
  const events = (await alice.events()).filter((it) => it.includes("bob"));
  assert.deepEqual(
    events.filter((it) => !it.startsWith("update")),
    ["join bob", "leave bob left", "join bob"],
  );

  await bob.evaluate("document.getElementById('note').focus()");
  await bob.evaluate("document.getElementById('note').value = 'x'");
  await bob.evaluate("document.getElementById('note').dispatchEvent(new Event('input'))");
  await carol.page.getByText("bob is typing…").waitFor();
  await carol.page.close();
  await until("bob sees carol go", async () => (await bob.evaluate(COUNT)) === "2 here");
});

test("a page that is left and restored five times is one dot with one socket at the end", async (t) => {
  const alice = await stage.visit(t, "alice");
  const bob = await openWatched(t, "bob");
  for (let i = 0; i < 5; i += 1) {
    await alice.sees(["alice", "bob"]);
    await bob.go("location.assign('/')");
    await alice.sees(["alice"]);
    await bob.go("history.back()");
  }
  await alice.sees(["alice", "bob"]);
  await until("bob is live", async () => (await bob.evaluate(STATE)) === "live");
  assert.deepEqual(await bob.evaluate("seen.shows"), Array(5).fill(true));
  assert.equal(await bob.evaluate("nSockets"), 5);
  assert.equal(await bob.evaluate(COUNT), "2 here");
  assert.equal(await bob.evaluate("document.querySelectorAll('.presence-dots > li').length"), 2);
});

test("a duplicated tab is another session of the same person", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key: stage.key(t), token: mintToken("alice") });
  const bob = await stage.visit(t, "bob");
  await alice.sees(["alice", "bob"]);
  const nSessions = () => alice.page.evaluate("here.members[1].sessions");
  const opened = bob.page.context().waitForEvent("page");
  // A page opened by another one gets a copy of its sessionStorage, as a duplicated tab does.
  await bob.page.evaluate("void window.open(location.href)");
  const copy = await opened;
  await until("there are two tabs", async () => (await nSessions()) === 2);
  await bob.page.close();
  await until("there is one", async () => (await nSessions()) === 1);
  await alice.hasSaid("bob joined");
  assert.equal(await copy.locator(".presence-count").textContent(), "2 here");
  await copy.close();
  await alice.sees(["alice"]);
  await alice.hasFlashed(["bob joined", "bob left"]);
});

/**
 * Opens the test's document in a browser that has a back-forward cache, and writes down what happens there
 * from now on.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} user
 */
async function openWatched(t, user) {
  const tab = await tabs.open(`${stage.relay.http}/docs/${stage.doc(t)}?user=${user}`);
  const isLive = async () => (await tab.evaluate(`${STATE} === "live"`)) === true;
  await until(`${user} is live`, () => isLive().catch(() => false));
  await tab.evaluate(`
    (${record})();
    window.nSockets = 0;
    window.WebSocket = class extends WebSocket {
      constructor(...args) {
        super(...args);
        window.nSockets += 1;
      }
    };
    undefined`);
  return tab;
}
