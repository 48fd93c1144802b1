// @ts-check
//
// `<whos-here>` on a page with a strict content security policy and no script of its own.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { Peer } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

/** @typedef {import("../support/browser.mjs").Viewer} Viewer */

const stage = new Stage();

test("a page with nothing but the tag shows who is here, and flashes who comes", async (t) => {
  const guest = await stage.visit(t, "guest", { path: "/element.html" });
  await until("the bar is there", async () => (await shown(guest)).join() === "1 here,guest");
  const peer = await Peer.join(stage.relay, "bob", "page:element");
  await until("bob is seen", async () => (await shown(guest)).join() === "2 here,guest,bob");
  await guest.page.locator("whos-here .presence-flash", { hasText: "bob joined" }).waitFor();
  const size = await guest.page.locator("whos-here .presence-dot").first().boundingBox();
  assert.equal(size?.width, 32, "the styles apply in the shadow tree, with the size of demo.css");
  await peer.close(1001);
  await until("bob is gone", async () => (await shown(guest)).join() === "1 here,guest");
});

test("its key is filled in from data-*, and another value leaves the old key for the new one", async (t) => {
  const [old, next] = [stage.key(t), `${stage.key(t)}-next`];
  const alice = await tagged(t, "alice", { key: "document:{docId}", "data-doc-id": stage.doc(t) });
  const [inOld, inNext] = [
    await Peer.join(stage.relay, "bob", old),
    await Peer.join(stage.relay, "carol", next),
  ];
  const sees = async () => (await shown(alice)).toSorted().join();
  await until("alice sees bob", async () => (await sees()) === "2 here,alice,bob");
  await alice.page.evaluate(
    (id) => {
      document.querySelector("whos-here")?.setAttribute("data-doc-id", id);
    },
    `${stage.doc(t)}-next`,
  );
  await until("alice sees carol", async () => (await sees()) === "2 here,alice,carol");
  await until("alice has left", () => names(inOld, old) === "bob");
  assert.equal(names(inNext, next), "alice,carol");
});

test("taken out it leaves at once, and moved within the page it doesn't", async (t) => {
  const alice = await tagged(t, "alice", { key: stage.key(t) });
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  await until("alice is here", () => names(bob, stage.key(t)) === "alice,bob");
  const session = await alice.page.evaluate(() => {
    const element = /** @type {any} */ (document.querySelector("whos-here"));
    const before = element.here;
    element.remove();
    document.querySelector("main")?.append(element);
    return new Promise((resolve) => setTimeout(() => resolve(element.here === before), 200));
  });
  assert.equal(session, true, "it is the same presence");
  await alice.page.evaluate("document.querySelector('whos-here').remove()");
  await until("alice has left", () => names(bob, stage.key(t)) === "bob", 5000);
});

test("max and flash may change while it is here, and a page may set its meta", async (t) => {
  const alice = await tagged(t, "alice", { key: stage.key(t) });
  await until("alice is here", async () => (await shown(alice)).join() === "1 here,alice");
  for (const name of ["bob", "carol", "dave"]) await Peer.join(stage.relay, name, stage.key(t));
  await until("all are here", async () => (await shown(alice))[0] === "4 here");
  assert.equal(await alice.page.locator("whos-here .presence-flash").count(), 0);
  await set(alice, "max", "2");
  await alice.page.locator("whos-here").getByRole("button", { name: "+2 more" }).click();
  const list = alice.page.locator("whos-here .presence-list");
  await list.locator("li").first().click();
  assert.ok(await list.isVisible(), "a press on the list is none beside it");
  await alice.page.locator("h1").click();
  assert.ok(!(await list.isVisible()), "a press beside it closes it");
  await set(alice, "flash", "");
  await alice.page.locator("whos-here [part=flashes]").waitFor({ state: "attached" });
  const erin = await Peer.join(stage.relay, "erin", stage.key(t));
  await alice.page.locator("whos-here .presence-flash", { hasText: "erin joined" }).waitFor();

  const metaOf = (/** @type {string} */ meta) =>
    alice.page.evaluate(`document.querySelector("whos-here").meta = ${meta}`);
  await metaOf("{ section: 'goals', n: 1 }");
  await metaOf("{ n: 2 }");
  const meta = () =>
    alice.page.evaluate("JSON.stringify(document.querySelector('whos-here').here.self.meta)");
  await until("the meta has changed", async () => (await meta()) === '{"n":2}');
  await erin.close(1001);
});

