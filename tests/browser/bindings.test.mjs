// @ts-check
//
// The bindings, mounted in a page with a strict content security policy: the same claims for each of them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ensureBundlers } from "../../scripts/setup/npm-packages.mjs";
import { Stage, until } from "../support/browser.mjs";
import { bundle } from "../support/bundle.mjs";
import { Peer } from "../support/peer.mjs";

/**
 * @typedef {import("../support/browser.mjs").Viewer} Viewer
 * @typedef {{ key: string, params?: Record<string, unknown>, meta?: Record<string, unknown>, mode?: string, max?: number }} Wish
 */

const FOLDER = fileURLToPath(new URL("bindings", import.meta.url));
const FILES = { react: "./react.jsx", vue: "./vue.mjs", svelte: "./svelte.mjs" };

/** The oldest ones that the package names as its peers. @param {string} installed their folder */
const oldest = (installed) =>
  /** @type {Record<string, Record<string, string>>} */ ({
    "react 18.2": {
      react: join(installed, "react-18"),
      "react-dom/server": join(installed, "react-dom-18/server.browser.js"),
      "react-dom": join(installed, "react-dom-18"),
    },
    "vue 3.3": {
      vue: join(installed, "vue-3.3/dist/vue.runtime.esm-bundler.js"),
      "vue/server-renderer": join(installed, "vue-3.3/server-renderer/index.mjs"),
    },
  });

/** How each is rendered on a server. */
const SERVERS = {
  react: 'import { render } from "./react.jsx"; render({ options, max: 3 }).then(console.log);',
  vue: 'import { render } from "./vue.mjs"; render({ options, max: 3 }).then(console.log);',
  svelte: `import { render } from "svelte/server";
    import { readable } from "svelte/store";
    import { presence } from "whoshere/svelte";
    import App from "./App.svelte";
    const props = { presence: presence(options), max: readable(3) };
    console.log(render(App, { props }).body);`,
};

const NAMES = [...Object.keys(FILES), ...Object.keys(oldest(""))];
const kindOf = (/** @type {string} */ name) =>
  /** @type {keyof typeof FILES} */ (name.split(" ")[0]);

const stage = new Stage();
/** @type {Record<string, string>} */
const modules = {};

before(async () => {
  const aliases = oldest(join(await ensureBundlers(), "node_modules"));
  for (const name of NAMES) {
    const contents = `export { mount } from "${FILES[kindOf(name)]}";`;
    modules[name] = await bundle(contents, FOLDER, { alias: aliases[name] });
  }
  modules["vue kept"] = await bundle('export { mount } from "./vue-kept.mjs";', FOLDER);
});

