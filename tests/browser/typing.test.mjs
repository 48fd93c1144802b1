// @ts-check
//
// P11: who is typing in a field.
import assert from "node:assert/strict";
import { test } from "node:test";
import { enterBound } from "../support/bound.mjs";
import { Stage, until } from "../support/browser.mjs";
import { sleep } from "../support/peer.mjs";

const stage = new Stage();

test("P11: focus alone is not typing; the first key is, until the field loses the focus", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  await bob.page.locator("#note").focus();
  await sleep(300);
  assert.equal(await shown(alice), "");
  await bob.page.keyboard.press("a");
  await shows(alice, "bob is typing…");
  assert.equal(await shown(bob), "", "nobody is told of themselves");
  assert.equal(await shown(alice, "#title"), "", "it is another field");
  await bob.page.locator("#note").blur();
  await shows(alice, "");
  await bob.page.locator("#title").press("b");
  await shows(alice, "bob is typing…", "#title");
  assert.equal(await shown(alice), "");
});

test("P11: two are named, more are several", async (t) => {
  const alice = await enter(t, "alice");
  const others = [];
  for (const name of ["bob", "carol", "dave"]) others.push(await enter(t, name));
  await alice.sees(["alice", "bob", "carol", "dave"]);
  const wanted = ["bob is typing…", "bob and carol are typing…", "Several people are typing…"];
  const notes = others.map(({ page }) => page.locator("#note"));
  // All go on, so that nobody's pause comes first.
  for (const [i, sentence] of wanted.entries()) {
    for (const note of notes.slice(0, i + 1)) await note.press("x");
    await shows(alice, sentence);
  }
});

test("P11: a pause ends it, and typing goes on as long as keys come", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  const startedAt = Date.now();
  while (Date.now() - startedAt < 7000) {
    await bob.page.locator("#note").press("x");
    await shows(alice, "bob is typing…");
    await sleep(500);
  }
  const stoppedAt = Date.now();
  await shows(alice, "");
  const ms = Date.now() - stoppedAt;
  assert.ok(ms > 2500 && ms < 6000, `it ended ${ms} ms after the last key`);
});

test("P11: a tab that dies while its owner is typing is silent, and cleared within 5 seconds", async (t) => {
  const proxy = await stage.proxy(t);
  const alice = await enter(t, "alice");
  const bob = await enter(t, "bob", { at: proxy.http });
  bob.mayLoseNetwork = true;
  await alice.sees(["alice", "bob"]);
  await bob.page.locator("#note").press("x");
  await shows(alice, "bob is typing…");
  proxy.stall();
  const diedAt = Date.now();
  await shows(alice, "");
  const ms = Date.now() - diedAt;
  assert.ok(ms < 6000, `it was cleared after ${ms} ms`);
  await alice.sees(["alice", "bob"]);
});

test("P11: composing a word is typing from its first stroke on", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  await bob.page.locator("#note").focus();
  const devtools = await bob.page.context().newCDPSession(bob.page);
  await devtools.send("Input.imeSetComposition", {
    text: "に",
    selectionStart: 1,
    selectionEnd: 1,
  });
  await shows(alice, "bob is typing…");
  // Longer than a pause: a word is being chosen from a list.
  await sleep(5500);
  assert.equal(await shown(alice), "bob is typing…");
  await devtools.send("Input.insertText", { text: "日本" });
  await bob.page.locator("#note").blur();
  await shows(alice, "");
});

