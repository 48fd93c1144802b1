// @ts-check
//
// That the bar can be read, reached and used by everybody.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { Peer } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Eleven others, of whom five have a dot beside one's own. */
const NAMES = [
  "bob",
  "carol",
  "dave",
  "erin",
  "frank",
  "grace",
  "heidi",
  "ivan",
  "judy",
  "ken",
  "mia",
];

const stage = new Stage({ args: ["--last-seen", "document:*"] });

/** @type {Record<string, import("playwright-core").BrowserContextOptions>} */
const LOOKS = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  "forced colors": { colorScheme: "dark", forcedColors: "active" },
  "right-to-left": { viewport: { width: 320, height: 568 } },
};

for (const [name, look] of Object.entries(LOOKS)) {
  const isTurned = name === "right-to-left";

  test(`axe finds nothing wrong with the page, of one viewer or of twelve: ${name}`, async (t) => {
    const alice = await stage.visit(t, "alice", { look });
    await alice.sees(["alice"]);
    if (isTurned) await turn(alice);
    for (const id of ["looks", "inspect"]) {
      await alice.page.locator(`#${id}`).evaluate((it) => it.setAttribute("open", ""));
    }
    await alice.page.locator("#inspector section").waitFor();
    assert.deepEqual(await violations(alice), []);

    await fill(t);
    await alice.page.getByText("12 here", { exact: true }).waitFor();
    // Some flashes are there, too.
    await alice.page.locator(".presence-flash").first().waitFor();
    assert.deepEqual(await violations(alice), []);

    await alice.page.getByRole("button", { name: "+7 more" }).click();
    // What opens it is loaded with the first touch of the bar.
    await opened(alice);
    assert.equal(await alice.page.locator(".presence-list > li").count(), 7);
    assert.deepEqual(await violations(alice), []);
    await alice.page.keyboard.press("Escape");
    await alice.dot("bob").hover();
    await alice.page.locator(".presence-dot[data-named]").waitFor();
    assert.deepEqual(await violations(alice), []);
    assert.deepEqual(await sticksOut(alice), []);
  });

  test(`axe finds nothing wrong while others point, write and are followed, or were here: ${name}`, async (t) => {
    const bob = await stage.visit(t, "bob", { look: { viewport: { width: 800, height: 600 } } });
    const alice = await stage.visit(t, "alice", { look });
    await alice.sees(["alice", "bob"]);
    if (isTurned) await turn(alice);
    await bob.page.locator("#note").press("x");
    await alice.readsTyping("bob is typing…");
    const label = alice.page.locator(".presence-cursor-label");
    await until("alice sees where bob points", async () => {
      const position = { x: 20 + Math.random() * 20, y: 8 };
      await bob.page.locator("#goals-text").hover({ position });
      return (await label.count()) === 1;
    });
    await alice.page.getByRole("button", { name: /^bob/ }).click();
    await alice.page.locator("#following").waitFor();
    assert.deepEqual(await violations(alice), []);
    assert.deepEqual(await sticksOut(alice), []);
    await bob.page.close();
    await alice.page.locator("#presence .presence-last-seen").waitFor();
    assert.deepEqual(await violations(alice), []);
    assert.deepEqual(await sticksOut(alice), []);
  });

  test(`axe finds nothing wrong with the page that has only the tag: ${name}`, async (t) => {
    const guest = await stage.visit(t, "guest", { path: "/element.html", look });
    await guest.page.locator("whos-here [data-state=live]").waitFor();
    const bob = await Peer.join(stage.relay, "bob", "page:element");
    t.after(() => bob.destroy());
    await guest.page.locator("whos-here .presence-flash").waitFor();
    if (isTurned) await turn(guest);
    await guest.page.locator("whos-here [data-name=bob]").hover();
    await guest.page.locator("whos-here [data-named]").waitFor();
    assert.deepEqual(await violations(guest), []);
    await bob.close(1001);
    await guest.page.locator("whos-here [data-name=bob]").waitFor({ state: "detached" });
  });
}