for (const name of NAMES) {
  test(`${name}: the bar, the flashes and the members are those of the key, entered once`, async (t) => {
    const bob = await Peer.join(stage.relay, "bob", stage.key(t));
    const { viewer, page, nSockets, nTokens } = await mounted(t, name, { key: stage.key(t) });
    await viewer.sees(["alice", "bob"]);
    await shows(page, "bob,alice");
    assert.equal(await page.locator("#people").getAttribute("data-self"), "alice");
    assert.equal(await page.locator("#people").getAttribute("data-state"), "live");
    assert.equal(await page.locator(".bar .presence").count(), 1);
    const carol = await Peer.join(stage.relay, "carol", stage.key(t));
    await page.locator(".flashes .presence-flash", { hasText: "carol joined" }).waitFor();
    await shows(page, "bob,alice,carol");
    await carol.close(1001);
    await shows(page, "bob,alice");
    assert.equal(await page.locator(".flashes .presence-flash").count(), 0, "leaves: false");

    await bob.heartbeat();
    const deltas = bob.received.filter((it) => it === "delta").length;
    assert.equal(deltas, 3, "alice came once, carol came and went");
    assert.deepEqual([nSockets(), nTokens()], [1, 1]);
  });

  test(`${name}: another key leaves the one and enters the other, on the same connection`, async (t) => {
    const [old, next] = [stage.key(t), `${stage.key(t)}-next`];
    const bob = await Peer.join(stage.relay, "bob", old);
    const { page, set, nSockets } = await mounted(t, name, { key: old });
    await shows(page, "bob,alice");
    const dave = await Peer.join(stage.relay, "dave", next);
    await set({ key: next });
    await shows(page, "dave,alice");
    await bob.sees(["bob"], old);
    await dave.sees(["alice", "dave"], next);
    assert.equal(await page.locator(".bar .presence").count(), 1);
    assert.equal(nSockets(), 1);
  });

  test(`${name}: rendered anew with another function and meta it stays, and tells the meta`, async (t) => {
    const key = stage.key(t);
    const { viewer, page, set, nSockets } = await mounted(t, name, { key, meta: { a: 1, b: 2 } });
    const bob = await Peer.join(stage.relay, "bob", key);
    await viewer.sees(["alice", "bob"]);
    const bar = await page.locator(".bar .presence").elementHandle();
    const metas = () => [...(bob.rosters.get(key)?.presences.values() ?? [])].map((it) => it.meta);
    await set({ key, meta: { b: 3 } });
    await bob.until("the meta has changed", () => JSON.stringify(metas()).includes('{"b":3}'));
    assert.ok(await bar?.evaluate((it) => it.isConnected), "the bar is the same one");
    await Peer.join(stage.relay, "carol", key);
    await set({ key, meta: { b: 3 }, max: 1 });
    await page.getByText("+2", { exact: true }).waitFor();
    assert.equal(nSockets(), 1);
    assert.deepEqual(bob.users(key), ["alice", "bob", "carol"]);
  });

  test(`${name}: another mode is taken over at once, and who is in the key stays`, async (t) => {
    const key = stage.key(t);
    const bob = await Peer.join(stage.relay, "bob", key);
    const { page, set, nSockets } = await mounted(t, name, { key, mode: "observe" });
    await shows(page, "bob");
    assert.equal(await page.locator("#people[data-self]").count(), 0);
    await set({ key });
    await bob.sees(["alice", "bob"], key);
    await shows(page, "bob,alice");
    await set({ key, mode: "observe" });
    await bob.sees(["bob"], key);
    await shows(page, "bob");
    assert.equal(nSockets(), 1);
  });

  test(`${name}: who else is typing is known as long as they do`, async (t) => {
    const key = stage.key(t);
    const bob = await Peer.join(stage.relay, "bob", key);
    const { page } = await mounted(t, name, { key });
    await shows(page, "bob,alice");
    bob.send({ pulse: { key, name: "typing", value: '"title"' } });
    await page.locator("#people[data-typing=bob]").waitFor({ state: "attached" });
    bob.send({ pulse: { key, name: "typing" } });
    await page.locator("#people:not([data-typing])").waitFor({ state: "attached" });
  });

  test(`${name}: taken away it leaves at once`, async (t) => {
    const bob = await Peer.join(stage.relay, "bob", stage.key(t));
    const { page } = await mounted(t, name, { key: stage.key(t) });
    await bob.sees(["alice", "bob"], stage.key(t));
    await page.evaluate("app.unmount()");
    await bob.sees(["bob"], stage.key(t), 3000);
    assert.equal(await page.locator(".presence").count(), 0);
  });

  test(`${name}: taken away while the SDK is being loaded it doesn't enter`, async (t) => {
    const bob = await Peer.join(stage.relay, "bob", stage.key(t));
    const { page } = await mounted(t, name, { key: stage.key(t) }, { isBrief: true });
    await page.waitForTimeout(500);
    await bob.heartbeat();
    assert.ok(!bob.received.includes("delta"));
  });

  test(`${name}: options that make no sense are told, and break nothing`, async (t) => {
    const wish = { key: "document:{id}", params: { id: 42n } };
    const { viewer, page, set } = await mounted(t, name, wish);
    await page.locator("#people[data-state=stopped]").waitFor({ state: "attached" });
    assert.match(viewer.problems.splice(0).join(), /"id" is missing or empty/);
    const key = stage.key(t);
    await set({ key, meta: { a: 1 } });
    await shows(page, "alice");
    /** @type {Record<string, unknown>} */
    const circular = { b: 2 };
    circular.it = circular;
    await set({ key, meta: circular });
    await until("it is told", async () => viewer.problems.length > 0);
    assert.match(viewer.problems.splice(0).join(), /meta must be plain JSON/);
    await set({ key, meta: { c: 3 } });
    const bob = await Peer.join(stage.relay, "bob", key);
    await shows(page, "alice,bob");
    const metas = () => [...(bob.rosters.get(key)?.presences.values() ?? [])].map((it) => it.meta);
    await bob.until("the meta is the last one", () => JSON.stringify(metas()).includes('{"c":3}'));
  });

  if (name !== kindOf(name)) continue;
  test(`${name}: a meta that was too large keeps nobody out once it is a good one`, async (t) => {
    const key = stage.key(t);
    const large = { a: "x".repeat(5000) };
    const { viewer, page, set } = await mounted(t, name, { key, meta: large });
    await page.locator("#people[data-state=stopped]").waitFor({ state: "attached" });
    assert.match(viewer.problems.splice(0).join(), /meta/);
    await set({ key, meta: { a: 1 } });
    await shows(page, "alice");
  });

  test(`${name}: on a server nobody is here, and nothing is done`, async () => {
    const script = await bundle(
      `const options = { url: "/v1/presence", key: "document:1", token: () => { throw new Error(); } };
       ${SERVERS[kindOf(name)]}`,
      FOLDER,
      { isForServer: true },
    );
    const html = execFileSync(process.execPath, ["-"], { input: script, encoding: "utf8" });
    const plain = html.replaceAll(/<!--.*?-->/g, "").trim();
    assert.match(plain, /^<div class="bar"><\/div>\s*<div [^>]*class="flashes"[^>]*><\/div>/);
    assert.match(plain, /<p id="people" data-state="connecting"><\/p>$/);
  });
}

