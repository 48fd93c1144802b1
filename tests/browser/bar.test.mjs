// @ts-check
//
// What a page can say of its bar: how its dots look, and where one's own is.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { Peer } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

/** @typedef {import("../support/browser.mjs").Viewer} Viewer */

const stage = new Stage();

test("a dot shows the picture, the initial or nothing, and what isn't shown isn't fetched", async (t) => {
  const key = stage.key(t);
  const alice = await stage.blank(t, "alice");
  let nFetched = 0;
  await alice.page.route("**/bob.svg", (route) => {
    nFetched += 1;
    return route.fulfill({
      contentType: "image/svg+xml",
      body: '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>',
    });
  });
  await alice.enter({ key, token: mintToken("alice") });
  const bob = await Peer.open(stage.relay);
  await bob.hello(mintToken({ sub: "bob", avatar: "/bob.svg" }));
  await alice.page.evaluate(() => {
    document.querySelector("#bar .presence")?.remove();
    // As many a page has it, for its own pictures.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("img { display: block }");
    document.adoptedStyleSheets = [sheet];
  });
  /** @param {string} options */
  const looks = (options) =>
    alice.page.evaluate(`
      window.stop?.();
      window.stop = here.bar("#bar", ${options});
      [".presence-avatar", ".presence-initial"].map((it) =>
        document.querySelector(\`#bar [data-name=bob] \${it}\`)?.checkVisibility() ?? null)`);

  await alice.page.evaluate("window.stop = here.bar('#bar', { look: 'dots' })");
  await bob.join(key);
  await alice.sees(["alice", "bob"]);
  assert.deepEqual(await looks("{ look: 'dots' }"), [null, false]);
  assert.deepEqual(await looks("{ look: 'initials' }"), [null, true]);
  await alice.page.waitForTimeout(300);
  assert.equal(nFetched, 0);
  assert.deepEqual(await looks("{}"), [true, true]);
  await until("the picture is fetched", () => nFetched === 1);
  const letter = alice.page.locator("#bar [data-name=bob] .presence-initial");
  await letter.waitFor({ state: "hidden" });
  bob.send({ attention: { away: true } });
  await alice.seesAs("bob", "away");
  assert.equal(await letter.isVisible(), false, "nor is it seen through a picture that is faint");

  await looks("{ look: 'dots' }");
  await alice.page.emulateMedia({ forcedColors: "active" });
  const initial = alice.page.locator("[data-name=bob] .presence-initial");
  assert.ok(await initial.isVisible(), "without colors there is the initial");
  await bob.close(1001);
});

test("oneself is first, last, where one's age is, or nowhere, and always counted", async (t) => {
  const key = stage.key(t);
  await Peer.join(stage.relay, "bob", key);
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key, token: mintToken("alice") });
  for (const name of ["carol", "dave"]) await Peer.join(stage.relay, name, key);
  await alice.sees(["alice", "bob", "carol", "dave"]);
  const wanted = {
    age: ["bob", "alice", "carol", "+1", "dave"],
    first: ["alice", "bob", "carol", "+1", "dave"],
    last: ["bob", "carol", "alice", "+1", "dave"],
    hidden: ["bob", "carol", "dave"],
  };
  for (const [self, names] of Object.entries(wanted)) {
    await alice.page.evaluate((self) => {
      const { here } = /** @type {any} */ (window);
      document.querySelector("#bar")?.replaceChildren();
      here.bar("#bar", { max: 3, self });
      /** @type {HTMLElement | null} */ (document.querySelector(".presence-more-button"))?.click();
    }, self);
    const all = [...names, "4 here"].join();
    await until(`${all}: ${self}`, async () => (await shown(alice)).join() === all);
  }
});

