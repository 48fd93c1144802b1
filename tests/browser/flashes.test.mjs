// @ts-check
//
// That flashes are calm: one sentence for those who come together, time to read it, one announcement.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { Peer } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

/** @typedef {import("../support/browser.mjs").Viewer} Viewer */

const stage = new Stage();

test("several who come or go in one second are one sentence, which is read out once", async (t) => {
  const alice = await entered(t);
  await listen(alice);
  const others = await Promise.all(
    ["bob", "carol", "dave", "erin"].map((name) => Peer.join(stage.relay, name, stage.key(t))),
  );
  const joined = alice.page.locator(".presence-flash[data-kind=joined]");
  await joined.filter({ hasText: "2 others" }).waitFor();
  assert.match((await joined.textContent()) ?? "", /^\w+, \w+ and 2 others joined$/);
  assert.equal(await joined.count(), 1);
  await until("it is read out", async () => (await heard(alice)).length === 1);
  const [text] = await heard(alice);
  assert.equal(text, await joined.textContent(), "what is read out is what is shown");

  await Promise.all(others.map((it) => it.close(1001)));
  await until("their leaving is read out", async () => (await heard(alice)).length > 1, 10_000);
  assert.match((await heard(alice))[1] ?? "", /^\w+, \w+ and 2 others left$/);
  await joined.waitFor({ state: "detached" });
  assert.equal((await heard(alice)).length, 2, "nothing is read out twice");
});

test("each of the first three of a sentence has a dot of their own color", async (t) => {
  const alice = await entered(t);
  await alice.page.evaluate(() => {
    const most = /** @type {unknown[]} */ ([]);
    Object.assign(window, { most });
    new MutationObserver(() => {
      for (const flash of document.querySelectorAll(".presence-flash")) {
        const dots = [...flash.querySelectorAll(".presence-flash-dot")];
        most.push([flash.textContent, ...dots.map((it) => getComputedStyle(it).backgroundColor)]);
      }
    }).observe(document, { subtree: true, childList: true });
  });
  const colors = ["#ff0000", "#00ff00", "#0000ff", "#123456"];
  for (const [at, color] of colors.entries()) {
    const peer = await Peer.open(stage.relay);
    await peer.hello(mintToken({ sub: `u${at}`, color }));
    await peer.join(stage.key(t));
  }
  const seen = () =>
    alice.page.evaluate(() => /** @type {any[][]} */ (/** @type {any} */ (window).most));
  const all = "u0, u1 and 2 others joined";
  await until("all have come", async () => (await seen()).some(([text]) => text === all));
  const [red, green, blue] = ["rgb(255, 0, 0)", "rgb(0, 255, 0)", "rgb(0, 0, 255)"];
  const wanted = {
    "u0 joined": [red],
    "u0 and u1 joined": [red, green],
    [all]: [red, green, blue],
  };
  for (const [text, dots] of Object.entries(wanted)) {
    const found = (await seen()).find(([it]) => it === text);
    assert.deepEqual(found?.slice(1), dots, text);
  }
});

test("a sentence reads in the direction of its words, whatever the page's is", async (t) => {
  const alice = await entered(t);
  await alice.page.evaluate(() => document.documentElement.setAttribute("dir", "rtl"));
  const bob = await Peer.open(stage.relay);
  await bob.hello(mintToken({ sub: "bob", name: "علي" }));
  await bob.join(stage.key(t));
  assert.equal(await directionOf(alice, "joined"), "ltr", "a name doesn't turn it");

  await alice.page.evaluate(async () => {
    document.documentElement.setAttribute("dir", "ltr");
    const here = /** @type {any} */ (window).here;
    here.messages = (await import(String("/sdk/locales/ar.js"))).default;
  });
  await Peer.join(stage.relay, "carol", stage.key(t));
  assert.equal(await directionOf(alice, "carol"), "rtl");
});

/**
 * The direction of a flash, looked at as soon as it is there: it doesn't stay.
 *
 * @param {Viewer} viewer
 * @param {string} text that it has
 */
