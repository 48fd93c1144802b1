// @ts-check
//
// What a change costs a page, in counts: those are the same on any machine.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

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

test("a change costs what has changed, however many are here", async (t) => {
  const key = stage.key(t);
  /** @type {Peer[]} */
  const peers = [];
  for (let i = 0; i < 300; i += 50) {
    const batch = Array.from({ length: 50 }, (_, j) => `user ${i + j}`);
    peers.push(...(await Promise.all(batch.map((user) => Peer.join(stage.relay, user, key)))));
  }
  t.after(() => Promise.all(peers.map((peer) => peer.close())));
  const { page } = await stage.blank(t, "alice").then(async (alice) => {
    await alice.enter({ key, token: mintToken("alice") });
    return alice;
  });
  await page.locator(".presence-more-button").click();
  await page.locator(".presence-list").waitFor();
  const n = await page.evaluate(() => {
    const n = { drawn: 0, changes: 0, updates: 0, made: 0, written: 0, looked: 0 };
    const { here } = /** @type {any} */ (window);
    new MutationObserver((all) => {
      n.drawn += all.length;
    }).observe(document.body, { subtree: true, childList: true, attributes: true });
    here.on("change", () => void n.changes++);
    here.on("update", () => void n.updates++);
    // What a member, a copy of its meta and a comparison are made with.
    const { freeze } = Object;
    Object.freeze = (/** @type {any} */ it) => {
      n.made += 1;
      return freeze(it);
    };
    const { stringify } = JSON;
    JSON.stringify = (/** @type {any} */ ...it) => {
      n.written += 1;
      return stringify(.../** @type {[any]} */ (it));
    };
    // What drawing a person begins with.
    const { querySelector } = Element.prototype;
    Element.prototype.querySelector = function (/** @type {string} */ it) {
      n.looked += 1;
      return querySelector.call(this, it);
    };
    Object.assign(window, { n, before: here.members });
    return here.count;
  });
  assert.equal(n, 301);

  for (let i = 0; i < 100; i += 1) {
    peers[i % 20]?.send({ update: { key, meta: { n: i } } });
    await sleep(10);
  }
  const read = () => page.evaluate("({ ...n })");
  await until("the last change has come", () =>
    page.evaluate("here.members.some(({ meta }) => meta.n === 99)"),
  );
  const { drawn, changes, updates, made, written, looked } = /** @type {any} */ (await read());
  assert.equal(drawn, 0, "nobody sees a meta");
  assert.ok(updates >= 20 && updates <= 100, `${updates} updates`);
  assert.ok(changes < updates / 2, `${changes} changes told of ${updates} updates`);
  assert.ok(made >= updates && made <= updates * 3 + changes * 2, `${made} for ${updates}`);
  assert.ok(written >= updates && written <= updates * 5, `${written} for ${updates}`);
  assert.ok(looked >= updates && looked <= updates * 4, `${looked} for ${updates}`);
  const same = await page.evaluate(() => {
    const { here, before } = /** @type {any} */ (window);
    return before.filter((/** @type {any} */ it) => here.members.includes(it)).length;
  });
  assert.equal(same, 281, "who hasn't changed is the same object");

  // One who is seen to change is drawn, and nobody else.
  peers[1]?.send({ attention: { away: true } });
  await until("one is away", () => page.evaluate("n.drawn > 0"));
  await page.evaluate("new Promise(requestAnimationFrame)");
  const seen = /** @type {any} */ (await read());
  assert.ok(seen.drawn - drawn < 20, `${seen.drawn - drawn} changes of the page for one person`);
});

test("an idle page does nothing from one heartbeat to the next", async (t) => {
  const alice = await stage.blank(t, "alice");
  const { page } = alice;
  const key = stage.key(t);
  await page.evaluate(async (key) => {
    await import("/sdk/element.js");
    const surface = document.body.appendChild(document.createElement("div"));
    Object.assign(surface, { id: "surface", textContent: "What they point at." });
    surface.setAttribute("data-presence-cursors", "");
    const note = document.body.appendChild(document.createElement("input"));
    note.id = "note";
    note.setAttribute("data-presence-typing", "");
    const tag = document.createElement("whos-here");
    const tokenUrl = "/dev/token?user=alice";
    for (const [name, value] of Object.entries({
      url: "/v1/presence",
      key,
      "token-url": tokenUrl,
    })) {
      tag.setAttribute(name, value);
    }
    document.body.append(tag);
  }, key);
  // All of it has been in use, and has come to rest.
  const bob = await stage.blank(t, "bob");
  await bob.enter({ key, tokenPath: "/dev/token?user=bob" });
  await page.locator(".presence-typing").waitFor();
  await page.locator("#surface").hover();
  await page.locator("#note").pressSequentially("Hi");
  const said = /** @type {const} */ ({ typing: "note", cursor: { at: ["surface", 0.5, 0.5] } });
  const say = (/** @type {object} */ all) =>
    bob.page.evaluate((it) => {
      const { here } = /** @type {any} */ (window);
      for (const [name, value] of Object.entries(it)) here.pulse(name, value);
    }, all);
  await say(said);
  await page.locator(".presence-cursor").waitFor({ state: "attached" });
  await page.locator(".presence-typing-name").waitFor();
  await until("bob sees alice type and point", () =>
    bob.page.evaluate("here.pulses('typing').length === 1 && here.pulses('cursor').length === 1"),
  );
  await say({ typing: null, cursor: null });
  await page.mouse.move(0, 0);
  await page.locator("#note").blur();
  await page.locator(".presence-cursor").waitFor({ state: "detached" });

  const cdp = await page.context().newCDPSession(page);
  const { frameTree } = await cdp.send("Page.getFrameTree");
  await cdp.send("Network.enable");
  let nFrames = 0;
  /** @type {string[]} */
  let ranLast = [];
  for (const event of /** @type {const} */ (["Sent", "Received"])) {
    cdp.on(`Network.webSocketFrame${event}`, () => {
      nFrames += 1;
    });
  }
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
  // At first the page is still coming to rest, and a slow machine may not be done with a beat so soon.
  await until(
    "8 of the 10 seconds between two heartbeats passed in which nothing was sent and nothing ran",
    async () => {
      await new Promise((resolve) => cdp.once("Network.webSocketFrameReceived", resolve));
      await sleep(500);
      const before = nFrames;
      ranLast = await ran(() => sleep(8000));
      return nFrames === before && ranLast.length === 0;
    },
    60_000,
  ).catch((error) => {
    error.message += `; at last ${ranLast.join()} ran`;
    throw error;
  });
  const busy = await ran(() => page.evaluate("new Promise((it) => setTimeout(it, 10))"));
  assert.ok(busy.includes("TimerFire"), "what runs is seen");
});
