// @ts-check
//
// One connection to a relay: its socket, its timer, the page's life, and the keys that this page is in. It
// feeds the module what happens and does what the module says; the rules are all in there.
//
// Calls of `connect` with the same url and the same token share one connection.
import {
  DELAY,
  JOIN,
  LEAVE,
  MEMBERS,
  PAGE_EVENT,
  POLL,
  ROUND_TRIP,
  SOCKET_CLOSED,
  SOCKET_MESSAGE,
  SOCKET_OPEN,
  START,
  STOP,
  TIMER,
  TOKEN,
} from "./call.js";
import { PresenceError } from "./error.js";
import { patched } from "./meta.js";
import { MODES } from "./options.js";
import {
  ACTIVATE,
  beacon,
  ERRORS,
  give,
  heard,
  isHidden,
  isPrerendering,
  watchPage,
  written,
} from "./shell.js";

/**
 * @typedef {import("./call.js").Calls} Calls
 * @typedef {typeof import("../pkg/whoshere.js").call} Core the module's function
 * @typedef {import("./options.js").Options} Options
 * @typedef {import("./shell.js").Meta} Meta
 * @typedef {(event: string, ...parts: any[]) => void} Sink
 */

const SUBPROTOCOL = "whoshere.v1";

// What the module says is to be done, by the numbers of driver.rs. What follows it is passed on to the page.
const FETCH_TOKEN = 0;
const DIAL = 1;
const SEND = 2;
const CLOSE = 3;
const BEACON = 4;
const STATE = 5;
const READY = 6;
const CHANGE = 11;
const REFUSE = 12;
const COMPLAIN = 13;
const EVENTS = ["ready", "join", "leave", "update", "pulse", "change"];

/** The longest delay that a browser doesn't take for none at all. */
const LONGEST_MS = 0x7fff_ffff;

/** The form of a token: what else a token endpoint answers is a page about an error. */
const TOKEN_FORM = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** @type {Set<Connection>} */
const connections = new Set();

/** A key that this page is in, whoever on the page has asked for it. */
export class OpenKey {
  /** @type {Set<Sink>} */
  sinks = new Set();
  isReady = false;
  isStale = false;
  isRefused = false;

  /**
   * @param {Connection} connection
   * @param {Options} options
   */
  constructor(connection, { key, isDeduped, meta, mode }) {
    this.connection = connection;
    this.key = key;
    this.isDeduped = isDeduped;
    this.meta = meta;
    this.mode = mode;
  }

  get state() {
    return this.isRefused ? "stopped" : this.connection.state;
  }

  /** What the members are worth. @returns {import("./bar.js").Standing} */
  get standing() {
    if (this.state === "stopped") return "stopped";
    return this.isReady ? (this.isStale ? "stale" : "live") : "connecting";
  }

  /**
   * @param {string} event
   * @param {unknown[]} parts
   */
  emit(event, ...parts) {
    // What they are told can make the page enter and leave.
    for (const sink of [...this.sinks]) if (this.sinks.has(sink)) sink(event, ...parts);
  }

  /**
   * It has ended. Who waits for the first snapshot waits in vain.
   *
   * @param {PresenceError} error
   */
  fail(error) {
    this.emit("failed", error);
    this.emit("error", error);
  }
}

export class Connection {
  /** @type {Map<string, OpenKey>} */
  keys = new Map();
  state = "connecting";
  #core;
  #id = 0;
  #options;
  #unwatch;
  /** @type {WebSocket | undefined} */
  #socket;
  /** What the socket was opened for. */
  #dial = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** True while the page is only being prerendered: nobody is here yet. */
  #isHeld = isPrerendering();
  #isDraining = false;