test("it speaks another language as soon as it is told to, and nobody sees it leave", async (t) => {
  const alice = await tagged(t, "alice", { key: stage.key(t), locale: "de-AT", flash: "" });
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  const says = async () => (await shown(alice))[0];
  await until("it speaks German", async () => (await says()) === "2 hier");
  await alice.page.evaluate(() => {
    const element = /** @type {any} */ (document.querySelector("whos-here"));
    const own = document.createElement("div");
    element.after(own);
    element.here.bar(own);
    own.append("behind");
    Object.assign(window, { here: element.here, own });
  });
  const sessions = () => [...(bob.rosters.get(stage.key(t))?.presences.keys() ?? [])].join();
  const before = sessions();

  await set(alice, "locale", "en");
  await until("it speaks English", async () => (await says()) === "2 here");
  const own = await alice.page.evaluate("own.textContent");
  assert.match(String(own), /2 here.*behind$/, "so does the page's own bar, in its place");
  await alice.page.evaluate(
    "document.querySelector('whos-here').messages = { here: '{n} reading' }",
  );
  await until("it says its own words", async () => (await says()) === "2 reading");
  const carol = await Peer.join(stage.relay, "carol", stage.key(t));
  // Who leaves before that is said has never been here.
  const said = alice.page.locator("whos-here .presence-said", { hasText: "carol joined" });
  await said.waitFor({ state: "attached" });
  await set(alice, "locale", "ja");
  await set(alice, "locale", "de");
  await alice.page.evaluate("document.querySelector('whos-here').messages = undefined");
  await until("it speaks German again", async () => (await says()) === "3 hier");
  const group = alice.page.locator("whos-here").getByRole("group", { name: "Wer hier ist" });
  assert.equal(await group.count(), 1);
  await carol.close(1001);
  await alice.page
    .locator("whos-here .presence-flash", { hasText: "carol ist gegangen" })
    .waitFor();

  await set(alice, "locale", "tlh");
  await until("that isn't spoken", () => alice.problems.join().includes('no texts in "tlh"'));
  alice.problems.splice(0);
  await until("it is English instead", async () => (await says()) === "2 here");
  await alice.page.evaluate("document.querySelector('whos-here').messages = { hear: '' }");
  await until("the error is told", () => alice.problems.join().includes("messages.hear"));
  alice.problems.splice(0);
  assert.equal(await says(), "2 here");

  assert.equal(
    await alice.page.evaluate("document.querySelector('whos-here').here === here"),
    true,
  );
  await until("it is the same session all the time", () => sessions() === before);
});

test("its reader may have a picture of the page's own", async (t) => {
  const alice = await tagged(t, "alice", { key: stage.key(t) });
  await until("alice is here", async () => (await shown(alice)).join() === "1 here,alice");
  const dot = alice.page.locator("whos-here .presence-dot[data-name=alice]");
  const initial = dot.locator(".presence-initial");
  assert.ok(await initial.isVisible());
  await alice.page.evaluate(() => {
    const image = document.createElement("img");
    Object.assign(image, { src: "/icon.svg", alt: "", slot: "self" });
    document.querySelector("whos-here")?.append(image);
  });
  await until("the initial is gone", async () => !(await initial.isVisible()));
  const [inside, box] = [
    await alice.page.locator("whos-here > img").boundingBox(),
    await dot.boundingBox(),
  ];
  assert.ok(inside && box && inside.width > 20);
  assert.ok(Math.abs(inside.x - box.x) <= 2 && Math.abs(inside.width - box.width) <= 4);
  await alice.page.locator("whos-here > img").hover();
  await until("the pointer on it brings the name up", async () => {
    const name = await dot.locator(".presence-label").boundingBox();
    return (name?.width ?? 0) > 10;
  });
  await Peer.join(stage.relay, "bob", stage.key(t));
  await until("bob is here", async () => (await shown(alice))[0] === "2 here");
  const slots = await alice.page.locator("whos-here").evaluate((it) => {
    const slots = it.shadowRoot?.querySelectorAll("slot") ?? [];
    return [...slots].map((slot) => slot.closest("[data-name]")?.getAttribute("data-name"));
  });
  assert.deepEqual(slots, ["alice"], "nobody else's");
});

