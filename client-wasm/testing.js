// @ts-check
//
// `whoshere/testing`: a whole relay, other people and a clock inside of a page, for tests of pages that
// use whoshere. The rules are the relay's and the SDK's own, compiled; only sockets and time are not real.
import { connect, PresenceError } from "./index.js";
import { modeOf, wrong } from "./js/options.js";
import load, { Simulation } from "./testing/whoshere_testing.js";

/** @typedef {string | { id: string, name?: string, color?: string, avatar?: string, info?: object }} Who */

const URL_OF_RELAY = "wss://relay.test/v1/presence";
const SUBPROTOCOL = "whoshere.v1";
/** The machine of the page under test. */
const PAGE = 0;
/** How often a screen is drawn. */
const FRAME_MS = 16;
/** Tokens of other people don't run out, and allow what a page may do. */
const ANYTHING = { ttl: 10 * 365 * 86_400, can: ["join", "observe", "invisible", "pulse"] };
/** The longest that a relay keeps anybody out. */
const LONGEST_KICK_S = 86_400;

/** What the simulation refuses, by its code: the page's code for it, and what is wrong. @type {Record<string, string[]>} */
const PROBLEMS = {
  bad_key: ["bad_key", "key: it must be 1 to 128 letters, digits and :_-./@"],
  bad_meta: ["bad_meta", "meta: it must be a JSON object of at most 4096 bytes"],
  bad_pulse: [
    "bad_pulse",
    "pulses: takes 1 to 16 lower-case letters and JSON of at most 512 bytes, 8 at a time",
  ],
  bad_user: ["bad_options", "user: an id is 1 to 128 bytes of text"],
  no_relay: ["bad_options", "kicks: the relay is stopped"],
};

/**
 * What a page loads when it first asks for it, which would take the time of the real clock. Each is written
 * out, since bundlers follow only what they can read.
 */
const PARTS = [
  loadDeepest,
  () => import("./js/binding.js"),
  () => import("./js/cursors.js"),
  () => import("./js/inspect.js"),
  () => import("./js/last-seen.js"),
  () => import("./js/location.js"),
  () => import("./js/typing.js"),
  () => import("./locales/ar.js"),
  () => import("./locales/de.js"),
  () => import("./locales/ja.js"),
];

/** @type {Promise<unknown> | undefined} */
let loading;
/** @type {Kit | undefined} */
let current;
/** Where the last kit's clock stopped: the SDK's never goes back. */
let lastRunning = 0;

/** @param {unknown} [options] */
export async function createKit(options = {}) {
  const { seed = 1, now = Date.now(), wasm } = known("createKit", options, ["seed", "now", "wasm"]);
  if (!Number.isInteger(seed)) throw wrong("seed", "must be a whole number");
  const began = Math.floor(Number(now));
  if (!(began >= 0)) throw wrong("now", "must be a time");
  loading ??= Promise.all([
    load(wasm === undefined ? undefined : { module_or_path: wasm }),
    ...PARTS.map((part) => part()),
  ]);
  try {
    await loading;
  } catch (cause) {
    loading = undefined;
    throw Object.assign(
      new PresenceError("load_failed", `the test kit could not be loaded: ${cause}`),
      { cause },
    );
  }
  if (current !== undefined) throw wrong("createKit", "close the former kit first");
  current = new Kit(seed, began);
  return current;
}

class Kit {
  /** @type {Simulation | undefined} */
  #simulation;
  #clock;
  #network;
  #screen = new Screen();
  /** @type {import("./index.js").Here[]} */
  #entered = [];
  #isTicking = false;

  /**
   * @param {number} seed
   * @param {number} now
   */
  constructor(seed, now) {
    this.#simulation = new Simulation(seed, now);
    this.#clock = new Clock(now);
    this.#network = new Network(this.#simulation);
    this.url = URL_OF_RELAY;
    this.page = {
      drops: (/** @type {unknown} */ options) => this.#drop(PAGE, options),
      returns: () => {
        this.#restore(PAGE);
        window.dispatchEvent(new Event("online"));
      },
      hides: () => this.#show(true),
      shows: () => this.#show(false),
    };
    this.relay = {
      stops: () => this.#open.stopRelay(),
      starts: () => this.#open.startRelay(),
      kicks: (/** @type {Who} */ who, /** @type {unknown} */ options) => this.#kick(who, options),
    };
  }