test("whoever comes and goes, nobody else's dot is moved or made anew, oneself last", async (t) => {
  const key = stage.key(t);
  const bob = await Peer.join(stage.relay, "bob", key);
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key, token: mintToken("alice") });
  await alice.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    document.querySelector("#bar")?.replaceChildren();
    here.bar("#bar", { max: 3, self: "last" });
    /** @type {(string | undefined)[]} */
    const touched = [];
    const nameOf = (/** @type {any} */ node) => node.querySelector?.("[data-name]")?.dataset.name;
    new MutationObserver((changes) => {
      for (const { addedNodes, removedNodes } of changes) {
        touched.push(...[...addedNodes, ...removedNodes].map(nameOf));
      }
    }).observe(/** @type {Element} */ (document.querySelector(".presence-dots")), {
      childList: true,
    });
    Object.assign(window, { touched });
  });
  await Peer.join(stage.relay, "carol", key);
  await Peer.join(stage.relay, "dave", key);
  await until("dave is counted", async () => (await shown(alice)).at(-1) === "4 here");
  assert.deepEqual((await shown(alice)).slice(0, 3), ["bob", "carol", "alice"]);
  await bob.close(1001);
  await until("bob is gone", async () => (await shown(alice)).at(-1) === "3 here");
  assert.deepEqual((await shown(alice)).slice(0, 3), ["carol", "dave", "alice"]);
  const touched = /** @type {string[]} */ (await alice.page.evaluate("touched"));
  assert.ok(touched.includes("bob") && touched.includes("dave"), String(touched));
  assert.ok(!touched.includes("alice"), String(touched));
  assert.equal(touched.filter((it) => it === "carol").length, 1, "carol came, and stayed");
});

test("an option that makes no sense is an error that names it, of the function and of the tag", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key: stage.key(t), token: mintToken("alice") });
  /** @param {string} options */
  const refusal = (options) =>
    alice.page.evaluate(
      `(() => { try { here.bar("#bar", ${options}); } catch (it) { return [it.code, it.message]; } })()`,
    );
  for (const option of ["look", "self"]) {
    for (const value of ["'nose'", "null", "3"]) {
      const [code, message] = /** @type {any} */ (await refusal(`{ ${option}: ${value} }`));
      assert.equal(code, "bad_options");
      assert.match(message, new RegExp(`^${option}: must be one of `));
    }
  }

  await alice.page.evaluate(
    async (all) => {
      const tag = document.createElement("whos-here");
      for (const [name, value] of Object.entries(all)) tag.setAttribute(name, String(value));
      document.body.append(tag);
      await import("/sdk/element.js");
    },
    { url: "/v1/presence", "token-url": "/dev/token?user=zoe", key: stage.key(t), self: "nose" },
  );
  await until("the tag warns", () => alice.problems.join().includes("self: must be one of"));
  alice.problems.splice(0);
  /** @param {Record<string, string>} attributes */
  const tag = (attributes) =>
    alice.page.evaluate((attributes) => {
      const element = document.querySelector("whos-here");
      for (const [name, value] of Object.entries(attributes)) element?.setAttribute(name, value);
    }, attributes);
  await tag({ self: "first", look: "initials", max: "2" });
  const dots = alice.page.locator("whos-here .presence-dot");
  await until("the tag shows zoe first", async () => (await dots.count()) === 2);
  assert.equal(await dots.first().getAttribute("data-name"), "zoe");
  const look = alice.page.locator("whos-here [data-look=initials]");
  await look.waitFor();
});

