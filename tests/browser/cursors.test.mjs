// @ts-check
//
// P12: where the others point, and what they have selected.
import assert from "node:assert/strict";
import { test } from "node:test";
import { enterBound, pointOf } from "../support/bound.mjs";
import { Stage, until } from "../support/browser.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

/** @typedef {import("../support/browser.mjs").Viewer} Viewer */

const WIDE = { viewport: { width: 1200, height: 900 } };
const NARROW = { viewport: { width: 420, height: 900 } };

const stage = new Stage();

test("P12: a cursor is where it points to on another screen, and after the text above has grown", async (t) => {
  const alice = await enter(t, "alice", { look: NARROW });
  const bob = await enter(t, "bob", { look: WIDE });
  await alice.sees(["alice", "bob"]);
  await point(bob, "p3", 0.7, 0.4);
  await isAt(alice, "p3", 0.7, 0.4);

  const before = (await pointOf(alice, "p3", 0, 0)).y;
  await alice.page.locator("#above").evaluate((it) => it.append(" It grows.".repeat(100)));
  assert.ok((await pointOf(alice, "p3", 0, 0)).y > before + 50, "it is pushed down");
  await isAt(alice, "p3", 0.7, 0.4);
  await alice.page.evaluate(() => {
    const above = Object.assign(document.createElement("div"), { textContent: "x ".repeat(500) });
    document.body.prepend(above);
  });
  await isAt(alice, "p3", 0.7, 0.4);
  await alice.page.setViewportSize({ width: 700, height: 900 });
  await isAt(alice, "p3", 0.7, 0.4);
});

test("a cursor has a name that can be read, is nobody's obstacle, and goes with its owner", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  await point(bob, "p1", 0.5, 0.5);
  const cursor = alice.page.locator(".presence-cursor");
  await cursor.waitFor({ state: "attached" });
  assert.equal(await cursor.textContent(), "bob");
  assert.equal(await bob.page.locator(".presence-cursor").count(), 0, "nobody sees their own");
  const overlay = alice.page.locator(".presence-cursors");
  assert.equal(await overlay.getAttribute("aria-hidden"), "true");
  const { x, y } = await pointOf(alice, "p1", 0.5, 0.5);
  const hit = await alice.page.evaluate(
    ([x, y]) => document.elementFromPoint(Number(x) + 3, Number(y) + 3)?.id,
    [x, y],
  );
  assert.equal(hit, "p1");
  const dot = await alice.dot("bob").evaluate((it) => getComputedStyle(it).backgroundColor);
  const label = alice.page.locator(".presence-cursor-label");
  assert.equal(await label.evaluate((it) => getComputedStyle(it).backgroundColor), dot);

  await point(bob, "p1", 0.999, 0.5);
  await isAt(alice, "p1", 0.999, 0.5);
  const size = () => alice.page.evaluate("[document.body.scrollWidth, innerWidth]");
  const [scrollWidth, width] = /** @type {number[]} */ (await size());
  assert.ok(Number(scrollWidth) <= Number(width), "no cursor widens the page");

  await bob.page.close();
  await cursor.waitFor({ state: "detached" });
  assert.equal(await overlay.count(), 0);
});

test("a cursor goes when the pointer leaves, softens when it keeps still, and wakes up", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  await point(bob, "p1", 0.5, 0.5);
  const cursor = alice.page.locator(".presence-cursor");
  await cursor.waitFor({ state: "attached" });
  const isSoft = () => cursor.evaluate((it) => it.classList.contains("presence-cursor-idle"));
  assert.equal(await isSoft(), false);
  await until("it is softened", isSoft);
  await sleep(6000);
  assert.equal(await cursor.count(), 1, "who keeps still is here");
  await point(bob, "p1", 0.6, 0.5);
  await until("it is awake", async () => !(await isSoft()));
  await bob.page.mouse.move(2, 2);
  await cursor.waitFor({ state: "detached" });
});