  get now() {
    return this.#clock.wall;
  }

  /** @param {unknown} options */
  async connect(options) {
    const { user, keys, can, ...rest } = known("connect", options);
    const token = () => this.token(/** @type {Who} */ (user), { keys, can });
    const all = { url: URL_OF_RELAY, token, ...rest };
    const here = await connect(/** @type {import("./index.js").ConnectOptions} */ (all));
    // Those that have ended are left already, and a long test enters again and again.
    this.#entered = this.#entered.filter(({ state }) => state !== "stopped");
    this.#entered.push(here);
    await this.tick();
    return here;
  }

  /**
   * @param {Who} who
   * @param {unknown} [options]
   */
  token(who, options = {}) {
    const { keys = ["*"], ttl = 3600, can } = known("token", options, ["keys", "ttl", "can"]);
    const { id, ...rest } = claimsOf(who);
    const exp = Math.floor(this.now / 1000) + Number(ttl);
    const claims = { sub: id, ...rest, keys, exp, can };
    return [{ alg: "none", typ: "JWT" }, claims].map(base64).join(".").concat(".not-signed");
  }

  /** @param {Who} who */
  user(who) {
    const token = this.token(who, ANYTHING);
    return {
      opens: (/** @type {string} */ key, /** @type {unknown} */ options = {}) => {
        const { meta = {}, mode = "join" } = known("opens", options, ["meta", "mode"]);
        const text = JSON.stringify(meta) ?? "";
        const checked = modeOf(mode);
        return this.#tab(refusing(() => this.#open.open(token, `${key}`, text, checked)));
      },
    };
  }

