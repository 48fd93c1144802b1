// @ts-check
//
// What people see of each other on the document's page.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { mintToken } from "../support/relay.mjs";

const stage = new Stage();

test("P1: a bar has a dot for each person, with the name for all senses, and says how many are here", async (t) => {
  const alice = await stage.visit(t, "alice");
  await alice.sees(["alice"]);
  const bob = await stage.visit(t, "bob");
  for (const viewer of [alice, bob]) await viewer.sees(["alice", "bob"]);

  assert.equal(
    await alice.page.locator(".presence").ariaSnapshot(),
    `- group "Who is here":
  - list:
    - listitem: alice (you)
    - listitem: bob
  - text: 2 here`,
  );

  const label = alice.dot("bob").locator(".presence-label");
  const width = async () => (await label.boundingBox())?.width ?? 0;
  assert.ok((await width()) <= 1, "a name is shown although nobody has asked for it");
  await alice.dot("bob").hover();
  // What shows it is loaded with the first touch.
  await until("the pointer brings the name up", async () => (await width()) > 10);
  await alice.page.mouse.move(0, 300);
  assert.ok((await width()) <= 1, "the name goes with the pointer");
  await alice.dot("bob").focus();
  await alice.page.keyboard.press("Shift+Tab");
  await alice.page.keyboard.press("Tab");
  assert.ok((await width()) > 10, "the keyboard brings the name up");
});

test("P2, P3: a second browser grows the first one's bar, and shrinks it when it is closed", async (t) => {
  const alice = await stage.visit(t, "alice");
  await alice.sees(["alice"]);
  const bob = await stage.visit(t, "bob");
  await alice.sees(["alice", "bob"]);
  const carol = await stage.visit(t, "carol");
  await alice.sees(["alice", "bob", "carol"]);
  await bob.page.close();
  await alice.sees(["alice", "carol"]);
  await carol.page.goto("about:blank");
  await alice.sees(["alice"]);
  const changes = (await alice.seen()).dots.map(({ what, name }) => `${what} ${name}`);
  assert.deepEqual(changes, [
    "added alice",
    "added bob",
    "added carol",
    "removed bob",
    "removed carol",
  ]);
});

test("P4: who joins and who leaves flashes for four seconds on the others' pages only", async (t) => {
  const alice = await stage.visit(t, "alice");
  const carol = await stage.visit(t, "carol");
  await alice.hasFlashed(["carol joined"]);
  await alice.hasSaid("carol joined");
  const bob = await stage.visit(t, "bob");
  await bob.sees(["alice", "bob", "carol"]);
  await alice.hasFlashed(["carol joined", "bob joined"]);
  await carol.page.close();
  await alice.hasFlashed(["carol joined", "bob joined", "carol left"]);
  await bob.hasFlashed(["carol left"]);

  for (const viewer of [alice, bob]) {
    const flash = viewer.page.locator(".presence-flash");
    await flash.last().waitFor({ state: "detached" });
    assert.equal(await flash.count(), 0);
  }
  const shown = [...(await alice.seen()).flashes, ...(await bob.seen()).flashes];
  const [withdrawn, ...faded] = shown.map((it) => (it.goneAt ?? Number.NaN) - it.shownAt);
  assert.ok(Number(withdrawn) < 8000, "carol's joining is no news any more when she has left");
  for (const ms of faded) assert.ok(ms >= 3000 && ms <= 8000, `a flash was gone after ${ms} ms`);
  await alice.hasFlashed(["carol joined", "bob joined", "carol left"]);
  await bob.hasFlashed(["carol left"]);
});

test("P4: a flash is read out politely, and fades at its end", async (t) => {
  const alice = await stage.visit(t, "alice");
  const area = alice.page.locator("[data-presence-flash]");
  assert.equal(await area.getAttribute("role"), "status");
  assert.equal(await area.getAttribute("aria-live"), "polite");
  const atFlash = await alice.atNextFlash((it) => {
    const opacityAt = (/** @type {number} */ ms) => {
      for (const animation of it.getAnimations()) animation.currentTime = ms;
      return Number(getComputedStyle(it).opacity);
    };
    return { opaque: opacityAt(2000), faded: opacityAt(3990) };
  });
  await stage.visit(t, "bob");
  const { opaque, faded } = await atFlash();
  assert.equal(opaque, 1);
  assert.ok(faded < 0.2, `its opacity is ${faded} just before it goes`);
});

