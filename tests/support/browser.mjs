// @ts-check
//
// A real browser with real pages on a real relay, and what a test asks of a page.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { chromium } from "playwright-core";
import { ensureBrowser } from "../../scripts/setup/browser.mjs";
import { sleep } from "./peer.mjs";
import { startProxy } from "./proxy.mjs";
import { record } from "./recorder.mjs";
import { startRelay } from "./relay.mjs";

/**
 * @typedef {import("playwright-core").Page} Page
 * @typedef {import("playwright-core").Browser} Browser
 * @typedef {import("node:test").TestContext} TestContext
 * @typedef {import("./relay.mjs").Relay} Relay
 * @typedef {import("./recorder.mjs").Seen} Seen
 */

/** How long a page may take for what it should do at once. Machines that test are busy. */
const PATIENCE_MS = 10_000;

/** What the relay is started with, so that it serves the demo page. */
const DEMO = ["--dev", "--demo", "www", "--sdk", "client-wasm/pkg"];

/** What Chromium itself says in the console when the network fails, which nobody can keep it from. */
const NETWORK_ERRORS = [/^WebSocket connection to '[^']*' failed/, /^Failed to load resource/];

/**
 * @typedef {object} StageOptions
 * @property {string[]} [args] of the relay, on top of those for the demo
 * @property {import("playwright-core").LaunchOptions} [launch]
 *
 * @typedef {object} VisitOptions
 * @property {number | string} [doc] default: a document that no other test has
 * @property {string} [at] the address to open it at, default: the relay's own
 * @property {string} [path] another page than the document's
 * @property {import("playwright-core").BrowserContext} [context] default: one of its own
 * @property {import("playwright-core").BrowserContextOptions} [look] of a context of its own
 * @property {(page: Page) => void} [watch] is given the page before it is loaded
 */

/** A relay and a browser for all tests of a file. */
export class Stage {
  /** @type {Browser} */
  #browser = /** @type {never} */ (undefined);
  /** @type {Relay} */
  relay = /** @type {never} */ (undefined);
  /** @type {WeakMap<TestContext, number>} */
  #docs = new WeakMap();
  /** @type {WeakMap<TestContext, (() => unknown)[]>} */
  #cleanups = new WeakMap();
  #nDocs = 0;

  /**
   * Call it at the top of a file: it is set up before the file's tests, and taken down after them.
   *
   * @param {StageOptions} [options]
   */
  constructor({ args = [], launch = {} } = {}) {
    before(async () => {
      [this.relay, this.#browser] = await Promise.all([startDemo(args), launchBrowser(launch)]);
    });
    after(async () => {
      await this.#browser?.close();
      await this.relay?.stop();
    });
  }

  /**
   * The number of the document that belongs to this test alone.
   *
   * @param {TestContext} t
   */
  doc(t) {
    const doc = this.#docs.get(t) ?? ++this.#nDocs;
    this.#docs.set(t, doc);
    return doc;
  }

  /**
   * The key of {@link doc}.
   *
   * @param {TestContext} t
   */
  key(t) {
    return `document:${this.doc(t)}`;
  }

  /**
   * A proxy in front of the relay, for this test.
   *
   * @param {TestContext} t
   */
  async proxy(t) {
    return this.proxyOf(t, this.relay);
  }

  /**
   * A proxy in front of another relay.
   *
   * @param {TestContext} t
   * @param {{ port: number }} relay
   */
  async proxyOf(t, { port }) {
    const proxy = await startProxy(port);
    this.#defer(t, () => proxy.stop());
    return proxy;
  }

  /**
   * A relay of this test's own, which can be ended and started again at the same address.
   *
   * @param {TestContext} t
   * @param {string[]} [args]
   */
  async anotherRelay(t, args = []) {
    let relay = await startDemo(args);
    const { port, http } = relay;
    this.#defer(t, () => relay.stop());
    return {
      port,
      http,
      /** @param {NodeJS.Signals} signal */
      stop: (signal) => relay.stop(signal),
      startAgain: async () => {
        relay = await startDemo(args, { port });
      },
    };
  }

  /**
   * Opens the document as a user, in a window of their own, and waits until it shows who is here.
   *
   * @param {TestContext} t
   * @param {string} user
   * @param {VisitOptions} [options]
   * @returns {Promise<Viewer>}
   */
  async visit(
    t,
    user,
    { doc = this.doc(t), at = this.relay.http, path, context, look, watch } = {},
  ) {
    const own = context ?? (await this.#browser.newContext(look));
    const viewer = new Viewer(user, await own.newPage());
    this.#defer(t, async () => {
      await viewer.assertClean();
      if (context === undefined) await own.close();
    });
    watch?.(viewer.page);
    await viewer.page.addInitScript(record);
    await viewer.page.goto(`${at}${path ?? `/docs/${doc}?${new URLSearchParams({ user })}`}`);
    // Who comes from here on is news.
    if (path === undefined) {
      await viewer.page.locator(".presence[data-state=live]").waitFor();
      // Loaded a little later than the rest: what is typed before isn't told.
      const line = viewer.page.locator("#typing > .presence-typing-text");
      await line.waitFor({ state: "attached" });
    }
    return viewer;
  }