  /** @param {number} [milliseconds] */
  async tick(milliseconds = 100) {
    if (!(milliseconds >= 0 && milliseconds < Infinity)) throw wrong("tick", "takes milliseconds");
    if (this.#isTicking) throw wrong("tick", "await the former one first");
    this.#isTicking = true;
    try {
      const end = this.#clock.wall + milliseconds;
      // The page may have done anything since the last time.
      await this.#settle(true);
      for (;;) {
        const at = Math.min(this.#clock.nextAt(), this.#open.nextAt() ?? Infinity);
        if (at > end) break;
        this.#clock.moveTo(at);
        await this.#settle(this.#clock.fire());
      }
      this.#clock.moveTo(end);
      await this.#settle(false);
    } finally {
      this.#isTicking = false;
    }
  }

  close() {
    if (this.#simulation === undefined) return;
    for (const here of this.#entered) here.leave();
    this.#screen.uninstall();
    this.#network.uninstall();
    this.#clock.uninstall();
    this.#simulation.free();
    this.#simulation = undefined;
    current = undefined;
  }

  get #open() {
    if (this.#simulation === undefined) throw wrong("kit", "it is closed");
    return this.#simulation;
  }

  /** @param {number} tab */
  #tab(tab) {
    const kit = this;
    return {
      drops: (/** @type {unknown} */ options) => kit.#drop(tab, options),
      returns: () => kit.#restore(tab),
      closes: () => kit.#open.closeTab(tab),
      updates: (/** @type {unknown} */ patch) =>
        refusing(() => kit.#open.update(tab, JSON.stringify(patch) ?? "")),
      pulses: (/** @type {unknown} */ name, /** @type {unknown} */ value) =>
        refusing(() => kit.#open.pulse(tab, `${name}`, pulseOf(value))),
      away: () => kit.#open.hideTab(tab, true),
      back: () => kit.#open.hideTab(tab, false),
      get members() {
        return JSON.parse(kit.#open.members(tab));
      },
      get state() {
        return kit.#open.state(tab);
      },
    };
  }

  /**
   * @param {number} machine
   * @param {unknown} [options]
   */
  #drop(machine, options = {}) {
    const { reset = false } = known("drops", options, ["reset"]);
    this.#open.drop(machine, reset === true);
  }

  /** @param {number} machine */
  #restore(machine) {
    this.#open.restore(machine);
  }

  /** @param {boolean} isHidden */
  #show(isHidden) {
    // Nothing is changed about a page that isn't tested any more.
    if (this.#open) this.#screen.show(isHidden);
  }

  /**
   * @param {Who} who
   * @param {unknown} [options]
   */
  #kick(who, options = {}) {
    const { key, seconds = 300 } = known("kicks", options, ["key", "seconds"]);
    if (!(Number(seconds) >= 0 && Number(seconds) <= LONGEST_KICK_S)) {
      throw wrong("seconds", `must be 0 to ${LONGEST_KICK_S}`);
    }
    const ofKey = key === undefined ? undefined : `${key}`;
    refusing(() => this.#open.kick(claimsOf(who).id, ofKey, Number(seconds)));
  }

  /**
   * Lets happen what needs no time.
   *
   * @param {boolean} hasRun whether the page has done anything, and so may wait for a part of the SDK
   */
  async #settle(hasRun) {
    for (;;) {
      this.#open.run(this.#clock.wall);
      if (this.#network.deliver()) hasRun = true;
      await this.#clock.breathe();
      if (this.#network.isBusy()) continue;
      if (!hasRun) return;
      hasRun = false;
      // One part may ask for another, as that does which binds the page's elements.
      await loadDeepest();
      await loadDeepest();
      if (!this.#network.isBusy()) return;
    }
  }
}

/** The page's sockets and beacons, led into the simulation. */
class Network {
  #simulation;
  /** @type {Map<number, KitSocket>} */
  #sockets = new Map();
  #realSocket = globalThis.WebSocket;
  #hasSent = false;
  /** @type {Set<string>} */
  #beaconUrls = new Set();

  /** @param {Simulation} simulation */
  constructor(simulation) {
    this.#simulation = simulation;
    // Whatever else the page connects to is none of the kit's business.
    globalThis.WebSocket = new Proxy(this.#realSocket, {
      construct: (real, args, target) => {
        if (![args[1]].flat().includes(SUBPROTOCOL)) return Reflect.construct(real, args, target);
        return this.#dial(new URL(args[0], document.baseURI));
      },
    });
    const sendBeacon = navigator.sendBeacon?.bind(navigator);
    navigator.sendBeacon = (url, body) => {
      if (!this.#beaconUrls.has(`${url}`)) return sendBeacon(url, body);
      this.#hasSent = true;
      simulation.beacon(`${body}`);
      return true;
    };
  }

  uninstall() {
    globalThis.WebSocket = this.#realSocket;
    // What is left is the prototype's own.
    Reflect.deleteProperty(navigator, "sendBeacon");
  }

  /** Gives the page what has arrived for it. Returns whether there was anything. */
  deliver() {
    for (let isFirst = true; ; isFirst = false) {
      const [link, type, rest] = this.#simulation.poll();
      if (link === undefined) return !isFirst;
      this.#hasSent = true;
      const socket = this.#sockets.get(link);
      if (type === "close") this.#sockets.delete(link);
      socket?.arrive(type, rest);
    }
  }

  /** True if something has moved since the last call. */
  isBusy() {
    const hasSent = this.#hasSent;
    this.#hasSent = false;
    return hasSent;
  }

  /** @param {URL} url */
  #dial(url) {
    const beacon = new URL("leave", url);
    beacon.protocol = url.protocol.replace("ws", "http");
    this.#beaconUrls.add(beacon.href);
    this.#hasSent = true;
    const link = this.#simulation.dial();
    const socket = new KitSocket(
      url.href,
      (text) => {
        this.#hasSent = true;
        this.#simulation.send(link, text);
      },
      (code) => {
        this.#hasSent = true;
        this.#simulation.close(link, code);
      },
    );
    this.#sockets.set(link, socket);
    return socket;
  }
}

/** Whether the page's tab is in front, as the page takes it. */
class Screen {
  #isHidden = false;

  /** @param {boolean} isHidden */
  show(isHidden) {
    if (isHidden === this.#isHidden) return;
    this.#isHidden = isHidden;
    const visibilityState = isHidden ? "hidden" : "visible";
    for (const [name, value] of Object.entries({ visibilityState, hidden: isHidden })) {
      Object.defineProperty(document, name, { configurable: true, value });
    }
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  }

  uninstall() {
    this.show(false);
    // What is left is the prototype's own.
    for (const name of ["visibilityState", "hidden"]) Reflect.deleteProperty(document, name);
  }
}

/** What the page takes for a WebSocket. */
class KitSocket extends EventTarget {
  /** @type {number} */
  readyState = WebSocket.CONNECTING;
  protocol = "";
  extensions = "";
  bufferedAmount = 0;
  binaryType = "blob";
  /** @type {((event: Event) => void) | null} */
  onopen = null;
  /** @type {((event: Event) => void) | null} */
  onmessage = null;
  /** @type {((event: Event) => void) | null} */
  onclose = null;
  /** @type {((event: Event) => void) | null} */
  onerror = null;
  #send;
  #close;

  /**
   * @param {string} url
   * @param {(text: string) => void} send
   * @param {(code: number) => void} close
   */
  constructor(url, send, close) {
    super();
    this.url = url;
    this.#send = send;
    this.#close = close;
    this.addEventListener("open", (event) => this.onopen?.(event));
    this.addEventListener("message", (event) => this.onmessage?.(event));
    this.addEventListener("close", (event) => this.onclose?.(event));
    this.addEventListener("error", (event) => this.onerror?.(event));
  }

  /** @param {string} text */
  send(text) {
    if (this.readyState === WebSocket.CONNECTING) {
      throw new DOMException("Still in CONNECTING state.", "InvalidStateError");
    }
    if (this.readyState === WebSocket.OPEN) this.#send(text);
  }

  close(code = 1005) {
    if (code !== 1005 && code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw new DOMException(`The code must not be ${code}.`, "InvalidAccessError");
    }
    if (this.readyState >= WebSocket.CLOSING) return;
    this.readyState = WebSocket.CLOSING;
    this.#close(code);
  }

  /**
   * @param {string} type
   * @param {any} rest a text or a code
   */
  arrive(type, rest) {
    if (type === "open") {
      // Who has closed it meanwhile isn't told any more that it opened.
      if (this.readyState !== WebSocket.CONNECTING) return;
      this.readyState = WebSocket.OPEN;
      this.protocol = SUBPROTOCOL;
      this.dispatchEvent(new Event("open"));
    } else if (type === "message") {
      if (this.readyState !== WebSocket.OPEN) return;
      this.dispatchEvent(new MessageEvent("message", { data: rest }));
    } else {
      this.readyState = WebSocket.CLOSED;
      if (rest === 1006) this.dispatchEvent(new Event("error"));
      this.dispatchEvent(new CloseEvent("close", { code: rest, wasClean: rest !== 1006 }));
    }
  }
}

/** The page's time: it moves when it is told to, and no other way. */
class Clock {
  #began;
  #beganRunning;
  #elapsed = 0;
  /** @type {Map<number, { at: number, call: () => void, every?: number }>} */
  #timers = new Map();
  // Far from the browser's own, which may still be cleared.
  #lastTimer = 1_000_000_000;
  /** @type {Record<string, any>} */
  #real = {};
  #channel = new MessageChannel();

  /** @param {number} began */
  constructor(began) {
    this.#began = began;
    this.#beganRunning = Math.ceil(Math.max(performance.now(), lastRunning));
    this.#install();
  }

  /** What `Date.now()` says. */
  get wall() {
    return this.#began + this.#elapsed;
  }

  /** When the next timer is due. */
  nextAt() {
    return Math.min(...[...this.#timers.values()].map(({ at }) => at));
  }

  /** @param {number} wall */
  moveTo(wall) {
    this.#elapsed = Math.max(this.#elapsed, wall - this.#began);
  }

  /** Runs the timers that are due, in their order. Returns whether there were any. */
  fire() {
    const due = [...this.#timers].filter(([, { at }]) => at <= this.wall);
    for (const [id, timer] of due.sort(([, a], [, b]) => a.at - b.at)) {
      // One that ran before it may have cleared it.
      if (!this.#timers.has(id)) continue;
      if (timer.every === undefined) this.#timers.delete(id);
      else timer.at = this.wall + timer.every;
      try {
        timer.call();
      } catch (error) {
        reportError(error);
      }
    }
    return due.length > 0;
  }

  /** Lets the page do what it does without time passing: promises, messages, module code. */
  async breathe() {
    await new Promise((resolve) => {
      this.#channel.port1.onmessage = resolve;
      this.#channel.port2.postMessage(null);
    });
  }

  uninstall() {
    lastRunning = this.#beganRunning + this.#elapsed;
    Object.assign(globalThis, this.#real);
    // What is left is the prototype's own.
    Reflect.deleteProperty(performance, "now");
    this.#channel.port1.close();
  }

  #install() {
    const later = (/** @type {any} */ call, delay = 0, /** @type {unknown[]} */ ...rest) =>
      this.#add(call, delay, rest);
    const every = (/** @type {any} */ call, delay = 0, /** @type {unknown[]} */ ...rest) =>
      this.#add(call, delay, rest, true);
    const clearer = (/** @type {string} */ name) => (/** @type {number} */ id) => {
      // It may be one from before.
      if (!this.#timers.delete(id)) this.#real[name].call(globalThis, id);
    };
    const fakes = {
      setTimeout: later,
      setInterval: every,
      requestAnimationFrame: (/** @type {FrameRequestCallback} */ call) =>
        later(() => call(performance.now()), FRAME_MS),
      clearTimeout: clearer("clearTimeout"),
      clearInterval: clearer("clearInterval"),
      cancelAnimationFrame: clearer("cancelAnimationFrame"),
      Date: this.#dateClass(),
    };
    for (const [name, fake] of Object.entries(fakes)) {
      this.#real[name] = /** @type {any} */ (globalThis)[name];
      /** @type {any} */ (globalThis)[name] = fake;
    }
    performance.now = () => this.#beganRunning + this.#elapsed;
  }

  #dateClass() {
    const now = () => Math.floor(this.wall);
    return new Proxy(Date, {
      construct: (real, args, target) =>
        Reflect.construct(real, args.length === 0 ? [now()] : args, target),
      apply: (Real) => new Real(now()).toString(),
      get: (real, name) => (name === "now" ? now : Reflect.get(real, name)),
    });
  }

  /**
   * @param {(...args: unknown[]) => void} call
   * @param {unknown} delay
   * @param {unknown[]} args
   * @param {boolean} [isRepeated]
   */
  #add(call, delay, args, isRepeated = false) {
    // At least one, so that what arms itself again and again lets time pass.
    const wait = Math.max(1, Math.round(Number(delay)) || 0);
    this.#lastTimer += 1;
    this.#timers.set(this.#lastTimer, {
      at: this.wall + wait,
      call: () => call(...args),
      ...(isRepeated && { every: wait }),
    });
    return this.#lastTimer;
  }
}

/**
 * The part whose imports go deepest. Browsers look at one level of them in a task, also of what they have
 * loaded already: what was asked for before this is there before it.
 */
function loadDeepest() {
  return import("./js/touch.js");
}

/** @param {unknown} value */
function base64(value) {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * What the simulation refuses is a code.
 *
 * @template T
 * @param {() => T} call
 */
function refusing(call) {
  try {
    return call();
  } catch (code) {
    const [its, problem = ""] = PROBLEMS[/** @type {string} */ (code)] ?? [];
    if (its === undefined) throw code;
    throw new PresenceError(/** @type {"bad_key"} */ (its), problem);
  }
}

/** @param {unknown} value of a pulse */
function pulseOf(value) {
  if (value === null) return undefined;
  let text;
  try {
    text = JSON.stringify(value);
  } catch {
    // It goes round in circles.
  }
  if (text === undefined) throw "bad_pulse";
  return text;
}

/** @param {Who} who */
function claimsOf(who) {
  const claims = typeof who === "string" ? { id: who } : known("user", who);
  if (typeof claims.id !== "string") throw wrong("user", "must be an id, or an object with one");
  return claims;
}

/**
 * @param {string} of
 * @param {unknown} value
 * @param {string[]} [names] those that there are; any unless given
 * @returns {Record<string, any>}
 */
function known(of, value, names) {
  if (typeof value !== "object" || value === null) throw wrong(of, "takes an object of options");
  const unknown = names && Object.keys(value).find((name) => !names.includes(name));
  if (unknown !== undefined) throw wrong(of, `there is no option "${unknown}"`);
  return value;
}