test("every dot can be told from what is around it and from what is in it, on both themes", async (t) => {
  const key = stage.key(t);
  const colors = ["#ffffff", "#000000", "#fbfaf8", "#16171a", "#767676", "#ffee00", "#0000ff"];
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    const alice = await stage.blank(t, "alice", { look: { colorScheme } });
    await alice.enter({ key, token: mintToken("alice") });
    const peers = [];
    for (const color of colors) {
      const peer = await Peer.open(stage.relay);
      await peer.hello(mintToken({ sub: color, name: `x ${color}`, color }));
      await peer.join(key);
      peers.push(peer);
    }
    await alice.page.evaluate(() => {
      const { here } = /** @type {any} */ (window);
      document.querySelector("#bar")?.replaceChildren();
      here.bar("#bar", { max: 20 });
    });
    await until("all are here", async () => (await alice.bar()).length === colors.length + 2);
    // The package's own color, not that of the demo.
    const initial = "document.documentElement.style.setProperty('--presence-focus', 'initial')";
    await alice.page.evaluate(initial);
    await alice.page.keyboard.press("Tab");
    await alice.dot("alice").focus();
    for (const state of ["active", "away"]) {
      if (state === "away") for (const peer of peers) peer.send({ attention: { away: true } });
      const dots = alice.page.locator(`.presence-dot[data-name^=x][data-state=${state}]`);
      await until(`all are ${state}`, async () => (await dots.count()) === colors.length);
      for (const { name, edge, letter, ring } of await alice.page.evaluate(contrasts)) {
        const where = `${colorScheme}, ${state}, ${name}`;
        assert.ok(edge >= 3, `${where}: its edge has ${edge} : 1`);
        if (name === "alice") assert.ok(ring >= 3, `${where}: its focus ring has ${ring} : 1`);
        assert.ok(letter >= 4.5, `${where}: what is in it has ${letter} : 1`);
      }
    }
    for (const peer of peers) await peer.close(1001);
  }
});

test("axe finds nothing wrong with the page that asks who one is, and with the home page", async (t) => {
  const stranger = await stage.visit(t, "stranger", { path: "/docs/1" });
  assert.deepEqual(await violations(stranger), []);
  const home = await stage.visit(t, "home", { path: "/" });
  assert.deepEqual(await violations(home), []);
});

test("with twelve people there are five dots and a button for the rest", async (t) => {
  const alice = await stage.visit(t, "alice");
  await alice.sees(["alice"]);
  await fill(t);
  await alice.page.getByText("12 here", { exact: true }).waitFor();
  assert.equal(await alice.page.locator(".presence-dots > li > .presence-dot").count(), 5);
  const button = alice.page.getByRole("button", { name: "+7 more" });
  assert.equal(await button.getAttribute("aria-expanded"), "false");
  assert.equal(await alice.page.locator(".presence-list").isVisible(), false);
  await button.click();
  await opened(alice);
  assert.equal(await button.getAttribute("aria-expanded"), "true");
  assert.deepEqual(await listed(alice), NAMES.slice(4));
  await alice.page.locator("#title").click();
  assert.equal(await button.getAttribute("aria-expanded"), "false", "a click elsewhere closes it");
});

test("the keyboard reaches every dot and the button, opens the list, and closes it again", async (t) => {
  const alice = await stage.visit(t, "alice");
  await alice.sees(["alice"]);
  await fill(t);
  await alice.page.getByText("12 here", { exact: true }).waitFor();
  const press = (/** @type {string} */ key) => alice.page.keyboard.press(key);
  const focused = () =>
    alice.page.evaluate(() => {
      const { activeElement: it } = document;
      return it?.ariaLabel ?? it?.textContent;
    });

  await alice.page.locator(".brand").focus();
  for (const name of ["alice", ...NAMES.slice(0, 4)]) {
    await press("Tab");
    assert.ok((await focused())?.includes(name), `Tab leads to ${await focused()}, not ${name}`);
  }
  await press("Tab");
  assert.equal(await focused(), "+7 more");
  await press("Enter");
  await opened(alice);
  const button = alice.page.getByRole("button", { name: "+7 more" });
  assert.equal(await button.getAttribute("aria-expanded"), "true");
  assert.deepEqual(await listed(alice), NAMES.slice(4));
  await press("Escape");
  assert.equal(await button.getAttribute("aria-expanded"), "false");
  assert.equal(await focused(), "+7 more", "the focus is back where it was");
  await press("Enter");
  await press("Tab");
  await press("Tab");
  assert.equal(await button.getAttribute("aria-expanded"), "false", "leaving the list closes it");
});

