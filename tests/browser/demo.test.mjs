// @ts-check
//
// The demo: all of it on one page, for two windows side by side.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";

const stage = new Stage({ args: ["--last-seen", "document:*"] });

test("two windows show each other where they are, point, select and type", async (t) => {
  const alice = await stage.visit(t, "alice", { look: { viewport: { width: 1200, height: 800 } } });
  const ada = await stage.visit(t, "ada", { look: { viewport: { width: 800, height: 600 } } });
  await alice.sees(["ada", "alice"]);
  const adas = alice.page.locator(".person", { hasText: "ada" });
  await adas.locator("img[src='/faces/ada.svg']").waitFor();
  await ada.page.locator("#note").press("x");
  await alice.readsTyping("ada is typing…");
  await adas.locator(".note", { hasText: "Notes" }).waitFor();

  const label = alice.page.locator(".presence-cursor-label");
  await until("alice sees where ada points", async () => {
    const position = { x: 20 + Math.random() * 20, y: 8 };
    await ada.page.locator("#goals-text").hover({ position });
    return (await label.count()) === 1;
  });
  await ada.page.locator("#goals-text").selectText();
  await until("alice sees what ada selects", () =>
    alice.page.evaluate("[...CSS.highlights.keys()].length === 1"),
  );
});

test("a press on a name follows its owner, and a turn of the wheel or another press ends it", async (t) => {
  const alice = await stage.visit(t, "alice", { look: { viewport: { width: 320, height: 568 } } });
  const bob = await stage.visit(t, "bob");
  await alice.sees(["alice", "bob"]);
  const button = alice.page.getByRole("button", { name: /^bob/ });
  const following = alice.page.locator("#following");
  const followsTo = async (/** @type {string} */ id) => {
    await button.click();
    await following.getByText("You follow bob").waitFor();
    await bob.page.locator(".note", { hasText: "follows you" }).waitFor();
    await bob.page.locator(id).evaluate((it) => it.scrollIntoView({ block: "center" }));
    await until("alice reads it, too", async () => {
      const box = await alice.page.locator(id).boundingBox();
      return box !== null && box.y > 0 && box.y < 568;
    });
  };
  await followsTo("#note");
  await alice.page.mouse.move(160, 400);
  await alice.page.mouse.wheel(0, -40);
  await following.waitFor({ state: "hidden" });
  await followsTo("#step-1");
  await following.getByRole("button", { name: "Stop" }).click();
  await following.waitFor({ state: "hidden" });

  await button.click();
  await following.waitFor();
  await bob.page.close();
  await following.waitFor({ state: "hidden" });
  assert.equal(await button.count(), 0, "who has left can't be followed");
});

test("who is alone reads who was here last", async (t) => {
  const bob = await stage.visit(t, "bob");
  await bob.sees(["bob"]);
  const alice = await stage.visit(t, "alice", { look: { viewport: { width: 320, height: 568 } } });
  const line = alice.page.locator("#presence .presence-last-seen");
  await alice.sees(["alice", "bob"]);
  assert.equal(await line.count(), 0);
  await bob.page.close();
  await line.getByText("Last viewed by bob this minute").waitFor();
  const scrollWidth = await alice.page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(scrollWidth <= 320, `the page is ${scrollWidth} px wide`);
});

test("who looks on is seen by nobody, and sees everybody, until it is seen again", async (t) => {
  const bob = await stage.visit(t, "bob");
  const alice = await stage.visit(t, "alice");
  await bob.sees(["alice", "bob"]);
  await alice.page.getByLabel("The others").selectOption("don't see you");
  await bob.sees(["bob"]);
  await alice.sees(["bob"]);
  const carol = await stage.visit(t, "carol");
  await alice.sees(["bob", "carol"]);
  await carol.sees(["bob", "carol"]);
  await alice.page.getByLabel("The others").selectOption("see you");
  await carol.sees(["alice", "bob", "carol"]);
});

test("theme, dots and words are a choice, and the inspector is a press away", async (t) => {
  const alice = await stage.visit(t, "alice");
  await alice.sees(["alice"]);
  const { page } = alice;
  const ground = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
  const light = await ground();
  await page.getByLabel("Theme").selectOption("dark");
  assert.notEqual(await ground(), light);
  await page.getByLabel("Dots").selectOption("plain");
  await page.locator("#presence > .presence[data-look=dots]").waitFor();
  await page.getByLabel("Words").selectOption("العربية");
  const count = page.locator("#presence .presence-count");
  await until("it is Arabic", async () => (await count.textContent()) !== "1 here");
  assert.equal(await page.locator("#presence").getAttribute("dir"), "rtl");
  await page.getByLabel("Words").selectOption("English");
  await until("it is English", async () => (await count.textContent()) === "1 here");
  await page.getByText("What the connection does").click();
  await page.getByRole("region", { name: "whoshere inspector" }).waitFor();
  await page.getByText("What the connection does").click();
  await page.locator("#inspector > *").waitFor({ state: "detached" });
});
