// @ts-check
//
// A day of joins and leaves, in virtual time, leaves nothing behind, nor does all that a page can show of
// somebody, a thousand times.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launchBrowser, startDemo } from "../support/browser.mjs";

/** Somebody comes and goes every 8.64 s, so these are 24 hours. */
const CYCLES = 10_000;
/** Until code is compiled, caches are filled and arrays have grown. */
const WARM_UP = 1000;
/** Of everything at once, and as many to warm up as take no minute. */
const [VISITS, FIRST_VISITS] = [1000, 100];
/** One of each cycle would be ten times as many; what an engine keeps for itself is some dozens. */
const FEW = 100;

test("24 hours of joins and leaves leave no node, listener or closure", async (t) => {
  const page = await opened(t);
  await page.evaluate(async () => {
    // Before the kit's, so that the first memory is the SDK's.
    await (await import("/sdk/index.js")).init();
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit({ seed: 24 });
    const here = await kit.connect({ key: "document:42", user: "alice" });
    for (const id of ["bar", "flash", "other-bar", "other-flash"]) {
      document.body.append(Object.assign(document.createElement("div"), { id }));
    }
    here.bar("#bar");
    here.flash("#flash");
    let nth = 0;
    let joins = 0;
    here.on("join", () => {
      joins += 1;
    });
    const cycles = async (/** @type {number} */ count) => {
      for (let i = 0; i < count; i += 1) {
        nth += 1;
        // Nobody comes twice, so that whatever is kept by person is seen.
        const tab = kit.user(`person ${nth}`).opens("document:42");
        await kit.tick(4320);
        tab.closes();
        // What the page's own code takes and gives back belongs to a day, too.
        const stopBar = here.bar("#other-bar");
        const stopFlash = here.flash("#other-flash");
        const stopHearing = here.on("change", () => {});
        await kit.tick(4320);
        for (const stop of [stopBar, stopFlash, stopHearing]) stop();
      }
      // Until the last flash has gone.
      await kit.tick(60_000);
      const { memory } = /** @type {any} */ (globalThis);
      return { joins, count: here.count, memory: memory.buffer.byteLength };
    };
    Object.assign(globalThis, { cycles });
  });
  const cdp = await page.context().newCDPSession(page);
  const cycles = (/** @type {number} */ count) =>
    page.evaluate((it) => /** @type {any} */ (globalThis).cycles(it), count);

  const { memory } = await cycles(WARM_UP);
  const before = { ...(await held(cdp)), memory };
  const { joins, count, memory: grown } = await cycles(CYCLES);
  const after = { ...(await held(cdp)), memory: grown };

  console.log(`held before: ${JSON.stringify(before)}, after: ${JSON.stringify(after)}`);
  assert.deepEqual({ joins, count }, { joins: WARM_UP + CYCLES, count: 1 });
  // Memory grows by whole pages of 64 KiB: a few of them would be dozens of bytes for each who came.
  assert.ok(grown <= memory + 4 * 65536, `WASM: ${memory} bytes, then ${grown}`);
  assertNoMore(before, after);
});

