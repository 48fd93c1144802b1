// @ts-check
//
// A day of joins and leaves, in virtual time, leaves nothing behind.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launchBrowser, startDemo } from "../support/browser.mjs";

/** Somebody comes and goes every 8.64 s, so these are 24 hours. */
const CYCLES = 10_000;
/** Until code is compiled, caches are filled and arrays have grown. */
const WARM_UP = 1000;

test("24 hours of joins and leaves leave no node, listener or closure", async (t) => {
  const [relay, browser] = await Promise.all([startDemo(), launchBrowser()]);
  t.after(async () => {
    await browser.close();
    await relay.stop();
  });
  // Not a viewer of the stage, whose recorder keeps what it has seen.
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
  // One of each cycle would be 10,000; what an engine keeps for itself is some dozens.
  const few = CYCLES / 100;
  for (const what of /** @type {const} */ (["nodes", "listeners", "closures", "detached"])) {
    assert.ok(after[what] <= before[what] + few, `${what}: ${before[what]}, then ${after[what]}`);
  }
});

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