test("the arrow keys walk through the list, and Escape goes back to the button", async (t) => {
  const alice = await stage.visit(t, "alice");
  await alice.sees(["alice"]);
  const peers = await fill(t);
  await alice.page.getByText("12 here", { exact: true }).waitFor();
  await alice.page.getByRole("button", { name: "+7 more" }).focus();
  const focused = () =>
    alice.page.evaluate(() => document.activeElement?.querySelector(".presence-name")?.textContent);
  /** @param {Record<string, string | undefined>} steps where each key leads to */
  const walk = async (steps) => {
    for (const [keys, name] of Object.entries(steps)) {
      for (const key of keys.split(" ")) await alice.page.keyboard.press(key);
      await until(`${keys} leads to ${name}`, async () => (await focused()) === name);
    }
  };
  await walk({ ArrowUp: undefined, ArrowDown: "frank" });
  assert.ok(await alice.page.locator(".presence-list").isVisible(), "ArrowDown opens it");
  await walk({ "ArrowDown ArrowDown": "heidi", ArrowUp: "grace", Home: "frank" });
  await walk({ "ArrowUp ArrowUp": "frank", End: "mia", "ArrowDown ArrowDown": "mia" });
  const isInView = await alice.page.evaluate(() => {
    const list = document.querySelector(".presence-list")?.getBoundingClientRect();
    const person = document.activeElement?.getBoundingClientRect();
    return Boolean(list && person && person.bottom <= list.bottom);
  });
  assert.ok(isInView, "the list scrolls along");
  assert.equal(await alice.page.evaluate("scrollY"), 0, "the page doesn't");

  await peers.at(-1)?.close(1001);
  await alice.page.getByRole("button", { name: "+6 more" }).waitFor();
  assert.equal(await focused(), "ken", "who leaves takes the focus to nobody but the next one");
  await alice.page.keyboard.press("Escape");
  const back = await alice.page.evaluate("document.activeElement.className");
  assert.equal(back, "presence-more-button");
  assert.equal(await alice.page.locator(".presence-list").isVisible(), false);
});

test("a name comes up for pointer and keyboard, stays for who goes on it, and Escape takes it away", async (t) => {
  const alice = await stage.visit(t, "alice");
  await stage.visit(t, "bob");
  await alice.sees(["alice", "bob"]);
  const { keyboard, mouse } = alice.page;
  const isNamed = async (/** @type {string} */ name) => {
    const box = await alice.dot(name).locator(".presence-label").boundingBox();
    return (box?.width ?? 0) > 10;
  };
  await alice.dot("bob").hover();
  await until("what shows names is loaded", () => isNamed("bob"));
  const box = await alice.dot("bob").locator(".presence-label").boundingBox();
  assert.ok(box);
  await mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 20 });
  assert.ok(await isNamed("bob"), "the pointer may go on it");
  await keyboard.press("Escape");
  assert.equal(await isNamed("bob"), false, "Escape takes it away");
  await alice.dot("alice").hover();
  await alice.dot("bob").hover();
  assert.ok(await isNamed("bob"), "it comes up again");
  assert.equal(await isNamed("alice"), false, "one at a time");
  await mouse.move(5, 400);
  assert.equal(await isNamed("bob"), false);

  await alice.page.locator(".brand").focus();
  await keyboard.press("Tab");
  await keyboard.press("Tab");
  assert.ok(await isNamed("bob"), "the keyboard brings it up");
  await alice.dot("alice").hover();
  await mouse.move(5, 400);
  assert.ok(await isNamed("bob"), "it stays as long as the focus does");
  await keyboard.press("Escape");
  assert.equal(await isNamed("bob"), false);
  assert.equal(await alice.dot("bob").evaluate((it) => it === document.activeElement), true);
});