  /**
   * Enters a key, or joins those on this page who have.
   *
   * @param {Core} core
   * @param {Options} options
   * @param {Sink} sink is told what happens
   */
  static enter(core, options, sink) {
    const names = /** @type {const} */ (["socketUrl", "token", "idleMs"]);
    const found = [...connections].find((it) =>
      names.every((at) => it.#options[at] === options[at]),
    );
    const known = found?.keys.get(options.key);
    if (known && (known.isDeduped !== options.isDeduped || known.mode !== options.mode)) {
      const message = "dedupe, mode: this page has the key open with another one";
      throw new PresenceError("bad_options", message);
    }
    const meta = known && patched(known.meta, options.meta);
    const connection = found ?? new Connection(core, options);
    const open = known ?? new OpenKey(connection, options);
    open.meta = meta ?? open.meta;
    open.sinks.add(sink);
    connection.keys.set(open.key, open);
    connection.join(open);
    if (open.isReady) sink("ready");
    return open;
  }

  /**
   * @param {Core} core
   * @param {Options} options
   */
  constructor(core, options) {
    this.#core = core;
    this.#options = options;
    const seed = Math.random() * Number.MAX_SAFE_INTEGER;
    [this.#id] = this.#call(START, options.idleMs, isHidden(), seed);
    connections.add(this);
    this.#unwatch = watchPage((event) => {
      if (event === ACTIVATE) {
        this.#isHeld = false;
        for (const open of this.keys.values()) this.join(open);
      } else {
        this.feed(PAGE_EVENT, event, isHidden());
      }
    }, options.idleMs > 0);
  }

  /**
   * Tells the module something, and does what comes of it. Returns what it has answered.
   *
   * @template {keyof Calls} What
   * @param {What} what
   * @param {Calls[What]} args
   */
  feed(what, ...args) {
    const [answer] = this.#call(what, ...args);
    this.#drain();
    return answer;
  }