test("P9: what a page puts into its meta reaches the others as an update, never as leave and join", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key: stage.key(t), token: mintToken("alice") });
  const bob = await stage.visit(t, "bob");
  await alice.sees(["alice", "bob"]);
  await bob.becomes("live");
  const before = await alice.seen();
  const carol = await stage.visit(t, "carol");
  await carol.sees(["alice", "bob", "carol"]);

  const person = carol.page.locator(".person", { hasText: "bob" });
  await bob.page.locator("#hand").click();
  await person.locator(".note", { hasText: "hand up" }).waitFor();
  await bob.page.locator("#hand").click();
  await person.locator(".note", { hasText: /^Goals$/ }).waitFor();
  await carol.page.locator(".lookers", { hasText: /^bob is here$/ }).waitFor();

  const events = await alice.events();
  const ofBob = events.filter((it) => it.includes("bob"));
  assert.equal(ofBob.shift(), "join bob");
  assert.ok(ofBob.length >= 2 && ofBob.every((it) => it === "update bob"), String(ofBob));
  const { dots } = await alice.seen();
  assert.deepEqual(
    dots.slice(before.dots.length).map((it) => it.name),
    ["carol"],
  );
  assert.deepEqual(await carol.flashes(), []);
  const meta = await alice.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    return here.members.find((/** @type {any} */ it) => it.name === "bob").meta;
  });
  assert.deepEqual(meta, { at: "goals", hand: false });
});

test("P10: a user has the same color on every page, the first six digits of the name's SHA-1", async (t) => {
  const alice = await stage.visit(t, "alice");
  const bob = await stage.visit(t, "bob");
  const elsewhere = await stage.visit(t, "bob", { doc: `${stage.doc(t)}-too` });
  await bob.sees(["alice", "bob"]);
  await elsewhere.sees(["bob"]);
  for (const viewer of [alice, bob]) {
    for (const name of ["alice", "bob"]) assert.equal(await colorOf(viewer, name), sha1Color(name));
  }
  assert.equal(await colorOf(elsewhere, "bob"), sha1Color("bob"));
});

test("P10: a token may say another color", async (t) => {
  const alice = await stage.visit(t, "alice");
  const bob = await stage.blank(t, "bob");
  await bob.enter({ key: stage.key(t), token: mintToken({ sub: "bob", color: "#c0ffee" }) });
  await alice.sees(["alice", "bob"]);
  for (const viewer of [alice, bob]) assert.equal(await colorOf(viewer, "bob"), "#c0ffee");
});

test("a name comes from the token, and may be any text", async (t) => {
  const alice = await stage.visit(t, "alice");
  const names = ["Zoë Ångström", "李小龍", "علي", "👩‍👩‍👧 family", "n".repeat(250)];
  for (const [i, name] of names.entries()) {
    const viewer = await stage.blank(t, name);
    await viewer.enter({ key: stage.key(t), token: mintToken({ sub: `u-${i}`, name }) });
    await alice.sees(["alice", name]);
    await alice.hasSaid(`${name} joined`);
    await viewer.page.close();
    await alice.sees(["alice"]);
  }
  await alice.hasFlashed(names.flatMap((name) => [`${name} joined`, `${name} left`]));
});

/**
 * @param {import("../support/browser.mjs").Viewer} viewer
 * @param {string} name
 * @returns {Promise<string>} what the eye sees, as `#rrggbb`
 */
async function colorOf(viewer, name) {
  const color = await viewer
    .dot(name)
    .evaluate((dot) => getComputedStyle(dot).backgroundColor.match(/\d+/g)?.map(Number));
  return `#${(color ?? []).map((it) => it.toString(16).padStart(2, "0")).join("")}`;
}

/** @param {string} name */
function sha1Color(name) {
  return `#${createHash("sha1").update(name).digest("hex").slice(0, 6)}`;
}