test("a finger brings a name up, and takes it away by a tap elsewhere", async (t) => {
  const look = { hasTouch: true, viewport: { width: 320, height: 568 } };
  const alice = await stage.visit(t, "alice", { look });
  await stage.visit(t, "bob");
  await alice.sees(["alice", "bob"]);
  const isNamed = async () => {
    const box = await alice.dot("bob").locator(".presence-label").boundingBox();
    return (box?.width ?? 0) > 10;
  };
  assert.equal(await isNamed(), false);
  await alice.dot("bob").tap();
  await until("it is loaded", isNamed);
  await alice.page.waitForTimeout(100);
  assert.ok(await isNamed(), "it stays when the finger is lifted");
  await alice.page.touchscreen.tap(160, 400);
  await until("it is gone", async () => !(await isNamed()));
});

test("an open list follows those who come and go, and keeps its place", async (t) => {
  const alice = await stage.visit(t, "alice");
  await alice.sees(["alice"]);
  const peers = await fill(t);
  await alice.page.getByText("12 here", { exact: true }).waitFor();
  await alice.page.getByRole("button", { name: "+7 more" }).click();
  await opened(alice);
  await alice.page.evaluate("document.querySelector('.presence-list > li').mark = true");

  await peers.at(-1)?.close(1001);
  await alice.page.getByRole("button", { name: "+6 more" }).waitFor();
  assert.deepEqual(await listed(alice), NAMES.slice(4, -1));
  await Peer.join(stage.relay, "zoe", stage.key(t));
  await alice.page.getByRole("button", { name: "+7 more" }).waitFor();
  assert.deepEqual(await listed(alice), [...NAMES.slice(4, -1), "zoe"]);
  const first = await alice.page.evaluate("document.querySelector('.presence-list > li').mark");
  assert.equal(first, true, "who stays has the same element");

  // Whoever has a dot leaves: the first of the list takes the place.
  await peers[0]?.close(1001);
  await alice.page.getByRole("button", { name: "+6 more" }).waitFor();
  assert.deepEqual(await listed(alice), [...NAMES.slice(5, -1), "zoe"]);
  await alice.dot("frank").waitFor();
});

test("another language leaves an open list open, and the focus where it is", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key: stage.key(t), token: mintToken("alice") });
  await fill(t);
  await alice.page.getByRole("button", { name: "+7 more" }).click();
  await opened(alice);
  await alice.page.keyboard.press("ArrowDown");
  await alice.page.evaluate("window.focused = document.activeElement");
  await alice.page.evaluate(async () => {
    const { here } = /** @type {any} */ (window);
    here.messages = (await import(String("/sdk/locales/de.js"))).default;
  });
  await alice.page.getByText("12 hier", { exact: true }).waitFor();
  assert.ok(await alice.page.locator(".presence-list").isVisible());
  assert.equal(await alice.page.evaluate("document.activeElement === focused"), true);
  assert.equal(await alice.page.locator(".presence").getAttribute("lang"), "de");
  const note = alice.page.locator("[data-name=alice] .presence-note");
  assert.equal(await note.textContent(), " (du)");
});

test("who wants less motion gets none, and nothing flickers with high contrast", async (t) => {
  const look = /** @type {const} */ ({ reducedMotion: "reduce", forcedColors: "active" });
  const alice = await stage.visit(t, "alice", { look });
  const atFlash = await alice.atNextFlash((it) => ({
    nAnimations: document.getAnimations().length,
    opacity: getComputedStyle(it).opacity,
  }));
  await stage.visit(t, "bob");
  assert.deepEqual(await atFlash(), { nAnimations: 0, opacity: "1" });
  const border = await alice.dot("bob").evaluate((it) => getComputedStyle(it).borderTopWidth);
  assert.notEqual(border, "0px", "a dot has an outline, since its color may be taken away");
});

for (const forcedColors of /** @type {const} */ (["none", "active"])) {
  test(`each state has a look of its own that isn't a color: forced colors ${forcedColors}`, async (t) => {
    const key = stage.key(t);
    const alice = await stage.blank(t, "alice", { look: { forcedColors } });
    await alice.enter({ key, token: mintToken("alice") });
    await alice.dot("alice").waitFor();
    // How it looks only: that each state comes about is what the tests of drops and of hidden tabs are for.
    const looks = await alice.page.evaluate(() => {
      const dot = /** @type {HTMLElement} */ (document.querySelector(".presence-dot"));
      const bar = /** @type {HTMLElement} */ (dot.closest(".presence"));
      const look = () => {
        const { borderTopStyle, borderTopWidth } = getComputedStyle(dot);
        return `${borderTopStyle} ${borderTopWidth} ${getComputedStyle(bar).filter}`;
      };
      const states = ["active", "away", "reconnecting"].map((state) => {
        dot.dataset.state = state;
        return look();
      });
      dot.dataset.state = "active";
      bar.dataset.state = "stale";
      return [...states, look()];
    });
    assert.equal(new Set(looks).size, 4, looks.join("; "));
  });
}