test("what happens is told in events that leave the shadow tree and bubble", async (t) => {
  const alice = await tagged(t, "alice", { key: stage.key(t) });
  await until("alice is ready", async () => (await told(alice)).includes("ready"));
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  await until("bob is told", async () => (await told(alice)).includes("join bob"));
  await bob.close(1001);
  await until("bob's leaving is told", async () => (await told(alice)).includes("leave bob"));
  const events = await told(alice);
  assert.ok(
    events.indexOf("ready") >= 0 && events.indexOf("ready") < events.indexOf("join bob"),
    String(events),
  );
});

test("what is wrong is an event and a warning, and setting it right mends it", async (t) => {
  const alice = await tagged(t, "alice", { key: "document:{doc_id}" });
  await until("the error is told", async () => (await told(alice)).includes("error missing_param"));
  assert.match(alice.problems.splice(0).join(), /data-doc_id is missing or empty/);
  await set(alice, "data-doc_id", String(stage.doc(t)));
  await until("alice is here", async () => (await shown(alice)).join() === "1 here,alice");
  await set(alice, "max", "none");
  await until("the error is told", async () => (await told(alice)).includes("error bad_options"));
  assert.match(alice.problems.splice(0).join(), /max/);
  await set(alice, "url", "");
  await until("the error is told", async () => alice.problems.join().includes("url: is missing"));
  assert.equal(alice.problems.splice(0).length, 1);
  assert.deepEqual(await shown(alice), []);
});

test("token-url may answer with JSON, and the token may be a function that the page sets", async (t) => {
  const alice = await stage.visit(t, "alice", { path: "/" });
  await alice.page.route("**/my-token", (route) =>
    route.fulfill({ json: { token: mintToken("alice") } }),
  );
  await add(alice, { key: stage.key(t), "token-url": "/my-token" });
  await until("alice is here", async () => (await shown(alice)).join() === "1 here,alice");

  const bob = await stage.visit(t, "bob", { path: "/" });
  await add(bob, { key: stage.key(t), "token-url": null });
  await bob.page.evaluate((token) => {
    Object.assign(document.querySelector("whos-here") ?? {}, { token: () => token });
  }, mintToken("bob"));
  await until("bob is here", async () => (await shown(bob)).join() === "2 here,alice,bob");
});

test("what a page sets before the tag is known counts, and so does what it sets later", async (t) => {
  const alice = await stage.visit(t, "alice", { path: "/" });
  const early = await alice.page.evaluate(
    async ([token, key]) => {
      const element = document.createElement("whos-here");
      element.setAttribute("url", "/v1/presence");
      element.setAttribute("key", String(key));
      const messages = { here: "{n} reading" };
      Object.assign(element, { token, messages, meta: { page: 1 } });
      document.querySelector("main")?.append(element);
      await import("/sdk/element.js");
      return Object.getOwnPropertyNames(element);
    },
    [mintToken("alice"), stage.key(t)],
  );
  assert.deepEqual(early, []);
  await until("alice is here", async () => (await shown(alice)).join() === "1 reading,alice");
  const meta = () =>
    alice.page.evaluate("JSON.stringify(document.querySelector('whos-here').here.self.meta)");
  assert.equal(await meta(), '{"page":1}');
  await alice.page.evaluate("document.querySelector('whos-here').meta = { page: 2 }");
  await until("the meta has changed", async () => (await meta()) === '{"page":2}');
});

test("another look makes another bar, and leaves the flashes what they are", async (t) => {
  const alice = await tagged(t, "alice", { key: stage.key(t), flash: "" });
  await alice.page.evaluate(`document.addEventListener("whoshere-flash", ({ detail }) => {
    told.push(detail.text);
  })`);
  await until("alice is ready", async () => (await told(alice)).includes("ready"));
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  await until("bob is announced", async () => (await told(alice)).includes("bob joined"));
  await bob.close(1001);
  const left = alice.page.locator("whos-here .presence-flash", { hasText: "bob left" });
  await left.waitFor();
  await left.evaluate((flash) => Object.assign(window, { flash }));
  await set(alice, "look", "dots");
  await alice.page.locator("whos-here .presence[data-look=dots]").waitFor();
  assert.equal(await alice.page.evaluate("flash.isConnected"), true, "it is the same node");
  const parts = () =>
    alice.page.evaluate(() => {
      const root = document.querySelector("whos-here")?.shadowRoot?.querySelector("div");
      return [...(root?.children ?? [])].map((it) => it.getAttribute("part")).join();
    });
  assert.equal(await parts(), "bar,flashes");
  await until("bob's leaving is told", async () => (await told(alice)).includes("bob left"));
});

