// @ts-check
//
// What a change costs a page, in counts: those are the same on any machine.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { sleep } from "../support/peer.mjs";

const stage = new Stage();

test("the page is laid out no more often when many leave than when few do", async (t) => {
  const viewer = await stage.blank(t, "alice");
  const { page } = viewer;
  await page.evaluate(async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit({ seed: 5 });
    const here = await kit.connect({ key: "document:42", user: "alice" });
    here.bar("#bar", { max: 100 });
    const come = async (/** @type {number} */ count) => {
      const tabs = Array.from({ length: count }, (_, i) =>
        kit.user(`user ${i}`).opens("document:42"),
      );
      await kit.tick(1000);
      const go = async () => {
        for (const tab of tabs) tab.closes();
        await kit.tick(1000);
      };
      Object.assign(globalThis, { go });
      return here.count;
    };
    Object.assign(globalThis, { come });
  });
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable");
  const layouts = async () => {
    const { metrics } = await cdp.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "LayoutCount")?.value ?? Number.NaN;
  };
  const layoutsOf = async (/** @type {number} */ count) => {
    assert.equal(await page.evaluate(`come(${count})`), 1 + count);
    const before = await layouts();
    await page.evaluate("go()");
    assert.equal(await page.locator(".presence-dots > li").count(), 1);
    return (await layouts()) - before;
  };
  const [few, many] = [await layoutsOf(5), await layoutsOf(80)];
  // The browser's own frames, of which a slow machine has more, lay it out as well.
  assert.ok(many < few + 40, `${few} layouts when 5 left, ${many} when 80 did`);
});

test("an idle page does nothing between heartbeats", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key: stage.key(t), tokenPath: "/dev/token?user=alice" });
  const cdp = await alice.page.context().newCDPSession(alice.page);
  const { frameTree } = await cdp.send("Page.getFrameTree");
  await cdp.send("Network.enable");
  let nFrames = 0;
  cdp.on("Network.webSocketFrameSent", () => {
    nFrames += 1;
  });
  cdp.on("Network.webSocketFrameReceived", () => {
    nFrames += 1;
  });
  /** What ran in the page meanwhile. @param {() => Promise<unknown>} act */
  const ran = async (act) => {
    /** @type {any[]} */
    const events = [];
    const hear = (/** @type {any} */ { value }) => events.push(...value);
    cdp.on("Tracing.dataCollected", hear);
    const complete = new Promise((resolve) => cdp.once("Tracing.tracingComplete", resolve));
    await cdp.send("Tracing.start", { traceConfig: { includedCategories: ["devtools.timeline"] } });
    await act();
    await cdp.send("Tracing.end");
    await complete;
    cdp.off("Tracing.dataCollected", hear);
    return events
      .filter(({ args }) => args?.data?.frame === frameTree.frame.id)
      .map(({ name }) => name)
      .filter((name) => ["FunctionCall", "TimerFire", "FireAnimationFrame"].includes(name));
  };
  // A heartbeat may come in between, once in ten seconds, and at first the page is still coming to rest.
  await until(
    "three seconds passed in which nothing was sent and nothing ran",
    async () => {
      const before = nFrames;
      const names = await ran(() => sleep(3000));
      return nFrames === before && names.length === 0;
    },
    60_000,
  );
  const busy = await ran(() => alice.page.evaluate("new Promise((it) => setTimeout(it, 10))"));
  assert.ok(busy.includes("TimerFire"), "what runs is seen");
});