/** Runs in the page: how far the edge of each dot is from what is behind it, and its letter from the dot. */
function contrasts() {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  if (canvas === null) throw new Error("there is no canvas");
  const luminance = (/** @type {string[]} */ ...colors) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    const [r = 0, g = 0, b = 0] = [...canvas.getImageData(0, 0, 1, 1).data].map((it) => {
      const channel = it / 255;
      return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (/** @type {number} */ one, /** @type {number} */ other) =>
    (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  const ground = getComputedStyle(document.body).backgroundColor;
  return [...document.querySelectorAll(".presence-dot")].map((dot) => {
    const { borderTopColor, backgroundColor, color, outlineColor, outlineStyle } =
      getComputedStyle(dot);
    const inside = luminance(ground, backgroundColor);
    const around = luminance(ground);
    return {
      name: dot.getAttribute("data-name"),
      // What is inside shows as well as its edge does.
      edge: Math.max(contrast(luminance(ground, borderTopColor), around), contrast(inside, around)),
      ring: outlineStyle === "none" ? 0 : contrast(luminance(ground, outlineColor), around),
      letter: contrast(luminance(ground, backgroundColor, color), inside),
    };
  });
}

/**
 * Has the page written from right to left.
 *
 * @param {import("../support/browser.mjs").Viewer} viewer
 */
async function turn({ page }) {
  await page.evaluate(() => document.documentElement.setAttribute("dir", "rtl"));
}

/**
 * What of the bar can't be seen because the window ends.
 *
 * @param {import("../support/browser.mjs").Viewer} viewer
 */
async function sticksOut({ page }) {
  return page.evaluate(() => {
    const parts = document.querySelectorAll(
      ".presence-dots > li, .presence-count, .presence-dot[data-named] > .presence-label, .presence-list",
    );
    const { clientWidth, scrollWidth } = document.documentElement;
    const out = [...parts].filter((it) => {
      const { left, right } = it.getBoundingClientRect();
      return left < 0 || right > clientWidth;
    });
    return [...out.map((it) => it.className), ...(scrollWidth > clientWidth ? ["the page"] : [])];
  });
}

/**
 * Fills the test's document with eleven others.
 *
 * @param {import("node:test").TestContext} t
 */
async function fill(t) {
  /** @type {Peer[]} */
  const peers = [];
  for (const name of NAMES) peers.push(await Peer.join(stage.relay, name, stage.key(t)));
  t.after(() => Promise.all(peers.map((peer) => peer.isOpen && peer.close(1001))));
  return peers;
}

/** Waits for the list: what opens it is loaded with the first touch of the bar. @param {import("../support/browser.mjs").Viewer} viewer */
function opened(viewer) {
  return viewer.page.locator(".presence-list").waitFor();
}

/** @param {import("../support/browser.mjs").Viewer} viewer */
function listed(viewer) {
  return viewer.page.locator(".presence-list .presence-name").allTextContents();
}

/**
 * What axe has to say about a page, one line for each.
 *
 * @param {import("../support/browser.mjs").Viewer} viewer
 * @returns {Promise<string[]>}
 */
async function violations({ page }) {
  // What is on its way in or out is paler than it is for those who read it.
  await page.evaluate(() => {
    for (const animation of document.getAnimations()) {
      animation.pause();
      animation.currentTime = 1000;
    }
  });
  // Through the debugger, for the page's policy lets no script in from elsewhere.
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { violations, passes } = await /** @type {any} */ (window).axe.run();
    if (passes.length < 10) return ["it hasn't looked at much"];
    return violations.flatMap((/** @type {any} */ { id, help, nodes }) =>
      nodes.map((/** @type {any} */ { html }) => `${id}: ${help}: ${html}`),
    );
  });
  await page.evaluate(() => {
    for (const animation of document.getAnimations()) animation.play();
  });
  return found;
}