test("data-presence-flash makes any element a flash area of the nearest or the named tag, also later", async (t) => {
  const alice = await tagged(t, "alice", { key: stage.key(t), id: "here" });
  await until("alice is here", async () => (await shown(alice)).join() === "1 here,alice");
  await alice.page.evaluate(() => {
    document
      .querySelector("main")
      ?.insertAdjacentHTML("beforeend", '<div id="a" data-presence-flash></div>');
    document.body.insertAdjacentHTML("beforeend", '<div id="b" data-presence-flash="here"></div>');
    document.body.insertAdjacentHTML(
      "beforeend",
      '<div id="c" data-presence-flash="nobody"></div>',
    );
  });
  await alice.page.locator("#b[role=status]").waitFor({ state: "attached" });
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  const position = "getComputedStyle(document.querySelector('#a')).position";
  await until("it looks like one", async () => (await alice.page.evaluate(position)) === "fixed");
  for (const id of ["a", "b"]) {
    await alice.page.locator(`#${id} .presence-flash`, { hasText: "bob joined" }).waitFor();
  }
  assert.equal(await alice.page.locator("#c").getAttribute("role"), null);
  await alice.page.evaluate("document.querySelector('#a').removeAttribute('data-presence-flash')");
  await alice.page.locator("#a[role]").waitFor({ state: "detached" });
  await bob.close(1001);
});

test("an element is bound to the nearest tag, and to the next one when that goes", async (t) => {
  const key = stage.key(t);
  const alice = await stage.visit(t, "alice", { path: "/" });
  await alice.page.evaluate(() => {
    document.querySelector("main")?.insertAdjacentHTML(
      "beforeend",
      `<section id="one"><textarea name="note" data-presence-typing></textarea></section>
       <section id="two"><textarea name="note" data-presence-typing></textarea></section>`,
    );
  });
  for (const at of ["one", "two"]) {
    await add(alice, { key: `${key}:${at}` });
    await alice.page.evaluate((at) => {
      const tag = /** @type {Element} */ (document.querySelector("main > whos-here"));
      document.getElementById(at)?.append(tag);
    }, at);
  }
  const line = (/** @type {string} */ at) => alice.page.locator(`#${at} .presence-typing-text`);
  const shows = (/** @type {string} */ at, /** @type {string} */ text) =>
    until(`${text} at ${at}`, async () => (await line(at).textContent()) === text);
  const [bob, carol] = await Promise.all(
    [
      ["bob", "one"],
      ["carol", "two"],
    ].map(async ([name = "", at]) => {
      const peer = await Peer.join(stage.relay, name, `${key}:${at}`);
      await peer.sees(["alice", name], `${key}:${at}`);
      return peer;
    }),
  );
  const type = (/** @type {Peer | undefined} */ peer, /** @type {string} */ at) =>
    peer?.send({ pulse: { key: `${key}:${at}`, name: "typing", value: JSON.stringify("note") } });
  type(bob, "one");
  type(carol, "two");
  await shows("one", "bob is typing…");
  await shows("two", "carol is typing…");
  await alice.page.evaluate("document.querySelector('#one > whos-here').remove()");
  type(carol, "two");
  await shows("one", "carol is typing…");
});

test("an area that the page has made one by itself shows each flash once", async (t) => {
  const alice = await tagged(t, "alice", { key: stage.key(t) });
  await until("alice is here", async () => (await shown(alice)).join() === "1 here,alice");
  await alice.page.evaluate(() => {
    const area = Object.assign(document.createElement("div"), { id: "own" });
    document.body.append(area);
    /** @type {any} */ (document.querySelector("whos-here")).here.flash(area);
    // Another that the tag is to bind, so that it has looked at both.
    document.body.insertAdjacentHTML("beforeend", '<div id="bound" data-presence-flash></div>');
  });
  await alice.page.locator("#bound .presence-said").waitFor({ state: "attached" });
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  for (const id of ["own", "bound"]) {
    const flash = alice.page.locator(`#${id} .presence-flash`, { hasText: "bob joined" });
    await flash.waitFor();
    assert.equal(await flash.count(), 1, id);
  }
  await bob.close(1001);
});