test("vue: a page that <KeepAlive> puts aside leaves, and enters again with it", async (t) => {
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  const { page } = await mounted(t, "vue kept", { key: stage.key(t) });
  await bob.sees(["alice", "bob"], stage.key(t));
  await page.evaluate("app.show(false)");
  await bob.sees(["bob"], stage.key(t), 3000);
  await page.evaluate("app.show(true)");
  await bob.sees(["alice", "bob"], stage.key(t));
  await page.locator(".presence-dot").nth(1).waitFor();
  await page.evaluate("app.unmount()");
  await bob.sees(["bob"], stage.key(t), 3000);
});

test("vue: what is true or false may be written without a value", async (t) => {
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  const { viewer, page } = await mounted(t, "vue kept", { key: stage.key(t) });
  await page.locator(".presence-dot").nth(1).waitFor();
  await Peer.join(stage.relay, "carol", stage.key(t));
  await page.locator(".flashes .presence-flash", { hasText: "carol joined" }).waitFor();
  await bob.close(1001);
  await page.locator(".flashes .presence-flash", { hasText: "bob left" }).waitFor();
  assert.deepEqual(viewer.problems, []);
});

test("svelte: an action that is told nonsense breaks nothing else, and everybody leaves", async (t) => {
  const bob = await Peer.join(stage.relay, "bob", stage.key(t));
  const { viewer, page } = await stores(t);
  await page.evaluate(() => {
    const { presence, options, token } = /** @type {any} */ (window);
    const { flash, members, state } = presence({ ...options, token });
    const [area, shown] = [document.createElement("div"), document.createElement("p")];
    document.body.append(shown);
    shown.id = "people";
    const ends = [
      flash(area, { joins: "yes" }).destroy,
      members.subscribe((/** @type {any[]} */ it) => {
        shown.textContent = it.map(({ name }) => name).join();
      }),
      state.subscribe((/** @type {string} */ it) => {
        shown.dataset.state = it;
      }),
    ];
    const again = () => flash(area, { joins: "yes" });
    Object.assign(window, { again, end: () => ends.forEach((it) => void it()) });
  });
  await shows(page, "bob,alice");
  assert.equal(await page.locator("#people").getAttribute("data-state"), "live");
  assert.match(viewer.problems.splice(0).join(), /^uncaught: .*joins: must be true or false/);
  await bob.sees(["alice", "bob"], stage.key(t));
  // There is something to show it in by now, and so it throws at once.
  await assert.rejects(page.evaluate("again()"), /joins: must be true or false/);
  await page.evaluate("end()");
  await bob.sees(["bob"], stage.key(t), 3000);
});

