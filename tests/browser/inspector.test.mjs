// @ts-check
//
// `here.inspect()`: what developers see of the connection.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";

const stage = new Stage({ args: ["--heartbeat", "1s"] });
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

test("the inspector shows the state, the round trip, the roster with reasons, and what happens", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key: stage.key(t), tokenPath: "/dev/token?user=alice" });
  const requests = /** @type {string[]} */ ([]);
  alice.page.on("request", (it) => requests.push(new URL(it.url()).pathname));
  await alice.page.evaluate("window.stop = here.inspect()");
  const panel = alice.page.getByRole("region", { name: "whoshere inspector" });
  await panel.waitFor();
  assert.deepEqual(requests, ["/sdk/js/inspect.js"], "it is loaded when it is first asked for");
  const text = async () => (await panel.innerText()).replaceAll(/\s+/g, " ");
  assert.match(await text(), new RegExp(`key ${stage.key(t)} state live .* here 1 `));
  assert.match(await text(), /alice \(you\) active 1 was here first \{\}/);
  await until("a beat was answered", async () => /round trip \d+\.\d ms/.test(await text()));

  const bob = await stage.blank(t, "bob");
  const name = "<img src=x onerror=alert(1)>";
  const tokenPath = `/dev/token?${new URLSearchParams({ user: "bob", name })}`;
  await bob.enter({ key: stage.key(t), tokenPath, meta: { section: "goals" } });
  const shown = `${name} active 1 joined {"section":"goals"}`;
  await until("bob is shown", async () => (await text()).includes(shown));
  assert.match(await text(), /Events .*change: 2 here .*join <img/);
  await bob.page.evaluate("here.leave()");
  await until("bob is gone", async () => (await text()).includes(`${name} gone 1 left`));
  assert.match(await text(), /leave <img src=x onerror=alert\(1\)>: left/);

  await alice.page.evaluate(AXE);
  const violations = await alice.page.evaluate(async () => {
    const { axe } = /** @type {any} */ (window);
    const { violations } = await axe.run("div:last-child", { runOnly: ["wcag2a", "wcag2aa"] });
    return violations.map((/** @type {any} */ it) => `${it.id}: ${it.nodes[0]?.html}`);
  });
  assert.deepEqual(violations, []);

  await panel.getByRole("button", { name: "Close" }).press("Enter");
  assert.equal(await panel.count(), 0);
  await alice.page.evaluate("here.inspect('#bar')");
  await alice.page.locator("#bar section").waitFor();
  await alice.page.evaluate("here.inspect('#flash')()");
  assert.equal(await alice.page.locator("#flash section").count(), 0);
  const error = await alice.page.evaluate("try { here.inspect('#none') } catch (it) { it.code }");
  assert.equal(error, "bad_target");
});

test("the inspector forgets: it keeps the last 100 events and 20 of those who went", async (t) => {
  const viewer = await stage.blank(t, "alice");
  const seen = await viewer.page.evaluate(async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit();
    const here = await kit.connect({ key: "document:42", user: "alice" });
    here.inspect("#bar");
    await import(String("/sdk/js/inspect.js"));
    await kit.tick();
    const root = /** @type {ShadowRoot} */ (document.querySelector("#bar > div")?.shadowRoot);
    for (let i = 1; i <= 60; i += 1) {
      const tab = kit.user(`user-${i}`).opens("document:42");
      await kit.tick();
      tab.closes();
      await kit.tick();
    }
    const texts = (/** @type {string} */ selector) =>
      [...root.querySelectorAll(selector)].map((it) => it.textContent ?? "");
    const result = { events: texts("li"), people: texts("tbody td:first-child") };
    kit.close();
    return result;
  });
  assert.equal(seen.events.length, 100);
  assert.match(seen.events[1] ?? "", /leave user-60: left$/);
  assert.equal(seen.people.length, 21);
  assert.deepEqual(seen.people.slice(0, 2), ["alice (you)", "user-60"]);
});

