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