async function directionOf(viewer, text) {
  const direction = await viewer.page.waitForFunction((text) => {
    const flashes = [...document.querySelectorAll(".presence-flash")];
    const flash = flashes.find((it) => it.textContent?.includes(text));
    return flash !== undefined && getComputedStyle(flash).direction;
  }, text);
  return direction.jsonValue();
}

test("what is read out is out of sight, and takes no room", async (t) => {
  const alice = await entered(t);
  await Peer.join(stage.relay, "bob", stage.key(t));
  const line = alice.page.locator(".presence-said > div");
  await line.waitFor({ state: "attached" });
  const box = await alice.page.locator(".presence-said").boundingBox();
  assert.deepEqual([box?.width, box?.height], [1, 1]);
  await alice.assertClean();
});

test("in a narrow window only a long name is cut", async (t) => {
  const alice = await entered(t, {}, { viewport: { width: 320, height: 640 } });
  for (const name of ["n".repeat(250), "bob", "carol", "dave"]) {
    const peer = await Peer.open(stage.relay);
    await peer.hello(mintToken({ sub: name.slice(0, 9), name }));
    await peer.join(stage.key(t));
  }
  const seen = await alice.page.waitForFunction(() => {
    const flash = document.querySelector(".presence-flash");
    if (!flash?.textContent?.includes("bob and 2 others joined")) return undefined;
    const names = [...flash.querySelectorAll(".presence-flash-name")];
    const { left, right } = flash.getBoundingClientRect();
    return { isCut: names.map((it) => it.scrollWidth > it.clientWidth), left, right };
  });
  const { isCut, left, right } = (await seen.jsonValue()) ?? {};
  assert.deepEqual(isCut, [true, false]);
  assert.ok(Number(left) >= 0 && Number(right) <= 320, `${left} to ${right}`);
});

test("a reload is heard and seen by nobody", async (t) => {
  const alice = await entered(t);
  await listen(alice);
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  await until("bob is read out", async () => (await heard(alice)).length === 1);
  await bob.close(1001);
  await alice.page.locator(".presence-flash[data-kind=left]").waitFor();
  await Peer.join(stage.relay, "bob", stage.key(t));
  await alice.page.locator(".presence-flash[data-kind=left]").waitFor({ state: "detached" });
  const carol = await Peer.join(stage.relay, "carol", stage.key(t));
  await until("carol is read out", async () => (await heard(alice)).length > 1);
  await carol.close(1001);
  await until("carol's leaving is read out", async () => (await heard(alice)).length > 2, 10_000);
  await until("it is told, too", async () => (await told(alice)).length > 2);
  assert.deepEqual(await heard(alice), ["bob joined", "carol joined", "carol left"]);
  assert.deepEqual(await told(alice), ["bob joined", "carol joined", "carol left"]);
});

for (const way of ["pointer", "focus"]) {
  test(`a flash stays under the ${way}, and goes some time after`, async (t) => {
    const alice = await entered(t);
    await Peer.join(stage.relay, "bob", stage.key(t));
    const flash = alice.page.locator(".presence-flash");
    await flash.waitFor();
    if (way === "pointer") await flash.hover();
    else await flash.focus();
    await alice.page.waitForTimeout(5000);
    assert.equal(await flash.textContent(), "bob joined");
    const opacity = await flash.evaluate((it) => getComputedStyle(it).opacity);
    assert.equal(opacity, "1", "it hasn't begun to fade either");
    if (way === "pointer") await alice.page.mouse.move(0, 0);
    else await flash.blur();
    await flash.waitFor({ state: "detached" });
  });
}