test("a thousand visits with all there is to show leave no node, listener or closure", async (t) => {
  const page = await opened(t);
  await page.evaluate(async () => {
    const { createKit } = await import("/sdk/testing.js");
    await import("/sdk/element.js");
    const kit = await createKit({ seed: 24 });
    const [surface, note] = ["div", "input"].map((name) => document.createElement(name));
    for (const id of ["bar", "flash"]) {
      document.body.append(Object.assign(document.createElement("div"), { id }));
    }
    document.body.append(Object.assign(/** @type {Element} */ (surface), { id: "surface" }));
    surface?.append("This is what they point at, and select.");
    document.body.append(Object.assign(/** @type {Element} */ (note), { id: "note" }));
    note?.setAttribute("data-presence-typing", "");
    let nth = 0;
    const shown = { typing: 0, cursors: 0, selections: 0, names: 0, lists: 0, tags: 0 };
    const visit = async () => {
      nth += 1;
      const here = await kit.connect({ key: "document:42", user: "alice" });
      here.bar("#bar", { max: 1 });
      here.flash("#flash");
      here.typing("#note");
      here.cursors("#surface");
      here.on("pulse", () => {});
      const tab = kit.user(`person ${nth}`).opens("document:42");
      const other = kit.user(`other ${nth}`).opens("document:42");
      await kit.tick(300);
      tab.pulses("typing", "note");
      tab.pulses("cursor", { at: ["surface", 0.5, 0.5], selected: ["surface", 0, "surface", 4] });
      surface?.dispatchEvent(new PointerEvent("pointermove", { clientX: 40, clientY: 40 }));
      await kit.tick(300);
      const count = (/** @type {string} */ selector) => document.querySelectorAll(selector).length;
      shown.typing += count(".presence-typing-name");
      shown.cursors += count(".presence-cursor");
      shown.selections += CSS.highlights.size;

      const options = { bubbles: true };
      document
        .querySelector(".presence-dot")
        ?.dispatchEvent(new PointerEvent("pointerover", options));
      document
        .querySelector(".presence-more-button")
        ?.dispatchEvent(new MouseEvent("click", options));
      await kit.tick(0);
      shown.names += count("[data-named]");
      shown.lists += count(".presence-list:not([hidden])");

      const tag = Object.assign(document.createElement("whos-here"), { token: kit.token("carol") });
      tag.setAttribute("url", kit.url);
      tag.setAttribute("key", "document:42");
      document.body.append(tag);
      await kit.tick();
      shown.tags += tag.here?.count === 4 ? 1 : 0;
      tag.remove();
      // Everything else is still up.
      here.leave();
      tab.closes();
      other.closes();
      await kit.tick();
    };
    const visits = async (/** @type {number} */ count) => {
      for (let i = 0; i < count; i += 1) await visit();
      await kit.tick(60_000);
      return shown;
    };
    Object.assign(globalThis, { visits });
  });
  const cdp = await page.context().newCDPSession(page);
  const visits = (/** @type {number} */ count) =>
    page.evaluate((it) => /** @type {any} */ (globalThis).visits(it), count);

  await visits(FIRST_VISITS);
  const before = await held(cdp);
  const shown = await visits(VISITS);
  const after = await held(cdp);

  console.log(`held before: ${JSON.stringify(before)}, after: ${JSON.stringify(after)}`);
  const n = FIRST_VISITS + VISITS;
  const once = { typing: n, cursors: n, selections: n, names: n, lists: n, tags: n };
  assert.deepEqual(shown, once, "each was shown each time");
  assertNoMore(before, after);
});

/**
 * A page of a relay and a browser of its own. Not a viewer of the stage, whose recorder keeps what it has seen.
 *
 * @param {import("node:test").TestContext} t
 */
async function opened(t) {
  const [relay, browser] = await Promise.all([startDemo(), launchBrowser()]);
  t.after(async () => {
    await browser.close();
    await relay.stop();
  });
  const page = await browser.newPage();
  await page.addInitScript(() => {
    const { instantiateStreaming } = WebAssembly;
    WebAssembly.instantiateStreaming = async (...args) => {
      const made = await instantiateStreaming(...args);
      Object.assign(globalThis, { memory: made.instance.exports.memory });
      WebAssembly.instantiateStreaming = instantiateStreaming;
      return made;
    };
  });
  await page.goto(`${relay.http}/`);
  return page;
}

/**
 * @typedef {{ nodes: number, listeners: number, closures: number, detached: number }} Held
 * @param {Held} before
 * @param {Held} after
 */
function assertNoMore(before, after) {
  for (const what of /** @type {const} */ (["nodes", "listeners", "closures", "detached"])) {
    assert.ok(after[what] <= before[what] + FEW, `${what}: ${before[what]}, then ${after[what]}`);
  }
}

/**
 * What the page holds once its garbage is collected, from a heap snapshot.
 *
 * @param {import("playwright-core").CDPSession} cdp
 */
async function held(cdp) {
  await cdp.send("HeapProfiler.enable");
  for (let i = 0; i < 3; i += 1) await cdp.send("HeapProfiler.collectGarbage");
  const { nodes, jsEventListeners } = await cdp.send("Memory.getDOMCounters");
  /** @type {string[]} */
  const chunks = [];
  const hear = (/** @type {{ chunk: string }} */ { chunk }) => chunks.push(chunk);
  cdp.on("HeapProfiler.addHeapSnapshotChunk", hear);
  await cdp.send("HeapProfiler.takeHeapSnapshot", { reportProgress: false });
  cdp.off("HeapProfiler.addHeapSnapshotChunk", hear);
  const snapshot = JSON.parse(chunks.join(""));
  const { node_fields: fields, node_types: types } = snapshot.snapshot.meta;
  const closure = types[0].indexOf("closure");
  const [type, detachedness] = [fields.indexOf("type"), fields.indexOf("detachedness")];
  const found = { closures: 0, detached: 0 };
  for (let at = 0; at < snapshot.nodes.length; at += fields.length) {
    if (snapshot.nodes[at + type] === closure) found.closures += 1;
    // 2 is what Chromium says of a node that is in no document.
    if (snapshot.nodes[at + detachedness] === 2) found.detached += 1;
  }
  return { nodes, listeners: jsEventListeners, ...found };
}