test("data-presence-typing tells and shows who types in a field, until it is taken away", async (t) => {
  const [alice, bob] = [await withHelpers(t, "alice"), await withHelpers(t, "bob")];
  await until("both are here", async () => (await shown(alice)).join() === "2 here,alice,bob");
  await bob.page.locator("#note").press("x");
  const line = alice.page.locator("#note + .presence-typing > .presence-typing-text");
  await until("alice is shown bob", async () => (await line.textContent()) === "bob is typing…");
  await bob.page.locator("#note").blur();
  await until("it is over", async () => (await line.textContent()) === "");
  await alice.page.evaluate("note.removeAttribute('data-presence-typing')");
  await line.waitFor({ state: "detached" });
});

test("what binds the page's elements is loaded again when that has failed", async (t) => {
  const alice = await stage.visit(t, "alice", { path: "/" });
  let nAsked = 0;
  await alice.page.route("**/js/binding.js", (route) => {
    nAsked += 1;
    return nAsked === 1 ? route.abort() : route.continue();
  });
  await alice.page.evaluate(() => {
    document
      .querySelector("main")
      ?.insertAdjacentHTML("beforeend", '<textarea id="note" data-presence-typing></textarea>');
  });
  await add(alice, { key: stage.key(t) });
  await alice.page.locator("#note + .presence-typing").waitFor({ state: "attached" });
  assert.equal(nAsked, 2);
  const problems = alice.problems.splice(0).join("\n");
  assert.match(problems, /a part of whoshere could not be loaded/);
});

test("data-presence-cursors tells and shows who points where on an element, until it is taken away", async (t) => {
  const [alice, bob] = [await withHelpers(t, "alice"), await withHelpers(t, "bob")];
  await until("both are here", async () => (await shown(alice)).join() === "2 here,alice,bob");
  const cursor = alice.page.locator(".presence-cursor");
  await until("alice sees where bob points", async () => {
    await bob.page.locator("#text").hover({ position: { x: 20 + Math.random() * 20, y: 8 } });
    return (await cursor.count()) === 1;
  });
  assert.equal(await cursor.textContent(), "bob");
  assert.ok(await cursor.locator(".presence-cursor-label").isVisible());
  await alice.page.evaluate("doc.removeAttribute('data-presence-cursors')");
  await cursor.waitFor({ state: "detached" });
});

test("data-presence-inspect shows in any element what the connection does, and is loaded for it alone", async (t) => {
  const alice = await withHelpers(t, "alice");
  await until("alice is here", async () => (await shown(alice)).join() === "1 here,alice");
  const isLoaded = () =>
    alice.page.evaluate(() =>
      performance.getEntriesByType("resource").some((it) => it.name.endsWith("/inspect.js")),
    );
  assert.equal(await isLoaded(), false);
  await alice.page.evaluate("doc.dataset.presenceInspect = ''");
  const panel = alice.page.locator("#doc").getByRole("region", { name: "whoshere inspector" });
  await panel.getByText(stage.key(t)).waitFor();
  await panel.getByRole("cell", { name: "alice (you)" }).waitFor();
  await alice.page.evaluate("delete doc.dataset.presenceInspect");
  await panel.waitFor({ state: "detached" });
});

test("it says in which language it speaks, and that names have none", async (t) => {
  const alice = await tagged(t, "alice", { key: stage.key(t), locale: "ja", flash: "" });
  await alice.page.evaluate(() => {
    const note = Object.assign(document.createElement("textarea"), { id: "note" });
    note.dataset.presenceTyping = "";
    document.querySelector("main")?.append(note);
  });
  await alice.page.locator("#note + .presence-typing").waitFor({ state: "attached" });
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  bob.send({ pulse: { key: stage.key(t), name: "typing", value: '"note"' } });
  for (const [selector, lang] of Object.entries({
    "whos-here .presence": "ja",
    "whos-here .presence-name": "",
    "whos-here .presence-flash": "ja",
    "whos-here .presence-flash-name": "",
    "whos-here .presence-said > div": "ja",
    ".presence-typing-text": "ja",
    ".presence-typing-name": "",
  })) {
    const it = alice.page.locator(selector).first();
    await it.waitFor({ state: "attached" });
    await until(selector, async () => (await it.getAttribute("lang")) === lang);
  }
});