test("svelte: equal options leave a part as it is, others make it anew", async (t) => {
  const { page } = await stores(t);
  const isSame = await page.evaluate(async () => {
    const { presence, options, token } = /** @type {any} */ (window);
    const element = document.createElement("div");
    const wish = { max: 3 };
    const { update } = presence({ ...options, token }).bar(element, wish);
    const dot = () => element.querySelector(".presence");
    while (dot() === null) await new Promise((it) => setTimeout(it, 10));
    const after = (/** @type {object} */ it) => {
      const before = dot();
      update(it);
      return dot() === before;
    };
    const equal = after({ max: 3 });
    // As pages do it, too.
    wish.max = 2;
    return [equal, after(wish), after({ max: 1 })];
  });
  assert.deepEqual(isSame, [true, false, false]);
});

test("who begins with a function gets that one's tokens, also when others have moved on", async (t) => {
  const { page } = await stores(t);
  const names = await page.evaluate(async () => {
    const { PresenceStore, options, entered } = /** @type {any} */ (window);
    const tokenOf = (/** @type {string} */ user) => async () =>
      (await fetch(`/dev/token?user=${user}`)).text();
    const [guest, user] = [tokenOf("guest"), tokenOf("alice")];
    const first = new PresenceStore({ ...options, token: guest });
    const release = first.hold();
    const names = [await entered(first)];
    first.set({ ...options, token: user });
    release();
    await new Promise((it) => setTimeout(it, 100));
    const second = new PresenceStore({ ...options, token: guest });
    second.hold();
    names.push(await entered(second));
    first.hold();
    names.push(await entered(first));
    return names;
  });
  assert.deepEqual(names, ["guest", "guest", "alice"]);
});

test("what the presence before still tells doesn't stand in for the next one", async (t) => {
  const { page } = await stores(t);
  const seen = await page.evaluate(async () => {
    const { PresenceStore, options, token, entered } = /** @type {any} */ (window);
    const store = new PresenceStore({ ...options, token });
    store.hold();
    await entered(store);
    const { here } = store.snapshot;
    store.set({ ...options, token, key: `${options.key}-next` });
    // No task comes in between, and so the one before has not been left yet.
    while (store.snapshot.here === null) await null;
    const next = store.snapshot.here;
    /** @type {boolean[]} */
    const areNext = [];
    store.subscribe(() => areNext.push(store.snapshot.here === next));
    // Both are told of that.
    window.dispatchEvent(new PageTransitionEvent("pagehide"));
    window.dispatchEvent(new PageTransitionEvent("pageshow"));
    await entered(store);
    return [here !== next, here.state, areNext.length > 1, areNext.every(Boolean)];
  });
  assert.deepEqual(seen, [true, "stopped", true, true]);
});

test("what goes wrong while it is live is known, too", async (t) => {
  const { viewer, page } = await stores(t);
  await page.route("**/js/inspect.js", (route) => route.abort());
  const codes = await page.evaluate(async () => {
    const { PresenceStore, options, token, entered } = /** @type {any} */ (window);
    const store = new PresenceStore({ ...options, token }, () => {});
    store.hold();
    await entered(store);
    const { here, error: before } = store.snapshot;
    here.inspect();
    await new Promise((it) => here.on("error", it));
    const { error, state } = store.snapshot;
    return [before, error?.code, state];
  });
  assert.deepEqual(codes, [null, "load_failed", "live"]);
  assert.match(viewer.problems.splice(0).join(), /^Failed to load resource/);
});