test("who leaves fades out beside the list, which is shorter at once, and nobody else moves", async (t) => {
  const alice = await stage.visit(t, "alice");
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  await Peer.join(stage.relay, "carol", stage.key(t));
  await alice.sees(["alice", "bob", "carol"]);
  await alice.page.waitForFunction(() => document.getAnimations().length === 0);
  await alice.page.evaluate(() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(":root { --presence-fade: 2s }");
    document.adoptedStyleSheets = [sheet];
  });
  const before = await alice.dot("bob").boundingBox();
  await alice.dot("bob").focus();
  await bob.close(1001);
  await alice.sees(["alice", "carol"]);
  const ghost = alice.page.locator(".presence > .presence-leaving");
  const seen = await ghost.evaluate((it) => ({
    text: it.textContent,
    hidden: it.ariaHidden,
    focusable: it.hasAttribute("tabindex"),
  }));
  assert.deepEqual(seen, { text: "b", hidden: "true", focusable: false });
  const [moving, left] = await ghost.evaluate((it) => {
    const all = [...document.querySelectorAll(".presence *")];
    const moving = all.filter((it) => it.getAnimations().length > 0);
    const { left } = getComputedStyle(it);
    const { left: bar = 0 } = it.parentElement?.getBoundingClientRect() ?? {};
    return [moving.length, bar + Number.parseFloat(left)];
  });
  assert.equal(moving, 1, "nobody else moves");
  assert.ok(Math.abs(left - (before?.x ?? 0)) < 1, `it fades at ${left}, and was at ${before?.x}`);
  assert.equal(
    await alice.page.locator(".presence").ariaSnapshot(),
    `- group "Who is here":
  - list:
    - listitem: alice (you)
    - listitem: carol
  - text: 2 here`,
  );
  await ghost.waitFor({ state: "detached" });
});

test("who wants less motion sees nobody fade out, nor does a tab that is behind others keep any", async (t) => {
  const alice = await stage.visit(t, "alice", { look: { reducedMotion: "reduce" } });
  await alice.page.evaluate(() => {
    /** @type {Node[]} */
    const left = [];
    const observer = new MutationObserver(() => {
      left.push(...document.querySelectorAll(".presence-leaving"));
    });
    observer.observe(document.body, { subtree: true, childList: true });
    Object.assign(window, { left });
  });
  for (const name of ["bob", "carol"]) {
    const peer = await Peer.join(stage.relay, name, stage.key(t));
    await alice.sees(["alice", name]);
    if (name === "carol") {
      await alice.page.emulateMedia({ reducedMotion: "no-preference" });
      await alice.page.evaluate(() => {
        Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
      });
    }
    await peer.close(1001);
    await alice.sees(["alice"]);
  }
  assert.equal(await alice.page.evaluate("left.length"), 0);
});

test("all of a long name is shown, and what is said of its owner behind it", async (t) => {
  const key = stage.key(t);
  const alice = await stage.blank(t, "alice", { look: { viewport: { width: 320, height: 600 } } });
  await alice.enter({ key, token: mintToken("alice") });
  for (const name of [`bob${"b".repeat(197)}`, "carol"]) {
    const peer = await Peer.open(stage.relay);
    await peer.hello(mintToken({ sub: name.slice(0, 5), name }));
    await peer.join(key);
    peer.send({ attention: { away: true } });
  }
  await until("both are away", async () =>
    Boolean(
      await alice.page.evaluate("here.members.filter((it) => it.state === 'away').length === 2"),
    ),
  );
  /** Whether what is said of the first of these is within what is seen of it. */
  const isShown = (/** @type {string} */ label) =>
    alice.page.evaluate((label) => {
      const [box, note] = [label, `${label} > .presence-note`].map((it) =>
        document.querySelector(it)?.getBoundingClientRect(),
      );
      if (!box || !note || note.width === 0) return false;
      return note.right <= box.right && note.bottom <= box.bottom && box.right <= innerWidth;
    }, label);
  await alice.page.locator(".presence-dot").nth(1).hover();
  await until("the name is there", () => isShown(".presence-dot[data-named] > .presence-label"));
  await alice.page.evaluate(() => {
    document.querySelector("#bar .presence")?.remove();
    /** @type {any} */ (window).here.bar("#bar", { max: 1 });
  });
  await alice.page.locator(".presence-more-button").click();
  await until("it is in the list", () => isShown(".presence-list .presence-label"));
});