for (const way of ["pointer", "focus"]) {
  test(`five that come later neither push away nor move the flash that is read by ${way}`, async (t) => {
    const alice = await entered(t);
    await Peer.join(stage.relay, "bob", stage.key(t));
    const flash = alice.page.locator(".presence-flash", { hasText: "bob joined" });
    if (way === "pointer") await flash.hover();
    else await flash.focus();
    // It comes up from below.
    await until("it is in its place", () =>
      flash.evaluate((it) =>
        it
          .getAnimations()
          .every((one) => /** @type {any} */ (one).animationName !== "presence-flash-in"),
      ),
    );
    const place = () => flash.evaluate((it) => it.getBoundingClientRect().top + scrollY);
    const before = await place();
    for (const name of ["c", "d", "e", "f", "g"]) {
      // Or it would go into the same sentence.
      await alice.page.waitForTimeout(1100);
      await Peer.join(stage.relay, name, stage.key(t));
      await alice.page.locator(".presence-flash", { hasText: `${name} joined` }).waitFor();
      await until("it is where it was", async () => (await place()) === before);
    }
    assert.equal(await alice.page.locator(".presence-flash").count(), 5);
    assert.ok(await flash.isVisible());
    if (way === "pointer") {
      assert.ok(await flash.evaluate((it) => it.matches(":hover")));
      await alice.page.mouse.move(0, 0);
    } else {
      await flash.blur();
    }
    await flash.waitFor({ state: "detached" });
  });
}

test("a flash that is withdrawn gives the focus back", async (t) => {
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  const alice = await entered(t);
  await alice.sees(["alice", "bob"]);
  await alice.dot("alice").focus();
  await bob.close(1001);
  const left = alice.page.locator(".presence-flash[data-kind=left]");
  await left.focus();
  await Peer.join(stage.relay, "bob", stage.key(t));
  await left.waitFor({ state: "detached" });
  const focused = await alice.page.evaluate("document.activeElement.dataset.name");
  assert.equal(focused, "alice");
});

test("of two areas only one is read out", async (t) => {
  const alice = await entered(t);
  await alice.page.evaluate(() => {
    const second = Object.assign(document.createElement("div"), { id: "second" });
    document.body.append(second);
    /** @type {any} */ (window).here.flash(second);
  });
  await listen(alice);
  for (const [i, name] of ["bob", "carol"].entries()) {
    await Peer.join(stage.relay, name, stage.key(t));
    for (const area of ["#flash", "#second"]) {
      await alice.page.locator(`${area} .presence-flash`, { hasText: `${name} joined` }).waitFor();
    }
    await until(`${name} is read out`, async () => (await heard(alice)).length > i);
  }
  assert.deepEqual(await heard(alice), ["bob joined", "carol joined"]);
});

test("the keyboard reaches a flash", async (t) => {
  const alice = await entered(t);
  await Peer.join(stage.relay, "bob", stage.key(t));
  const flash = alice.page.locator(".presence-flash");
  await flash.waitFor();
  await alice.dot("bob").focus();
  await alice.page.keyboard.press("Tab");
  assert.equal(await flash.evaluate((it) => it === document.activeElement), true);
  assert.equal(await flash.evaluate((it) => getComputedStyle(it).outlineStyle), "solid");
});

test("above a number of people nothing flashes, and each kind can be switched off", async (t) => {
  const alice = await entered(t, { joins: true, leaves: false, muteAbove: 2 });
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  await alice.hasFlashed(["bob joined"]);
  const carol = await Peer.join(stage.relay, "carol", stage.key(t));
  await alice.sees(["alice", "bob", "carol"]);
  await carol.close(1001);
  await bob.close(1001);
  await alice.sees(["alice"]);
  await Peer.join(stage.relay, "dave", stage.key(t));
  await alice.hasFlashed(["bob joined", "dave joined"]);
});