test("a cursor glides in more steps than are sent, and rests without a frame", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  await point(bob, "p1", 0.1, 0.5);
  await alice.page.locator(".presence-cursor").waitFor({ state: "attached" });
  await alice.page.evaluate(() => {
    /** @type {Set<string>} */
    const positions = new Set();
    const pulses = { n: 0, nFrames: 0 };
    const { here } = /** @type {any} */ (window);
    here.on("pulse", () => {
      pulses.n += 1;
    });
    new MutationObserver(([change]) => {
      pulses.nFrames += 1;
      if (change?.target instanceof HTMLElement) positions.add(change.target.style.transform);
    }).observe(/** @type {Element} */ (document.querySelector(".presence-cursor")), {
      attributeFilter: ["style"],
    });
    Object.assign(window, { positions, pulses });
  });
  for (let i = 0; i < 40; i += 1) {
    await point(bob, "p1", 0.1 + i / 60, 0.5);
    await sleep(15);
  }
  await isAt(alice, "p1", 0.1 + 39 / 60, 0.5);
  // The last of the way is less than the eye sees.
  await sleep(500);
  const read = () => alice.page.evaluate("({ nPositions: positions.size, ...pulses })");
  const seen = /** @type {any} */ (await read());
  assert.ok(seen.nPositions > seen.n * 1.5, `${seen.nPositions} positions of ${seen.n} pulses`);
  const rest = /** @type {any} */ (await read());
  await sleep(1000);
  assert.deepEqual(await read(), rest, "nothing is drawn while nothing moves");
});

test("who wants less motion sees cursors jump", async (t) => {
  const alice = await enter(t, "alice", { look: { reducedMotion: "reduce" } });
  const bob = await enter(t, "bob");
  await alice.sees(["alice", "bob"]);
  await point(bob, "p1", 0.1, 0.5);
  await isAt(alice, "p1", 0.1, 0.5);
  await alice.page.evaluate(() => {
    /** @type {Set<string>} */
    const positions = new Set();
    new MutationObserver(([change]) => {
      if (change?.target instanceof HTMLElement) positions.add(change.target.style.transform);
    }).observe(/** @type {Element} */ (document.querySelector(".presence-cursor")), {
      attributeFilter: ["style"],
    });
    Object.assign(window, { positions });
  });
  await point(bob, "p1", 0.9, 0.5);
  await isAt(alice, "p1", 0.9, 0.5);
  assert.equal(await alice.page.evaluate("positions.size"), 1);
});

test("nothing is sent while nobody else is here, and no more than 20 times a second after that", async (t) => {
  const alice = await stage.blank(t, "nobody");
  /** @type {string[]} */
  const frames = [];
  const bob = await enter(t, "bob", {}, (page) => {
    page.on("websocket", (socket) => {
      socket.on("framesent", ({ payload }) => void frames.push(String(payload)));
    });
  });
  assert.ok(frames.length > 0, "frames are counted");
  const nPulses = () => frames.filter((it) => it.includes('"pulse"')).length;
  for (let i = 0; i < 20; i += 1) {
    await point(bob, "p1", i / 20, 0.5);
    await sleep(20);
  }
  assert.equal(nPulses(), 0);
  await alice.page.close();
  const carol = await enter(t, "carol");
  await carol.sees(["bob", "carol"]);
  await carol.page.locator(".presence-cursor").waitFor({ state: "attached" });
  const [before, startedAt] = [nPulses(), Date.now()];
  while (Date.now() - startedAt < 2000) {
    await point(bob, "p1", Math.random(), 0.5);
    await sleep(10);
  }
  const perSecond = ((nPulses() - before) * 1000) / (Date.now() - startedAt);
  assert.ok(perSecond > 2 && perSecond <= 21, `${perSecond} pulses a second`);
});

test("a finger's cursor stays where it was lifted", async (t) => {
  const alice = await enter(t, "alice");
  const bob = await enter(t, "bob", { look: { hasTouch: true } });
  await alice.sees(["alice", "bob"]);
  const { x, y } = await pointOf(bob, "p1", 0.5, 0.5);
  await bob.page.touchscreen.tap(x, y);
  await isAt(alice, "p1", 0.5, 0.5);
  await sleep(1000);
  await isAt(alice, "p1", 0.5, 0.5);
});

test("a pen is followed, and is gone when it is lifted away", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  const devtools = await bob.page.context().newCDPSession(bob.page);
  const movesTo = (/** @type {{ x: number, y: number }} */ { x, y }) =>
    devtools.send("Input.dispatchMouseEvent", { type: "mouseMoved", x, y, pointerType: "pen" });
  await bob.page.evaluate(() => {
    const types = /** @type {string[]} */ ([]);
    Object.assign(window, { types });
    addEventListener("pointermove", ({ pointerType }) => types.push(pointerType));
  });
  await movesTo(await pointOf(bob, "p1", 0.5, 0.5));
  await isAt(alice, "p1", 0.5, 0.5);
  assert.equal(await bob.page.evaluate("types[0]"), "pen");
  await bob.page.evaluate(() => {
    const pen = { pointerType: "pen", relatedTarget: null };
    document.querySelector("#article")?.dispatchEvent(new PointerEvent("pointerleave", pen));
  });
  await alice.page.locator(".presence-cursor").waitFor({ state: "detached" });
});