  /**
   * Does something when the test is over, the last thing first: pages go before their relay does.
   *
   * @param {TestContext} t
   * @param {() => unknown} cleanup
   */
  #defer(t, cleanup) {
    const cleanups = this.#cleanups.get(t);
    if (cleanups !== undefined) return void cleanups.push(cleanup);
    const first = [cleanup];
    this.#cleanups.set(t, first);
    t.after(async () => {
      const results = [];
      for (const it of first.toReversed()) results.push(await settled(it));
      const failed = results.find(({ error }) => error !== undefined);
      if (failed !== undefined) throw failed.error;
    });
  }

  /**
   * Opens a page without presence, for what the document's page doesn't do: see {@link Viewer.connect}. It
   * has the same strict content security policy.
   *
   * @param {TestContext} t
   * @param {string} name of the viewer
   * @param {VisitOptions} [options]
   */
  async blank(t, name, options) {
    const viewer = await this.visit(t, name, { path: "/", ...options });
    await viewer.page.evaluate(async () => {
      const link = document.createElement("link");
      document.head.append(Object.assign(link, { rel: "stylesheet", href: "/sdk/whoshere.css" }));
      for (const id of ["bar", "flash"]) {
        document.body.append(Object.assign(document.createElement("div"), { id }));
      }
      // Not later: the test may have cut the network by then.
      await (await import("/sdk/index.js")).init();
    });
    return viewer;
  }
}

/**
 * Starts a relay that serves the document's page.
 *
 * @param {string[]} [args]
 * @param {{ port?: number }} [options]
 */
export function startDemo(args = [], { port = 0 } = {}) {
  return startRelay({ args: [...DEMO, ...args], port });
}

/** @param {import("playwright-core").LaunchOptions} [options] */
export async function launchBrowser(options = {}) {
  return chromium.launch({ executablePath: await ensureBrowser(), ...options });
}

/** @param {() => unknown} act @returns {Promise<{ error?: unknown }>} */
async function settled(act) {
  try {
    await act();
    return {};
  } catch (error) {
    return { error };
  }
}

/**
 * Waits until a condition holds.
 *
 * @param {string} what
 * @param {() => unknown} condition
 * @param {number} [patienceMs]
 */
export async function until(what, condition, patienceMs = PATIENCE_MS) {
  const deadline = Date.now() + patienceMs;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `waited ${patienceMs} ms in vain until ${what}`);
    await sleep(25);
  }
}

/** Somebody's page. */
export class Viewer {
  /** What the browser complained about. @type {string[]} */
  problems = [];
  /** Set it where a test breaks the network: Chromium tells the console of it. */
  mayLoseNetwork = false;