test("nothing around the bar cuts or covers the list behind the button, wherever it is", async (t) => {
  const key = stage.key(t);
  const alice = await stage.blank(t, "alice", { look: { viewport: { width: 320, height: 600 } } });
  await alice.enter({ key, token: mintToken("alice") });
  for (const name of ["bob", "carol", "dave"]) await Peer.join(stage.relay, name, key);
  await alice.sees(["alice", "bob", "carol", "dave"]);
  await alice.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    const main = document.createElement("main");
    main.innerHTML = "<header><div></div></header><section>over it</section><footer></footer>";
    document.body.replaceChildren(main);
    const css = new CSSStyleSheet();
    css.replaceSync(`
      header { overflow: hidden; height: 40px; transform: scale(1); }
      section { position: relative; z-index: 9; height: 900px; background: gold; }
      footer { overflow: hidden; height: 40px; }
      button { cursor: pointer; }`);
    document.adoptedStyleSheets.push(css);
    here.bar("header > div", { max: 2 });
    here.bar("footer", { max: 2 });
  });
  // Whether each person in the list is what one would press there, and how far the list is from its button.
  const look = (/** @type {string} */ place) =>
    alice.page.evaluate((place) => {
      const list = /** @type {HTMLElement} */ (document.querySelector(`${place} .presence-list`));
      const button = document.querySelector(`${place} .presence-more-button`);
      const people = [...list.children].map((it) => {
        const { x, y, width, height } = it.getBoundingClientRect();
        const found = document.elementFromPoint(x + width / 2, y + height / 2);
        return it.contains(found);
      });
      const { top, bottom, left, right } = list.getBoundingClientRect();
      const around = /** @type {Element} */ (button).getBoundingClientRect();
      const isInside = left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight;
      const gap = Math.round(Math.max(top - around.bottom, around.top - bottom));
      return { people, isInside, gap };
    }, place);
  const wanted = { people: [true, true], isInside: true, gap: 8 };
  for (const dir of ["ltr", "rtl"]) {
    await alice.page.evaluate((dir) => document.documentElement.setAttribute("dir", dir), dir);
    for (const place of ["header", "footer"]) {
      const button = alice.page.locator(`${place} .presence-more-button`);
      await button.scrollIntoViewIfNeeded();
      await button.click();
      // What opens it is loaded with the first touch.
      await alice.page.locator(`${place} .presence-list`).waitFor();
      assert.deepEqual(await look(place), wanted, `${place} ${dir}`);
      // It goes with its button.
      await alice.page.mouse.move(160, 300);
      await alice.page.mouse.wheel(0, place === "header" ? 10 : -10);
      await until("it has scrolled", async () => {
        const { gap, people } = await look(place);
        const scrolled = await alice.page.evaluate("scrollY % 100");
        return gap === 8 && people.every(Boolean) && scrolled !== 0;
      });
      if (dir === "rtl") {
        const erin = await Peer.join(stage.relay, "erin", key);
        const grown = { people: [true, true, true], isInside: true, gap: 8 };
        await until("it has grown where it is", async () => {
          return JSON.stringify(await look(place)) === JSON.stringify(grown);
        });
        await erin.close(1001);
      }
      await alice.page.keyboard.press("Escape");
      assert.equal(await alice.page.locator(`${place} .presence-list`).isVisible(), false);
      await button.click();
      await alice.page.mouse.click(160, 590);
      assert.equal(await alice.page.locator(`${place} .presence-list`).isVisible(), false);
      await alice.page.evaluate(() => scrollTo(0, 0));
    }
  }
});

test("where there are no popovers the list is where it was", async (t) => {
  const key = stage.key(t);
  const alice = await stage.blank(t, "alice");
  await alice.page.evaluate("delete HTMLElement.prototype.showPopover");
  await alice.page.evaluate("delete HTMLElement.prototype.hidePopover");
  await alice.enter({ key, token: mintToken("alice") });
  for (const name of ["bob", "carol", "dave", "erin", "frank"]) {
    await Peer.join(stage.relay, name, key);
  }
  await alice.page.getByText("6 here", { exact: true }).waitFor();
  const button = alice.page.locator(".presence-more-button");
  await button.click();
  const list = alice.page.locator(".presence-list");
  await list.waitFor();
  const [from, box] = [await button.boundingBox(), await list.boundingBox()];
  assert.ok(from && box);
  const gap = Math.max(box.y - from.y - from.height, from.y - box.y - box.height);
  assert.equal(Math.round(gap), 8);
  await alice.page.keyboard.press("Escape");
  assert.equal(await list.isVisible(), false);
});