test("a cursor's label can be read on every color", async (t) => {
  const alice = await enter(t, "alice");
  for (const [at, color] of ["#ffffff", "#ffee00", "#000000", "#1a1a8c", "#777777"].entries()) {
    const peer = await Peer.open(stage.relay);
    await peer.hello(mintToken({ sub: `u${at}`, color }));
    await peer.join(stage.key(t));
    const value = JSON.stringify({ at: ["p1", 0.5, 0.5] });
    peer.send({ pulse: { key: stage.key(t), name: "cursor", value } });
    const label = alice.page.locator(".presence-cursor-label", { hasText: `u${at}` });
    await label.waitFor({ state: "attached" });
    const [ink, paper] = await label.evaluate((it) => {
      const { color, backgroundColor } = getComputedStyle(it);
      return [color, backgroundColor];
    });
    assert.equal(paper, rgbOf(color));
    const [dark, light] = [ink, paper].map(luminance).toSorted((a, b) => a - b);
    const contrast = (Number(light) + 0.05) / (Number(dark) + 0.05);
    assert.ok(contrast >= 4.5, `${ink} on ${paper}: ${contrast}`);
    await peer.close(1001);
  }
});

/** @param {string} color as `#rrggbb` */
function rgbOf(color) {
  const bytes = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
  return `rgb(${bytes.join(", ")})`;
}

/**
 * As WCAG has it.
 *
 * @param {string} color as `rgb(r, g, b)`
 */
