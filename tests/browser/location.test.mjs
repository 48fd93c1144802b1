// @ts-check
//
// Where in the page people say they are.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { mintToken } from "../support/relay.mjs";

const stage = new Stage();

test("where somebody is in the page reaches the others as a location, and those who come later as meta", async (t) => {
  const alice = await enter(t, "alice");
  const bob = await enter(t, "bob");
  await alice.sees(["alice", "bob"]);
  await bob.page.evaluate("here.at('cell:B7')");
  await hears(alice, ["bob: null > cell:B7"]);
  await bob.page.evaluate("window.stop = here.at('cell:C1')");
  await hears(alice, ["bob: null > cell:B7", "bob: cell:B7 > cell:C1"]);
  await alice.hasFlashed(["bob joined"]);

  const carol = await enter(t, "carol");
  await carol.sees(["alice", "bob", "carol"]);
  assert.deepEqual(
    await carol.page.evaluate("here.members.map((it) => it.meta.at ?? null).sort()"),
    ["cell:C1", null, null],
  );

  await bob.page.close();
  const all = ["bob: null > cell:B7", "bob: cell:B7 > cell:C1", "bob: cell:C1 > null"];
  await hears(alice, all);
});

test("what ends a location ends that one only", async (t) => {
  const alice = await enter(t, "alice");
  const bob = await enter(t, "bob");
  await alice.sees(["alice", "bob"]);
  await bob.page.evaluate("window.stop = here.at('a')");
  await hears(alice, ["bob: null > a"]);
  await bob.page.evaluate("window.stopNext = here.at('b'), stop()");
  await hears(alice, ["bob: null > a", "bob: a > b"]);
  await bob.page.evaluate("stopNext()");
  await hears(alice, ["bob: null > a", "bob: a > b", "bob: b > null"]);
  assert.deepEqual(await bob.page.evaluate("here.self.meta"), {});
});

test("a location that makes no sense is an error with a code", async (t) => {
  const alice = await enter(t, "alice");
  const code = (/** @type {string} */ place) =>
    alice.page.evaluate(
      `(() => { try { here.at(${place}) } catch (error) { return error.code } })()`,
    );
  assert.equal(await code("7"), "bad_options");
  assert.equal(await code("undefined"), "bad_options");
  assert.equal(await code("'x'.repeat(5000)"), "bad_meta");
});

test("what is loaded on demand is not loaded before it is asked for, and that it can't be is an error", async (t) => {
  const alice = await stage.blank(t, "alice");
  alice.mayLoseNetwork = true;
  await alice.enter({ key: stage.key(t), token: mintToken("alice") });
  const loaded = () =>
    alice.page.evaluate(() =>
      performance.getEntriesByType("resource").some((it) => it.name.endsWith("/location.js")),
    );
  assert.equal(await loaded(), false);
  await alice.page.route("**/location.js", (route) => route.abort());
  // Where nobody says where they are there is nothing to tell.
  await alice.page.evaluate("void here.on('location', () => {})");
  assert.deepEqual(await alice.events(), ["state live"]);
  await alice.page.evaluate("void here.at('cell:B7')");
  await until("the error is told", async () =>
    (await alice.events()).includes("error load_failed"),
  );
});

/**
 * @param {import("node:test").TestContext} t
 * @param {string} name
 */
async function enter(t, name) {
  const viewer = await stage.blank(t, name);
  await viewer.enter({ key: stage.key(t), token: mintToken(name) });
  await viewer.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    /** @type {string[]} */
    const places = [];
    here.on("location", (/** @type {any} */ { member, location, before }) => {
      places.push(`${member.name}: ${before} > ${location}`);
    });
    Object.assign(window, { places });
  });
  return viewer;
}

/**
 * @param {import("../support/browser.mjs").Viewer} viewer
 * @param {string[]} places all that it has been told so far
 */
async function hears(viewer, places) {
  const told = async () => /** @type {string[]} */ (await viewer.page.evaluate("window.places"));
  await until(`${viewer.name} has heard ${places}`, async () => `${await told()}` === `${places}`);
}