test("P11: a word that is given up before it is composed is not typed, in fields and in what is edited", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  for (const { page } of [alice, bob]) {
    await page.evaluate(() => {
      const editor = Object.assign(document.createElement("div"), { id: "editor" });
      editor.contentEditable = "true";
      document.querySelector("main")?.append(editor);
      /** @type {any} */ (window).here.typing(editor);
    });
    await page.locator("#editor + .presence-typing").waitFor({ state: "attached" });
  }
  const devtools = await bob.page.context().newCDPSession(bob.page);
  const compose = (/** @type {string} */ text) =>
    devtools.send("Input.imeSetComposition", {
      text,
      selectionStart: text.length,
      selectionEnd: text.length,
    });
  for (const field of ["#note", "#editor"]) {
    await bob.page.locator(field).focus();
    await compose("に");
    await shows(alice, "bob is typing…", field);
    await compose("");
    // Sooner than a pause would end it.
    const givenUpAt = Date.now();
    await shows(alice, "", field);
    assert.ok(Date.now() - givenUpAt < 3000, field);
    await compose("に");
    await shows(alice, "bob is typing…", field);
    await devtools.send("Input.insertText", { text: "日" });
    await sleep(300);
    assert.equal(await shown(alice, field), "bob is typing…", "it is typed now");
    await bob.page.locator(field).blur();
    await shows(alice, "", field);
  }
});

test("P11: who looks elsewhere, leaves or closes the page is typing no more", async (t) => {
  const alice = await enter(t, "alice");
  for (const name of ["hides", "leaves", "closes"]) {
    const bob = await enter(t, "bob");
    await alice.sees(["alice", "bob"]);
    await bob.page.evaluate(() => {
      const { setTimeout: later } = window;
      // No pause ends anything here.
      const without = (/** @type {any} */ act, /** @type {number} */ ms) =>
        ms === 4000 ? 0 : later(act, ms);
      Object.assign(window, { setTimeout: without });
    });
    await bob.page.locator("#note").press("x");
    await shows(alice, "bob is typing…");
    if (name === "hides") {
      const look = (/** @type {boolean} */ isHidden) =>
        bob.page.evaluate((isHidden) => {
          const state = isHidden ? "hidden" : "visible";
          Object.defineProperty(document, "visibilityState", {
            get: () => state,
            configurable: true,
          });
          Object.defineProperty(document, "hidden", { get: () => isHidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }, isHidden);
      await look(true);
      await shows(alice, "");
      await look(false);
      await bob.page.locator("#note").press("y");
      await shows(alice, "bob is typing…");
      await bob.page.locator("#note").blur();
    } else if (name === "leaves") {
      await bob.page.evaluate("here.leave()");
    } else {
      await bob.page.close();
    }
    await shows(alice, "");
    if (name !== "closes") await bob.page.close();
    await alice.sees(["alice"]);
  }
});

test("P11: a message that was sent, or deleted, is not being typed any more", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  await bob.page.evaluate(() => {
    const later = window.setTimeout;
    // No pause ends anything here.
    const without = (/** @type {any} */ act, /** @type {number} */ ms) =>
      ms === 4000 ? 0 : later(act, ms);
    Object.assign(window, { setTimeout: without });
    const form = Object.assign(document.createElement("form"), { id: "form" });
    document.querySelector("main")?.prepend(form);
    const [note, title] = ["note", "title"].map((id) => document.getElementById(id));
    title?.setAttribute("form", "form");
    form.addEventListener("submit", (event) => event.preventDefault());
    note?.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.target instanceof HTMLTextAreaElement)) return;
      event.preventDefault();
      event.stopPropagation();
      event.target.value = "";
    });
  });
  for (const [field, keys] of /** @type {const} */ ([
    ["#title", ["Enter"]],
    ["#note", ["Enter"]],
    ["#note", ["y", "Backspace", "Backspace"]],
  ])) {
    await bob.page.locator(field).press("x");
    await shows(alice, "bob is typing…", field);
    for (const key of keys) await bob.page.keyboard.press(key);
    await shows(alice, "", field);
    await bob.page.locator(field).press("x");
    await shows(alice, "bob is typing…", field);
    await bob.page.keyboard.press("Backspace");
  }
});

test("P11: an element that is edited is a field like any other", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  for (const { page } of [alice, bob]) {
    await page.evaluate(() => {
      const editor = Object.assign(document.createElement("div"), { id: "editor" });
      editor.contentEditable = "true";
      document.querySelector("main")?.append(editor);
      /** @type {any} */ (window).here.typing(editor);
    });
    await page.locator("#editor + .presence-typing").waitFor({ state: "attached" });
  }
  await bob.page.locator("#editor").press("x");
  await shows(alice, "bob is typing…", "#editor");
  assert.equal(await shown(alice), "", "it is another field");
  await bob.page.keyboard.press("Backspace");
  await shows(alice, "", "#editor");
});