function luminance(color) {
  const [red = 0, green = 0, blue = 0] = (color.match(/\d+/g) ?? []).map((it) => {
    const part = Number(it) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

test("what somebody selects is highlighted in their color on the others' pages", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  await bob.page.evaluate(() => {
    const text = (/** @type {string} */ id) =>
      /** @type {Text} */ (document.getElementById(id)?.firstChild);
    getSelection()?.setBaseAndExtent(text("p1"), 3, text("p2"), 15);
  });
  const highlighted = () =>
    alice.page.evaluate(() =>
      [.../** @type {any} */ (CSS).highlights.values()].flatMap((it) => [...it]).map(String),
    );
  const selected = await bob.page.evaluate("String(getSelection().getRangeAt(0))");
  await until("it is highlighted", async () => (await highlighted())[0] === selected);
  /** What highlights are drawn with. */
  const rules = () =>
    alice.page.evaluate(() =>
      document.adoptedStyleSheets
        .flatMap((it) => [...it.cssRules].map(({ cssText }) => cssText))
        .filter((it) => it.startsWith("::highlight(")),
    );
  const [rule = "", ...others] = await rules();
  const [name] = await alice.page.evaluate(() => [.../** @type {any} */ (CSS).highlights.keys()]);
  const color = await alice.page.evaluate("here.members.find((it) => it.id === 'bob').color");
  const rgb = [1, 3, 5]
    .map((at) => Number.parseInt(String(color).slice(at, at + 2), 16))
    .join(", ");
  assert.ok(rule.startsWith(`::highlight(${name}) {`), rule);
  assert.ok(rule.includes(String(color)) || rule.includes(`rgb(${rgb})`), `${color}: ${rule}`);
  assert.deepEqual(others, []);
  await bob.page.evaluate("getSelection().removeAllRanges()");
  await until("it isn't any more", async () => (await highlighted()).length === 0);
  await bob.page.close();
  await alice.sees(["alice"]);
  await until("nothing is left of it", async () => (await rules()).length === 0);
});

test("who points at what isn't in the page yet is seen as soon as it is, and the name in whole", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  await alice.page.evaluate("window.p1 = document.querySelector('#p1'), p1.remove()");
  await point(bob, "p1", 0.5, 0.5);
  const isTold = () => alice.page.evaluate("here.pulses('cursor').length === 1");
  await until("alice is told", isTold);
  const label = alice.page.locator(".presence-cursor-label");
  assert.equal(await label.isVisible(), false);
  await alice.page.evaluate("document.querySelector('#above').after(p1)");
  await isAt(alice, "p1", 0.5, 0.5);
  await point(bob, "p1", 0.999, 0.5);
  await alice.page.locator('.presence-cursor[data-side~="left"]').waitFor({ state: "attached" });
});

test("cursors on the whole page follow what changes in it, and rest when nothing does", async (t) => {
  const [alice, bob] = [await enterBound(stage, t, "alice"), await enterBound(stage, t, "bob")];
  for (const { page } of [alice, bob]) {
    await page.evaluate("here.cursors('body'), import('/sdk/js/cursors.js').then(() => {})");
  }
  await alice.sees(["alice", "bob"]);
  await point(bob, "p1", 0.5, 0.5);
  await isAt(alice, "p1", 0.5, 0.5);
  await alice.page.locator("#above").evaluate((it) => it.append(" It grows.".repeat(100)));
  await isAt(alice, "p1", 0.5, 0.5);
  const nFrames = await alice.page.evaluate(async () => {
    // What was under way is over.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const { requestAnimationFrame: original } = window;
    let n = 0;
    window.requestAnimationFrame = (act) => {
      n += 1;
      return original.call(window, act);
    };
    await new Promise((resolve) => setTimeout(resolve, 1000));
    window.requestAnimationFrame = original;
    return n;
  });
  assert.equal(nFrames, 0);
});

test("a selection stays when its paragraph is drawn anew, and isn't looked up again for nothing", async (t) => {
  const [alice, bob] = [await enter(t, "alice"), await enter(t, "bob")];
  await alice.sees(["alice", "bob"]);
  await bob.page.evaluate(() => {
    const text = /** @type {Text} */ (document.getElementById("p1")?.firstChild);
    getSelection()?.setBaseAndExtent(text, 3, text, 15);
  });
  const highlighted = () =>
    alice.page.evaluate(() => {
      const all = [.../** @type {any} */ (CSS).highlights.values()].flatMap((it) => [...it]);
      return all.map((it) => (it.startContainer.isConnected ? String(it) : "gone")).join();
    });
  const selected = await bob.page.evaluate("String(getSelection().getRangeAt(0))");
  await until("it is highlighted", async () => (await highlighted()) === selected);
  await alice.page.evaluate(() => {
    const p1 = document.getElementById("p1");
    const copy = /** @type {HTMLElement} */ (p1?.cloneNode(true));
    p1?.replaceWith(copy);
  });
  await until("it is highlighted again", async () => (await highlighted()) === selected);

  await alice.page.evaluate(() => {
    const { createRange } = document;
    const made = { n: 0 };
    document.createRange = () => {
      made.n += 1;
      return createRange.call(document);
    };
    Object.assign(window, { made });
  });
  await point(bob, "p2", 0.2, 0.5);
  await point(bob, "p2", 0.8, 0.5);
  await isAt(alice, "p2", 0.8, 0.5);
  assert.equal(await alice.page.evaluate("made.n"), 0);
});

test("options of cursors that make no sense are errors with codes", async (t) => {
  const alice = await enter(t, "alice");
  const code = (/** @type {string} */ call) =>
    alice.page.evaluate(`(() => { try { ${call} } catch (error) { return error.code } })()`);
  assert.equal(await code("here.cursors('#nothing')"), "bad_target");
  assert.equal(await code("here.cursors('#article', { anchors: ':::' })"), "bad_options");
  assert.equal(await code("here.cursors('#article', { selections: 1 })"), "bad_options");
  assert.equal(await code("here.cursors('#article', { color: 'red' })"), "bad_options");
});

/**
 * @param {import("node:test").TestContext} t
 * @param {string} name
 * @param {import("../support/browser.mjs").VisitOptions} [options]
 * @param {(page: import("playwright-core").Page) => void} [watch] before it connects
 */
async function enter(t, name, options, watch) {
  const viewer = await enterBound(stage, t, name, { ...options, watch });
  // Once it is loaded, so that it hears of the first move.
  await viewer.page.evaluate(
    "here.cursors('#article'), import('/sdk/js/cursors.js').then(() => {})",
  );
  return viewer;
}

/**
 * @param {Viewer} viewer
 * @param {string} id
 * @param {number} x
 * @param {number} y
 */
async function point(viewer, id, x, y) {
  const at = await pointOf(viewer, id, x, y);
  await viewer.page.mouse.move(at.x, at.y);
}

/**
 * Waits until the only cursor is there.
 *
 * @param {Viewer} viewer
 * @param {string} id
 * @param {number} x
 * @param {number} y
 */
async function isAt(viewer, id, x, y) {
  await until(`${viewer.name} sees the cursor at ${id}`, async () => {
    const wanted = await pointOf(viewer, id, x, y);
    const box = await viewer.page.evaluate(() => {
      const { left, top } = document.querySelector(".presence-cursor")?.getBoundingClientRect() ?? {
        left: Number.NaN,
        top: Number.NaN,
      };
      return { left, top };
    });
    return Math.abs(box.left - wanted.x) < 1.5 && Math.abs(box.top - wanted.y) < 1.5;
  });
}