test("whatever a presence tells, the tag tells, by the names that its types have", async (t) => {
  const types = readFileSync(new URL("../../client-wasm/index.d.ts", import.meta.url), "utf8");
  const own = readFileSync(new URL("../../client-wasm/element.d.ts", import.meta.url), "utf8");
  const [, events = ""] = /interface PresenceEvents \{(.*?)\n\}/s.exec(types) ?? [];
  const names = [...events.matchAll(/^ {2}(?:readonly )?(\w+):/gm)]
    .map(([, name]) => name)
    .toSorted();
  assert.ok(names.length > 7, String(names));
  const typed = [...own.matchAll(/"whoshere-(\w+)":/g)].map(([, name]) => name);
  assert.deepEqual(typed.filter((it) => it !== "ready").toSorted(), names);

  const key = stage.key(t);
  const alice = await stage.visit(t, "alice", { path: "/" });
  await alice.page.evaluate((names) => {
    const heard = new Set();
    Object.assign(window, { heard });
    for (const name of names) {
      document.addEventListener(`whoshere-${name}`, (event) => {
        event.preventDefault();
        heard.add(name);
      });
    }
  }, names);
  await add(alice, { key, max: 1, flash: "" });
  // Who is there before the first snapshot joins nobody.
  await until("alice is here", async () => (await shown(alice))[0] === "1 here");
  await alice.page.evaluate(() => {
    const parts = new Set();
    Object.assign(window, { parts });
    const root = /** @type {ShadowRoot} */ (document.querySelector("whos-here")?.shadowRoot);
    const look = () => {
      for (const it of root.querySelectorAll("[part]")) for (const part of it.part) parts.add(part);
    };
    new MutationObserver(look).observe(root, { subtree: true, childList: true });
    look();
  });
  await Peer.join(stage.relay, "carol", key);
  const bob = await Peer.open(stage.relay);
  const avatar = `${stage.relay.http}/icon.svg`;
  await bob.hello(mintToken({ sub: "bob", name: "bob", avatar }));
  await bob.join(key);
  await alice.page.locator("whos-here").getByRole("button", { name: "+2" }).click();
  bob.send({ update: { key, meta: { at: "cell:B7" } } });
  bob.send({ pulse: { key, name: "typing", value: "1" } });
  await set(alice, "locale", "tlh");
  const seen = async () => /** @type {string[]} */ (await alice.page.evaluate("[...heard].sort()"));
  const others = names.filter((it) => it !== "leave").join();
  await until("all but a leave are told", async () => `${await seen()}` === others);
  // Whose dot goes fades out.
  await set(alice, "self", "last");
  await set(alice, "max", "5");
  await until("bob has a dot", () =>
    alice.page.locator("whos-here .presence-dots [data-name=bob]").isVisible(),
  );
  await bob.close(1001);
  await until("all are told", async () => `${await seen()}` === `${names}`);
  const [, list = ""] = /and the parts (.*?)\.\n/s.exec(own) ?? [];
  const documented = [...list.matchAll(/`([\w-]+)`/g)].map(([, name]) => name);
  const parts = async () =>
    /** @type {string[]} */ (await alice.page.evaluate("[...parts, 'last-seen'].sort()"));
  await until(
    "all parts were there",
    async () => `${await parts()}` === `${documented.toSorted()}`,
  );
});

test("without dedupe its two tabs are two, and a key may be in data-key", async (t) => {
  const attributes = { "data-key": stage.key(t), dedupe: "none" };
  const [one, other] = [await tagged(t, "alice", attributes), await tagged(t, "alice", attributes)];
  for (const tab of [one, other]) {
    await until("both are there", async () => (await shown(tab)).join() === "2 here,alice,alice");
  }
});