test("who is typing is the same list until that changes", async (t) => {
  const key = stage.key(t);
  const { page } = await stores(t);
  const bob = await Peer.join(stage.relay, "bob", key);
  await page.evaluate(async () => {
    const { PresenceStore, options, token, entered } = /** @type {any} */ (window);
    const store = new PresenceStore({ ...options, token });
    store.hold();
    await entered(store);
    const lists = new Set();
    store.subscribe(() => lists.add(store.snapshot.typing));
    let nPulses = 0;
    store.snapshot.here.on("pulse", () => {
      nPulses += 1;
    });
    Object.assign(window, { counts: () => [nPulses, lists.size] });
  });
  for (const [i, field] of ["title", "body"].entries()) {
    bob.send({ pulse: { key, name: "typing", value: JSON.stringify(field) } });
    await until("it is there", async () => {
      const [nPulses = 0] = /** @type {number[]} */ (await page.evaluate("counts()"));
      return nPulses > i;
    });
  }
  assert.deepEqual(await page.evaluate("counts()"), [2, 1]);
});

test("let go and held again in one task, it is the same presence", async (t) => {
  const { page } = await stores(t);
  const isSame = await page.evaluate(async () => {
    const { PresenceStore, options, token, entered } = /** @type {any} */ (window);
    const store = new PresenceStore({ ...options, token });
    const release = store.hold();
    await entered(store);
    const { here, members } = store.snapshot;
    release();
    release();
    store.hold();
    await new Promise((it) => setTimeout(it, 100));
    return store.snapshot.here === here && here.members === members && here.state === "live";
  });
  assert.ok(isSame);
});

/**
 * A page of alice with what the bindings are made of as its globals.
 *
 * @param {import("node:test").TestContext} t
 */
async function stores(t) {
  const viewer = await stage.blank(t, "alice");
  await viewer.page.evaluate(async (key) => {
    const { PresenceStore } = await import(/** @type {any} */ ("/sdk/js/store.js"));
    const { presence } = await import(/** @type {any} */ ("/sdk/svelte.js"));
    const token = async () => (await fetch("/dev/token?user=alice")).text();
    const entered = async (/** @type {any} */ store) => {
      while (store.snapshot.self === null) await new Promise((it) => setTimeout(it, 10));
      return store.snapshot.self.name;
    };
    const options = { url: "/v1/presence", key };
    Object.assign(window, { PresenceStore, presence, options, token, entered });
  }, stage.key(t));
  return { viewer, page: viewer.page };
}

/**
 * A page of alice with the binding in it.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} name
 * @param {Wish} wish
 * @param {{ isBrief?: boolean }} [options]
 */
async function mounted(t, name, wish, { isBrief = false } = {}) {
  const viewer = await stage.blank(t, "alice");
  const { page } = viewer;
  let [nSockets, nTokens] = [0, 0];
  page.on("websocket", () => {
    nSockets += 1;
  });
  page.on("request", (it) => {
    if (it.url().includes("/dev/token")) nTokens += 1;
  });
  await page.route("**/binding.js", (route) =>
    route.fulfill({ contentType: "text/javascript", body: modules[name] ?? "" }),
  );
  const all = { wish, isBrief };
  await page.evaluate(async ({ wish, isBrief }) => {
    const { mount } = await import(/** @type {any} */ ("/binding.js"));
    // As pages write it: other objects, and another function, each time.
    const propsOf = (/** @type {any} */ { max, ...options }) => ({
      max,
      options: {
        url: "/v1/presence",
        token: async () => (await fetch("/dev/token?user=alice")).text(),
        ...options,
      },
    });
    const target = document.body.appendChild(document.createElement("main"));
    const app = mount(target, propsOf(wish));
    if (isBrief) setTimeout(() => app.unmount());
    Object.assign(window, { app, set: (/** @type {any} */ it) => app.set(propsOf(it)) });
  }, all);
  const set = (/** @type {Wish} */ it) =>
    page.evaluate((it) => /** @type {any} */ (window).set(it), it);
  return { viewer, page, set, nSockets: () => nSockets, nTokens: () => nTokens };
}

/** @param {import("playwright-core").Page} page @param {string} names in their order */
async function shows(page, names) {
  await until(`the members are ${names}`, async () => {
    return (await page.locator("#people").textContent()) === names;
  });
}