test("nothing around the bar cuts or covers a name, wherever it is", async (t) => {
  const key = stage.key(t);
  const alice = await stage.blank(t, "alice", { look: { viewport: { width: 320, height: 400 } } });
  await alice.enter({ key, token: mintToken("alice") });
  const bob = await Peer.open(stage.relay);
  await bob.hello(mintToken({ sub: "bob", name: "bob, whose name is longer than there is room" }));
  await bob.join(key);
  await until("both are here", async () => (await shown(alice)).at(-1) === "2 here");
  await alice.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    const main = document.createElement("main");
    main.innerHTML = "<header></header><section>over it</section><footer></footer>";
    document.body.replaceChildren(main);
    const css = new CSSStyleSheet();
    css.replaceSync(`
      header, footer { position: fixed; inset: 0 0 auto; overflow: hidden; height: 36px; }
      header { transform: scale(1); }
      footer { inset: auto 0 0; }
      section { position: fixed; z-index: 9; inset: 36px 0; background: gold; }`);
    document.adoptedStyleSheets.push(css);
    for (const place of ["header", "footer"]) here.bar(place);
  });
  for (const dir of ["ltr", "rtl"]) {
    await alice.page.evaluate((dir) => document.documentElement.setAttribute("dir", dir), dir);
    for (const place of ["header", "footer"]) {
      for (const dot of await alice.page.locator(`${place} .presence-dot`).all()) {
        await dot.hover();
        const label = dot.locator(".presence-label");
        await until(
          "the name is there",
          async () => ((await label.boundingBox())?.width ?? 0) > 10,
        );
        const seen = await label.evaluate((it) => {
          const { left, right, top, bottom, x, y, width, height } = it.getBoundingClientRect();
          const at = (/** @type {number} */ part) =>
            it.contains(document.elementFromPoint(x + width * part, y + height / 2));
          return {
            isInside: left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight,
            isOnTop: [0.1, 0.5, 0.9].every(at),
          };
        });
        assert.deepEqual(seen, { isInside: true, isOnTop: true }, `${place} ${dir}`);
        // From the dot to its name, over what would cover both.
        const [from, to] = [await dot.boundingBox(), await label.boundingBox()];
        assert.ok(from && to);
        await alice.page.mouse.move(from.x + from.width / 2, to.y + to.height / 2, { steps: 20 });
        assert.equal(await dot.getAttribute("data-named"), "", "the pointer may go on it");
        await alice.page.mouse.move(160, 200);
        assert.equal(await dot.getAttribute("data-named"), null);
      }
    }
  }
  await bob.close(1001);
});

test("a name that is up goes with its dot, and with who leaves", async (t) => {
  const key = stage.key(t);
  const bob = await Peer.join(stage.relay, "bob", key);
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key, token: mintToken("alice") });
  const carol = await Peer.join(stage.relay, "carol", key);
  await alice.sees(["alice", "bob", "carol"]);
  await alice.page.waitForFunction(() => document.getAnimations().length === 0);
  await alice.dot("carol").focus();
  const label = alice.page.locator(".presence-dot[data-named] > .presence-label");
  await label.waitFor();
  assert.equal(await label.locator(".presence-name").textContent(), "carol");
  const isBeside = () =>
    label.evaluate((it) => {
      const name = it.getBoundingClientRect();
      const dot = /** @type {Element} */ (it.parentElement).getBoundingClientRect();
      const middle = (/** @type {DOMRect} */ box) => (box.left + box.right) / 2;
      const gap = Math.max(name.top - dot.bottom, dot.top - name.bottom);
      return Math.abs(middle(name) - middle(dot)) < 2 && Math.abs(gap) < 2;
    });
  assert.ok(await isBeside());
  const before = await label.boundingBox();
  await bob.close(1001);
  await alice.sees(["alice", "carol"]);
  await until("it has gone with its dot", isBeside);
  assert.notEqual((await label.boundingBox())?.x, before?.x);
  await carol.close(1001);
  await alice.sees(["alice"]);
  assert.equal(await alice.page.locator("[popover]").count(), 0);
});