test("after how long its reader is away is an attribute, and whether at all", async (t) => {
  const alice = await tagged(t, "alice", { key: stage.key(t), away: "1000" });
  await alice.page.locator("whos-here .presence-dot[data-state=away]").waitFor();
  await set(alice, "away", "false");
  await alice.page.locator("whos-here .presence-dot[data-state=active]").waitFor();
  await set(alice, "away", "soon");
  await until("it is an error", async () => (await told(alice)).includes("error bad_options"));
  assert.match(alice.problems.splice(0).join(), /idle: must be/);
});

test("its parts and custom properties give a page its own looks", async (t) => {
  const alice = await tagged(t, "alice", { key: stage.key(t) });
  await until("alice is here", async () => (await shown(alice)).join() === "1 here,alice");
  await alice.page.evaluate(() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(
      ":root { --presence-size: 40px } whos-here::part(dot) { border-radius: 3px }",
    );
    document.adoptedStyleSheets = [sheet];
  });
  const dot = alice.page.locator("whos-here .presence-dot");
  const look = await dot.evaluate((it) => [
    getComputedStyle(it).width,
    getComputedStyle(it).borderRadius,
  ]);
  assert.deepEqual(look, ["40px", "3px"]);
});

/**
 * A page with a tag that is made by script, and with what it tells written down.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} user
 * @param {Record<string, string | number | null>} attributes
 */
async function tagged(t, user, attributes) {
  const viewer = await stage.visit(t, user, { path: "/" });
  await add(viewer, attributes);
  return viewer;
}

/**
 * A page with a tag, and with a field and a document that are bound to it once it is there.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} user
 */
async function withHelpers(t, user) {
  const viewer = await stage.visit(t, user, { path: "/" });
  await viewer.page.evaluate(() => {
    document.querySelector("main")?.insertAdjacentHTML(
      "beforeend",
      `<article id="doc" data-presence-cursors><p id="text">What everybody reads.</p></article>
       <textarea id="note" data-presence-typing></textarea>`,
    );
  });
  await add(viewer, { key: stage.key(t) });
  await viewer.page.locator("#note + .presence-typing").waitFor({ state: "attached" });
  return viewer;
}

/**
 * @param {Viewer} viewer
 * @param {Record<string, string | number | null>} attributes
 */
async function add(viewer, attributes) {
  const all = { url: "/v1/presence", "token-url": `/dev/token?user=${viewer.name}`, ...attributes };
  await viewer.page.evaluate(async (all) => {
    /** @type {string[]} */
    const told = [];
    for (const name of ["ready", "join", "leave", "error"]) {
      document.addEventListener(`whoshere-${name}`, (event) => {
        const { detail } = /** @type {CustomEvent} */ (event);
        told.push([name, detail.member?.name ?? detail.code ?? ""].join(" ").trim());
      });
    }
    Object.assign(window, { told });
    const element = document.createElement("whos-here");
    for (const [name, value] of Object.entries(all)) {
      if (value !== null) element.setAttribute(name, String(value));
    }
    document.querySelector("main")?.append(element);
    await import("/sdk/element.js");
  }, all);
}

/** @param {Viewer} viewer @param {string} name @param {string} value */
async function set(viewer, name, value) {
  await viewer.page.evaluate(
    ([name, value]) =>
      document.querySelector("whos-here")?.setAttribute(String(name), String(value)),
    [name, value],
  );
}

/** @param {Viewer} viewer @returns {Promise<string[]>} */
async function told(viewer) {
  return viewer.page.evaluate("window.told");
}

/** What the tag's bar says: how many are here, and their names. @param {Viewer} viewer */
async function shown(viewer) {
  return viewer.page.evaluate(() => {
    const root = document.querySelector("whos-here")?.shadowRoot;
    const count = [...(root?.querySelectorAll(".presence-count") ?? [])].map(
      (it) => it.textContent,
    );
    const dots = [...(root?.querySelectorAll(".presence-dots > li > .presence-dot") ?? [])];
    return [...count, ...dots.map((it) => it instanceof HTMLElement && it.dataset.name)];
  });
}

/** Who is in a key, as another one knows. @param {Peer} peer @param {string} key */
function names(peer, key) {
  const presences = peer.rosters.get(key)?.presences.values() ?? [];
  return [...presences]
    .map(({ user }) => user.name ?? user.id)
    .toSorted()
    .join();
}