test("what is filled in by a script is not typed, and boxes are not typed in", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  await bob.page.evaluate(() => {
    const note = /** @type {HTMLTextAreaElement} */ (document.getElementById("note"));
    note.value = "filled";
    note.dispatchEvent(new InputEvent("input", { bubbles: true }));
  });
  await bob.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    const form = Object.assign(document.createElement("form"), { id: "form" });
    const box = Object.assign(document.createElement("input"), { type: "checkbox", id: "box" });
    form.append(box);
    document.querySelector("main")?.append(form);
    here.typing(form, { name: "note" });
  });
  await bob.page.locator("#box").click();
  await sleep(400);
  assert.equal(await shown(alice), "");
});

test("the line is there before anybody types, and is read out calmly", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  const height = () => alice.page.evaluate("document.body.scrollHeight");
  const before = await height();
  await bob.page.locator("#note").press("x");
  await shows(alice, "bob is typing…");
  assert.equal(await height(), before, "nothing jumps");
  const line = alice.page.locator("#note + .presence-typing");
  const status = line.getByRole("status");
  assert.equal(await status.textContent(), "", "a moment isn't worth being read out");
  for (let i = 0; i < 5; i += 1) {
    await bob.page.locator("#note").press("x");
    await sleep(500);
  }
  assert.equal(await status.textContent(), "bob is typing…");
  assert.equal(
    await line.locator(".presence-typing-text").getAttribute("aria-hidden"),
    "true",
    "it is read once",
  );
  await alice.page.evaluate("stopTyping()");
  assert.equal(await line.count(), 0);
});

test("a page whose own pulses leave no room is told so once, and none of its listeners throws", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  await bob.page.evaluate("for (const name of 'abcdefgh') here.pulse(name, 1)");
  const errors = async () => (await bob.events()).filter((it) => it.startsWith("error"));
  await bob.page.locator("#note").press("x");
  await until("bob is told", async () => (await errors()).join() === "error bad_pulse");
  await bob.page.locator("#note").blur();
  await bob.page.locator("#note").press("x");
  await bob.page.locator("#note").blur();
  await bob.page.evaluate("here.pulse('a', null)");
  await bob.page.locator("#note").press("x");
  await shows(alice, "bob is typing…");
  assert.deepEqual(await errors(), ["error bad_pulse"]);
});

test("options of typing that make no sense are errors with codes", async (t) => {
  const alice = await enter(t, "alice");
  const code = (/** @type {string} */ call) =>
    alice.page.evaluate(`(() => { try { ${call} } catch (error) { return error.code } })()`);
  assert.equal(await code("here.typing('#nothing')"), "bad_target");
  assert.equal(await code("here.typing('#note', { show: '#nothing' })"), "bad_target");
  assert.equal(await code("here.typing('#note', { name: 7 })"), "bad_options");
  assert.equal(await code("here.typing('#note', { pause: 7 })"), "bad_options");
});

/**
 * @param {import("node:test").TestContext} t
 * @param {string} name
 * @param {import("../support/browser.mjs").VisitOptions} [options]
 */
async function enter(t, name, options) {
  const viewer = await enterBound(stage, t, name, options);
  await viewer.page.evaluate("window.stopTyping = here.typing('#note'), here.typing('#title'), 0");
  await viewer.page.locator(".presence-typing").nth(1).waitFor({ state: "attached" });
  return viewer;
}

/**
 * @param {import("../support/browser.mjs").Viewer} viewer
 * @param {string} [field]
 */
function shown(viewer, field = "#note") {
  return viewer.page.locator(`${field} + .presence-typing > .presence-typing-text`).textContent();
}

/**
 * @param {import("../support/browser.mjs").Viewer} viewer
 * @param {string} sentence
 * @param {string} [field]
 */
async function shows(viewer, sentence, field) {
  const isShown = async () => (await shown(viewer, field)) === sentence;
  await until(`${viewer.name} is shown "${sentence}"`, isShown);
}