test("what heeds a touch is loaded with the first one, which isn't lost", async (t) => {
  /** @type {Record<string, (page: import("playwright-core").Page) => Promise<unknown>>} */
  const touches = {
    hover: (page) => page.locator(".presence-dot").first().hover(),
    tap: (page) => page.locator(".presence-dot").first().tap(),
    focus: (page) => page.keyboard.press("Tab"),
    click: (page) => page.locator(".presence-more-button").click(),
    // As a screen reader does, which moves neither pointer nor focus.
    press: (page) =>
      page.locator(".presence-more-button").evaluate((it) => /** @type {any} */ (it).click()),
    Enter: (page) => page.locator(".presence-more-button").press("Enter"),
    ArrowDown: (page) => page.locator(".presence-more-button").press("ArrowDown"),
  };
  const key = stage.key(t);
  for (const name of ["bob", "carol"]) await Peer.join(stage.relay, name, key);
  for (const [name, touch] of Object.entries(touches)) {
    const alice = await stage.blank(t, `alice-${name}`, { look: { hasTouch: true } });
    const { page } = alice;
    let nAsked = 0;
    /** @type {() => void} */
    let answer = () => {};
    const isTouched = new Promise((resolve) => {
      answer = () => resolve(undefined);
    });
    await page.route("**/touch.js", async (route) => {
      nAsked += 1;
      await isTouched;
      await route.continue();
    });
    await alice.enter({ key, token: mintToken("alice") });
    await page.evaluate(() => {
      document.body.replaceChildren();
      /** @type {any} */ (window).here.bar(document.body, { max: 1 });
    });
    const button = page.locator(".presence-more-button");
    await button.waitFor();
    assert.equal(await button.getAttribute("aria-expanded"), "false");
    assert.equal(nAsked, 0, "nobody has touched it");
    await touch(page);
    await until("it is asked for", () => nAsked === 1);
    answer();
    const isName = ["hover", "tap", "focus"].includes(name);
    await page.locator(isName ? ".presence-dot[data-named]" : ".presence-list").waitFor();
    await until(name, async () => (await page.locator("[popover]").count()) === 1);
    assert.equal(await button.getAttribute("aria-expanded"), String(!isName), name);
    if (name === "ArrowDown") {
      const focused = "document.activeElement.textContent";
      assert.match(String(await page.evaluate(focused)), /bob|carol/);
    }
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("[popover]").count(), 0, `Escape takes it away: ${name}`);
  }
});

test("a touch without a network is an error, and one with it does what it should have", async (t) => {
  const key = stage.key(t);
  const alice = await stage.blank(t, "alice");
  alice.mayLoseNetwork = true;
  let isUp = false;
  await alice.page.route("**/touch.js", (route) => (isUp ? route.continue() : route.abort()));
  await alice.enter({ key, token: mintToken("alice") });
  await alice.dot("alice").hover();
  await until("it is told", async () => (await alice.events()).includes("error load_failed"));
  isUp = true;
  await until("the name comes up", async () => {
    await alice.page.mouse.move(5, 5);
    await alice.dot("alice").hover();
    return (await alice.page.locator(".presence-dot[data-named]").count()) === 1;
  });
});

/** The names on the dots and behind the button, whose text is among them, and what is said beside. @param {Viewer} viewer */
function shown({ page }) {
  return page.evaluate(() => {
    const parts = "[data-name], .presence-more-button, .presence-count";
    return [...document.querySelectorAll(`#bar :is(${parts})`)].map(
      (it) => /** @type {HTMLElement} */ (it).dataset.name ?? it.textContent,
    );
  });
}