test("the inspector tells of pulses, locations and flashes, a pulse that goes on in one line", async (t) => {
  const viewer = await stage.blank(t, "alice");
  const events = await viewer.page.evaluate(async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit();
    const here = await kit.connect({ key: "document:42", user: "alice" });
    here.inspect("#bar");
    await kit.tick(0);
    const bob = kit.user("bob").opens("document:42", { meta: { at: "goals" } });
    await kit.tick(2000);
    for (let i = 1; i <= 300; i += 1) {
      bob.pulses("cursor", { at: ["surface", i / 300, 0.5] });
      if (i === 150) bob.pulses("typing", "note");
      await kit.tick();
    }
    bob.pulses("cursor", null);
    await kit.tick();
    bob.pulses("cursor", { at: ["surface", 0, 0] });
    bob.updates({ at: null });
    await kit.tick();
    const root = document.querySelector("#bar > div")?.shadowRoot;
    const lines = [...(root?.querySelectorAll("li") ?? [])];
    kit.close();
    return lines.reverse().map((it) => it.textContent?.replace(/^\S+ /, ""));
  });
  const isMeant = (/** @type {string | undefined} */ it) => !/^(change|join|update)/.test(it ?? "");
  assert.deepEqual(events.filter(isMeant), [
    "location bob: goals",
    "flash bob joined",
    'pulse bob typing: "note"',
    "pulse bob cursor: over, 301 times",
    'pulse bob cursor: {"at":["surface",0,0]}',
    "location bob: nowhere",
  ]);
});

test("an error is in the console while the inspector is open, as it is without it", async (t) => {
  const viewer = await stage.blank(t, "alice");
  const warnings = await viewer.page.evaluate(async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit();
    /** @type {string[]} */
    const warnings = [];
    const { warn } = console;
    console.warn = (error) => warnings.push(error.code);
    for (const isOpen of [false, true]) {
      const here = await kit.connect({ key: "document:42", user: "alice" });
      if (isOpen) here.inspect("#bar");
      await kit.tick();
      kit.relay.kicks("alice", { key: "document:42", seconds: 1 });
      await kit.tick(2000);
    }
    console.warn = warn;
    kit.close();
    return warnings;
  });
  assert.deepEqual(warnings, ["kicked", "kicked"]);
});

test("the inspector has rows for 100 of a thousand, and touches those alone that change", async (t) => {
  const viewer = await stage.blank(t, "alice");
  const seen = await viewer.page.evaluate(async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit();
    const here = await kit.connect({ key: "document:42", user: "alice" });
    here.inspect("#bar");
    const tabs = Array.from({ length: 999 }, (_, i) => kit.user(`user-${i}`).opens("document:42"));
    await kit.tick(2000);
    const body = /** @type {Element} */ (
      document.querySelector("#bar > div")?.shadowRoot?.querySelector("tbody")
    );
    const texts = () => [...body.children].map(({ firstChild }) => firstChild?.textContent);
    const before = [here.count, ...texts().slice(-1), body.children.length];

    // Of those who came in one moment the relay's order is anybody's.
    const nthOf = (/** @type {unknown} */ name) => Number(`${name}`.replace("user-", ""));
    const [first = 0, second = 0] = texts().slice(5, 7).map(nthOf);
    const shown = new Set(texts().map(nthOf));
    const unseen = tabs.findIndex((_, i) => !shown.has(i));

    /** @type {MutationRecord[]} */
    const changes = [];
    const observer = new MutationObserver((records) => changes.push(...records));
    observer.observe(body, { subtree: true, childList: true, characterData: true });
    tabs[first]?.updates({ section: "goals" });
    await kit.tick(1000);
    const written = changes.splice(0).map(({ target }) => target.textContent);
    tabs[unseen]?.updates({ section: "goals" });
    await kit.tick(1000);
    const nUnseen = changes.splice(0).length;
    const ninth = body.children[9];
    tabs[second]?.closes();
    await kit.tick(1000);
    const isKept = body.contains(/** @type {Element} */ (ninth));
    const nMoved = changes.splice(0).flatMap(({ addedNodes }) => [...addedNodes]);
    const rows = nMoved.filter((it) => it instanceof HTMLTableRowElement).length;
    const after = texts();
    kit.close();
    const isLast = after.at(-1) === `user-${second}`;
    return { before, written, nUnseen, isKept, rows, more: after.at(-2), isLast };
  });
  assert.deepEqual(seen.before, [1000, "and 900 more", 101]);
  assert.deepEqual(seen.written, ['{"section":"goals"}']);
  assert.equal(seen.nUnseen, 0);
  assert.ok(seen.isKept);
  assert.equal(seen.rows, 2, "one more of the crowd, and the one who has gone");
  assert.deepEqual([seen.more, seen.isLast], ["and 899 more", true]);
});