  /**
   * @template {keyof Calls} What
   * @param {What} what
   * @param {Calls[What]} args
   */
  #call(what, ...args) {
    give(args);
    this.#core(this.#id, what);
    return heard();
  }

  /**
   * Enters a key, or tells the others its meta and as what this page is there.
   *
   * @param {OpenKey} open
   */
  join({ key, meta, isDeduped, mode, isRefused }) {
    if (this.#isHeld || isRefused) return;
    this.feed(JOIN, key, meta, isDeduped, MODES.indexOf(mode));
  }

  /**
   * @param {OpenKey} open
   * @param {Sink} sink
   */
  leave({ key, sinks }, sink) {
    sinks.delete(sink);
    if (sinks.size === 0 && this.keys.delete(key)) this.feed(LEAVE, key);
  }

  /** @param {string} key */
  members(key) {
    return this.#call(MEMBERS, key)[0];
  }

  /** How long the last heartbeat's answer took. */
  get roundTrip() {
    const [it] = this.#call(ROUND_TRIP);
    return Number.isNaN(it) ? undefined : it;
  }

  #drain() {
    // What is told runs the page's own code, which may come back to here: the loop below goes on with it.
    if (this.#isDraining) return;
    this.#isDraining = true;
    for (;;) {
      const next = this.#call(POLL);
      if (next.length === 0) break;
      try {
        this.#perform(/** @type {any} */ (next));
      } catch (fault) {
        // One of this package's own, which must not keep the page from hearing what comes next.
        reportError(fault);
      }
    }
    this.#isDraining = false;
    const isOver = this.keys.size === 0;
    if (isOver || this.state === "stopped") {
      // A later `connect` begins another one.
      connections.delete(this);
      this.#unwatch();
      this.#drop();
    }
    if (isOver) this.#call(STOP);
    clearTimeout(this.#timer);
    const [delay] = this.#call(DELAY);
    if (delay !== undefined) {
      this.#timer = setTimeout(() => this.feed(TIMER), Math.min(delay, LONGEST_MS));
    }
  }

  /**
   * @param {[what: number, key: string | undefined, ...parts: any[]]} next as `poll` says it
   */
  #perform([what, key, ...parts]) {
    const [first, second, third] = parts;
    const open = this.keys.get(key ?? "");
    switch (what) {
      case FETCH_TOKEN:
        return this.#fetchToken(first);
      case DIAL:
        return this.#open(first);
      case SEND: {
        const [dial, ...frame] = parts;
        // One that isn't open any more will say so by itself, and the browser would complain until then.
        if (this.#dial !== dial || this.#socket?.readyState !== 1) return;
        return this.#socket.send(written(/** @type {any} */ (frame)));
      }
      case CLOSE:
        if (this.#dial === first) this.#drop()?.close(second);
        return;
      case BEACON:
        navigator.sendBeacon(this.#options.beaconUrl, beacon(/** @type {any} */ (parts)));
        return;
      case STATE:
        return this.#tellState(first, ERRORS[second] ?? second, third);
      case COMPLAIN:
        return this.#complain(key, errorOf(first, second));
      case REFUSE:
        this.keys.delete(key ?? "");
        if (open === undefined) return;
        open.isRefused = true;
        open.emit("state", "stopped", ERRORS[first]);
        return open.fail(errorOf(first, second));
      case READY:
        if (open) open.isReady = true;
        break;
      case CHANGE:
        if (open) open.isStale = !!parts.pop();
    }
    open?.emit(EVENTS[what - READY] ?? "", ...parts);
  }

  /**
   * @param {string} state
   * @param {string | undefined} reason
   * @param {number | undefined} isRefused
   */
  #tellState(state, reason, isRefused) {
    this.state = state;
    const all = [...this.keys.values()];
    for (const open of all) open.emit("state", state, reason);
    if (!isRefused) return;
    const message = "the relay refuses this page; it will not be asked again";
    const error = new PresenceError(/** @type {string} */ (reason), message);
    for (const open of all) open.fail(error);
  }

  /**
   * Tells those who listen to errors of a key, or of any.
   *
   * @param {string | undefined} key
   * @param {PresenceError} error
   */
  #complain(key, error) {
    for (const open of [...this.keys.values()]) {
      if (key === undefined || key === open.key) open.emit("error", error);
    }
  }

  /** @param {number} fetch */
  #fetchToken(fetch) {
    const source = /** @type {string | (() => unknown)} */ (this.#options.token);
    const done = (/** @type {string | undefined} */ token) => this.feed(TOKEN, fetch, token);
    if (typeof source === "string") return done(source);
    const failed = (/** @type {unknown} */ cause) => {
      const message = "the token function threw, or gave no token; it will be called again";
      this.#complain(undefined, new PresenceError("token_failed", message, cause));
      done(undefined);
    };
    let asked;
    try {
      asked = Promise.resolve(source());
    } catch (cause) {
      return failed(cause);
    }
    asked.then(
      (token) =>
        typeof token === "string" && TOKEN_FORM.test(token) ? done(token) : failed(token),
      failed,
    );
  }

  /** @param {number} dial */
  #open(dial) {
    // The former one, if there is one, must not speak up any more.
    this.#drop();
    try {
      const socket = new WebSocket(this.#options.socketUrl, SUBPROTOCOL);
      socket.onopen = () => this.feed(SOCKET_OPEN, dial);
      socket.onmessage = ({ data }) => {
        const [key, me] = this.#call(SOCKET_MESSAGE, dial, data);
        this.#drain();
        // Nobody but who has asked for it reads it.
        this.keys.get(key)?.emit("seen", data, me);
      };
      socket.onclose = ({ code }) => this.feed(SOCKET_CLOSED, dial, code);
      this.#socket = socket;
      this.#dial = dial;
    } catch {
      // As browsers do for an insecure one from a secure page.
      this.feed(SOCKET_CLOSED, dial, 1006);
    }
  }

  /** Listens to the socket no more. */
  #drop() {
    const socket = this.#socket;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    this.#socket = undefined;
    return socket;
  }
}

/**
 * @param {number} code
 * @param {string} message
 */
function errorOf(code, message) {
  return new PresenceError(/** @type {string} */ (ERRORS[code]), message);
}