  /**
   * @param {string} name
   * @param {Page} page
   */
  constructor(name, page) {
    this.name = name;
    this.page = page;
    page.on("pageerror", (error) => this.problems.push(`uncaught: ${error.stack}`));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.problems.push(message.text());
    });
  }

  /**
   * Waits until the bar shows exactly these people and says how many they are.
   *
   * @param {string[]} names in any order
   * @param {number} [patienceMs]
   */
  async sees(names, patienceMs = PATIENCE_MS) {
    const wanted = [`${names.length} here`, ...names.toSorted()].join();
    await this.#poll(`sees ${wanted}`, async () => (await this.bar()).join(), wanted, patienceMs);
  }

  /** The text beside the dots, and the names on them, sorted. */
  async bar() {
    return this.page.evaluate(() => {
      const dots = document.querySelectorAll(".presence-dots > li > .presence-dot");
      const names = [...dots].map((dot) => dot instanceof HTMLElement && dot.dataset.name);
      return [document.querySelector(".presence-count")?.textContent, ...names.sort()];
    });
  }

  /** @param {string} state of the connection @param {number} [patienceMs] */
  async becomes(state, patienceMs = PATIENCE_MS) {
    const read = () =>
      this.page.evaluate(() => {
        const { here } = /** @type {any} */ (window);
        return here ? here.state : document.getElementById("status")?.dataset.state;
      });
    await this.#poll(`is ${state}`, read, state, patienceMs);
  }

  /** @param {string} name @param {string} state of a dot @param {number} [patienceMs] */
  async seesAs(name, state, patienceMs = PATIENCE_MS) {
    const read = () => this.dot(name).getAttribute("data-state");
    await this.#poll(`sees ${name} as ${state}`, read, state, patienceMs);
  }

  /** @param {string} name */
  dot(name) {
    return this.page.locator(`.presence-dots > li > .presence-dot[data-name="${name}"]`);
  }

  /**
   * Connects, on a {@link Stage.blank} page. What comes of it is in the page's `here`, and {@link events}.
   *
   * @param {Record<string, unknown>} options those of the SDK's `connect`; `tokenPath` stands for a function
   *   that fetches a token from there
   */
  async connect(options) {
    await this.page.evaluate(async ({ tokenPath, ...options }) => {
      const { connect } = await import("/sdk/index.js");
      if (tokenPath) options.token = async () => (await fetch(String(tokenPath))).text();
      const all = /** @type {any} */ ({ url: "/v1/presence", ...options });
      const here = await connect(all);
      /** @type {string[]} */
      const events = [];
      const tell = (/** @type {string[]} */ ...words) => void events.push(words.join(" "));
      const quietly = (/** @type {boolean} */ quiet) => (quiet ? ["quietly"] : []);
      here.on("join", ({ member, quiet }) => tell("join", member.name, ...quietly(quiet)));
      here.on("leave", (it) => tell("leave", it.member.name, it.reason, ...quietly(it.quiet)));
      here.on("update", ({ member }) => tell("update", member.name));
      here.on("state", (it) => tell("state", it.state, ...("reason" in it ? [it.reason] : [])));
      here.on("error", (error) => tell("error", error.code));
      here.bar("#bar");
      here.flash("#flash");
      Object.assign(window, { here, events });
    }, options);
  }

  /**
   * {@link connect}, and waits until it is known who is here.
   *
   * @param {Record<string, unknown>} options
   */
  async enter(options) {
    await this.connect(options);
    await this.page.evaluate("here.ready");
  }

  /**
   * What `connect` says to options that are wrong.
   *
   * @param {Record<string, unknown>} options the url and the token are good unless given
   * @returns {Promise<{ name: string, code: string, message: string }>}
   */
  async connectError(options) {
    return this.page.evaluate(async (options) => {
      const { connect } = await import("/sdk/index.js");
      const all = /** @type {any} */ ({ url: "/v1/presence", token: "a.b.c", ...options });
      return connect(all).then(
        (here) => {
          here.leave();
          throw new Error("there was nothing wrong with them");
        },
        ({ name, code, message }) => ({ name, code, message }),
      );
    }, options);
  }

  /** @param {string} text what the document's page says of who is typing; empty if nobody is */
  async readsTyping(text) {
    const read = () => this.page.locator("#typing > .presence-typing-text").textContent();
    await this.#poll("reads of typing", read, text, PATIENCE_MS);
  }

  /** What `here` has told so far. @returns {Promise<string[]>} */
  async events() {
    return this.page.evaluate("window.events");
  }

  /**
   * @param {string[]} events all of them so far
   * @param {number} [patienceMs]
   * @param {RegExp} [except] events that don't count
   */
  async hasHeard(events, patienceMs = PATIENCE_MS, except = /^$/) {
    const read = async () => (await this.events()).filter((it) => !except.test(it)).join();
    await this.#poll("has heard", read, events.join(), patienceMs);
  }

  /**
   * Looks at the next flash in the moment that it comes up: a busy machine may not get round to it before
   * it is gone.
   *
   * @template T
   * @param {(flash: HTMLElement) => T} look runs in the page
   * @returns {Promise<() => Promise<T>>} waits for what it has seen
   */
  async atNextFlash(look) {
    await this.page.evaluate(`void (window.looked = new Promise((resolve) => {
      new MutationObserver((_, observer) => {
        const flash = document.querySelector(".presence-flash");
        if (flash === null) return;
        observer.disconnect();
        resolve((${look})(flash));
      }).observe(document, { subtree: true, childList: true });
    }))`);
    return () => this.page.evaluate("looked");
  }

  /** What the page has shown since it was loaded. @returns {Promise<Seen>} */
  async seen() {
    return this.page.evaluate("window.seen");
  }

  /** The texts of all flashes so far, in order. */
  async flashes() {
    return (await this.seen()).flashes.map((flash) => flash.text);
  }

  /** @param {string[]} texts all flashes so far @param {number} [patienceMs] */
  async hasFlashed(texts, patienceMs = PATIENCE_MS) {
    const read = async () => (await this.flashes()).join();
    await this.#poll("has flashed", read, texts.join(), patienceMs);
  }

  /** Waits until somebody's joining is certain: who leaves before that has never been here. @param {string} text */
  async hasSaid(text) {
    const read = async () => (await this.seen()).said.includes(text);
    await this.#poll(`has said ${text}`, read, true, PATIENCE_MS);
  }

  /**
   * Remembers what the page shows of people.
   *
   * @returns {Promise<(but?: { nBarChanges: number }) => Promise<void>>} fails unless nothing has changed
   *   since: no node of the bar was added, taken out, moved or made anew, no text of it was written, but for
   *   so many times, and nothing has flashed
   */
  async hold() {
    // What fades out means nothing, but it is a node.
    await this.page.locator(".presence-leaving").first().waitFor({ state: "detached" });
    const held = await this.page.evaluate(() => {
      const nodes = [...document.querySelectorAll(".presence, .presence *")];
      const { seen } = /** @type {any} */ (window);
      return Object.assign(window, { held: nodes }) && { ...seen, nNodes: nodes.length };
    });
    return async ({ nBarChanges } = { nBarChanges: 0 }) => {
      const areSame = await this.page.evaluate(() => {
        const nodes = [...document.querySelectorAll(".presence, .presence *")];
        const { held } = /** @type {any} */ (window);
        return held.length === nodes.length && nodes.every((node, i) => node === held[i]);
      });
      const seen = await this.seen();
      assert.ok(held.nNodes > 1, `${this.name} has no bar`);
      assert.deepEqual(seen.dots, held.dots, `dots came or went at ${this.name}`);
      const nChanges = seen.nBarChanges - held.nBarChanges;
      assert.equal(nChanges, nBarChanges, `nodes in the bar of ${this.name} were changed`);
      assert.ok(areSame, `the bar of ${this.name} has other nodes`);
      assert.deepEqual(
        seen.flashes.map(({ text }) => text),
        held.flashes.map((/** @type {{ text: string }} */ { text }) => text),
        `something flashed at ${this.name}`,
      );
    };
  }

  /** Fails if the console, the page or its content security policy had anything to complain about. */
  async assertClean() {
    const isMeant = (/** @type {string} */ problem) =>
      this.mayLoseNetwork && NETWORK_ERRORS.some((it) => it.test(problem));
    const problems = this.problems.filter((it) => !isMeant(it));
    assert.deepEqual(problems, [], `the page of ${this.name} complains`);
    if (this.page.isClosed()) return;
    assert.deepEqual((await this.seen()).violations, [], `the page of ${this.name} breaks its CSP`);
  }

  /**
   * @param {string} what
   * @param {() => Promise<unknown>} read
   * @param {unknown} wanted
   * @param {number} patienceMs
   */
  async #poll(what, read, wanted, patienceMs) {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const found = await read();
      if (found === wanted) return;
      if (Date.now() > deadline) {
        assert.fail(
          `${this.name}, after ${patienceMs} ms: ${what}: there is ${found}, not ${wanted}`,
        );
      }
      await sleep(25);
    }
  }
}