test("the tag takes the same options, refuses wrong ones, and tells the page what it would flash", async (t) => {
  const alice = await stage.visit(t, "alice", { path: "/" });
  await alice.page.evaluate(
    async ([key, token]) => {
      /** @type {string[]} */
      const told = [];
      Object.assign(window, { told });
      document.addEventListener("whoshere-flash", (event) => {
        const { kind, members, text } = /** @type {CustomEvent} */ (event).detail;
        told.push(`${kind} ${members[0].name}: ${text}`);
      });
      document.addEventListener("whoshere-error", (event) => {
        event.preventDefault();
        told.push(/** @type {CustomEvent} */ (event).detail.message);
      });
      await import("/sdk/element.js");
      const element = Object.assign(document.createElement("whos-here"), { token });
      const attributes = { url: "/v1/presence", key, locale: "de", flash: '{"muteAbove": "2"}' };
      for (const [name, value] of Object.entries(attributes)) {
        element.setAttribute(name, String(value));
      }
      document.body.append(element);
    },
    [stage.key(t), mintToken("alice")],
  );
  await until("the mistake is told", async () => (await told(alice)).length === 1);
  assert.match((await told(alice))[0] ?? "", /^muteAbove: /);
  const set = (/** @type {string} */ flash) =>
    alice.page.evaluate(
      (it) => document.querySelector("whos-here")?.setAttribute("flash", it),
      flash,
    );
  await set("{");
  await until("the mistake is told", async () => (await told(alice)).length === 2);
  assert.match((await told(alice))[1] ?? "", /^flash: /);

  await set('{"muteAbove": 2, "leaves": false}');
  await alice.page.locator("whos-here [part=flashes][role=status]").waitFor({ state: "attached" });
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  await alice.page
    .locator("whos-here .presence-flash", { hasText: "bob ist jetzt hier" })
    .waitFor();
  await until("bob is told", async () => (await told(alice)).length === 3);
  assert.equal((await told(alice))[2], "joined bob: bob ist jetzt hier");
  const carol = await Peer.join(stage.relay, "carol", stage.key(t));
  await carol.close(1001);
  await bob.close(1001);
  await alice.page.locator("whos-here .presence-count", { hasText: "1 hier" }).waitFor();
  assert.equal(await alice.page.locator("whos-here .presence-flash").count(), 0);
  assert.equal((await told(alice)).length, 3);
});

/**
 * A page that is live, with a flash area and what it tells written down.
 *
 * @param {import("node:test").TestContext} t
 * @param {object} [options] those of the flashes
 * @param {import("playwright-core").BrowserContextOptions} [look]
 */
async function entered(t, options, look = {}) {
  const alice = await stage.blank(t, "alice", { look });
  await alice.page.evaluate(
    async ([key, token, options]) => {
      const { connect } = await import("/sdk/index.js");
      const here = await connect({ url: "/v1/presence", key: String(key), token: String(token) });
      here.bar("#bar");
      const rules = /** @type {import("../../client-wasm/index.js").FlashOptions} */ (options);
      here.flash("#flash", rules);
      /** @type {string[]} */
      const told = [];
      here.on("flash", ({ text }) => void told.push(text), rules);
      await here.ready;
      Object.assign(window, { here, told });
    },
    /** @type {const} */ ([stage.key(t), mintToken("alice"), options ?? {}]),
  );
  return alice;
}

/** Writes down what a screen reader would read of the page's live regions. @param {Viewer} viewer */
async function listen(viewer) {
  await viewer.page.evaluate(() => {
    /** @type {string[]} */
    const heard = [];
    Object.assign(window, { heard });
    const isLive = (/** @type {Node | null} */ node) => {
      const element = node instanceof Element ? node : node?.parentElement;
      const region = element?.closest("[aria-live], [role=status]");
      return region !== null && region?.getAttribute("aria-live") !== "off";
    };
    new MutationObserver((changes) => {
      for (const { type, target, addedNodes } of changes) {
        if (!isLive(target)) continue;
        const nodes = type === "characterData" ? [target] : [...addedNodes].filter(isLive);
        heard.push(...nodes.map((it) => it.textContent ?? ""));
      }
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
}

/** @param {Viewer} viewer @returns {Promise<string[]>} */
async function heard(viewer) {
  return viewer.page.evaluate("window.heard");
}

/** @param {Viewer} viewer @returns {Promise<string[]>} */
async function told(viewer) {
  return viewer.page.evaluate("window.told");
}
