// @ts-check
//
// What `connect` gives a page: the module's functions as one object. All of what they do is in there.
import { Bar, paint } from "./bar.js";
import { ASK_LAST_SEEN, FLASH, HOLD, PULSE, REMOVE, RENEW_TOKEN } from "./call.js";
import { Connection } from "./connection.js";
import { flashArea, flashListener } from "./dom.js";
import { failed, PresenceError } from "./error.js";
import { messagesOf, say, template } from "./messages.js";
import { patched } from "./meta.js";
import {
  barOptionsOf,
  cursorOptions,
  elementOf,
  flashOptions,
  followOptions,
  modeOf,
  typingOptions,
  wrong,
} from "./options.js";
import { bytesOf, idOf, MAX_PULSE, PULSE_NAME, REASONS } from "./shell.js";

/**
 * @typedef {import("./options.js").Options} Options
 * @typedef {import("../index.js").Member} Member
 * @typedef {import("../index.js").Pulse} Pulse
 * @typedef {(event: never) => void} Listener
 *
 * @typedef {object} BarPart
 * @property {(members?: readonly Member[], changed?: readonly Member[], hasMoved?: unknown) => void} draw
 * @property {() => void} again
 * @property {() => void} remove
 */

/**
 * How an event is made of what the module tells.
 *
 * @type {Record<string, (...parts: any[]) => unknown>}
 */
const EVENTS = {
  join: (member, quiet) => ({ member, quiet }),
  leave: (member, quiet, reason) => ({ member, reason: REASONS[reason], quiet }),
  update: (member, before) => ({ member, before }),
  pulse: (pulse) => pulse,
  location: (member, location, before) => ({ member, location, before }),
  state: (state, reason) => (reason === undefined ? { state } : { state, reason }),
  change: (members) => ({ count: members.length, members }),
  flash: (flash) => flash,
  error: (error) => error,
  // Not for pages: what the relay has answered, and whom.
  seen: (...answer) => answer,
};

/** Nobody, once it is over. */
const NOBODY = /** @type {readonly Member[]} */ (Object.freeze([]));

export class Here {
  #open;
  /** @type {import("./connection.js").Sink} */
  #sink;
  /** @type {Set<number>} */
  #flashes = new Set();
  /** @type {Map<string, Set<{ listener: Listener }>>} */
  #listeners = new Map();
  /** What was loaded for this page and has not been ended. @type {Set<AbortController>} */
  #helpers = new Set();
  /** @type {Set<BarPart>} */
  #bars = new Set();
  #messages;
  #isOver = false;
  #tellsLocations = false;
  /** What others say for the moment, by session and name. @type {Map<string, { text: string, pulse: Pulse }>} */
  #pulses = new Map();
  #leads = false;
  /** The page's own pulses have left no room for the package's, which was told. */
  #isFull = false;
  /** @type {string | null} */
  #place = null;
  /** What has just been said in a flash area. @type {Set<string>} */
  #said = new Set();
  /** Who was here when somebody asked for locations, of which there were none. @type {readonly Member[] | null} */
  #before = null;
  #ask = () => this.#feed(ASK_LAST_SEEN, this.key);

  /**
   * @param {import("./connection.js").Core} core
   * @param {Options} options
   */
  constructor(core, options) {
    /** @type {(result: any) => void} */
    let resolve = () => {};
    /** @type {(error: Error) => void} */
    let reject = () => {};
    this.ready = new Promise((...settle) => {
      [resolve, reject] = settle;
    });
    // Who doesn't wait for it doesn't want to hear of its rejection either.
    this.ready.catch(() => {});
    this.key = options.key;
    this.#messages = options.messages;
    this.#sink = (name, ...parts) => {
      if (name === "ready") resolve(undefined);
      else if (name === "failed") reject(parts[0]);
      else if (name === "pulse") {
        const [member, high, low, ...what] = /** @type {[any, number, number, string]} */ (parts);
        this.#pulsed(member, idOf(high, low), ...what);
      } else this.#emit(name, parts);
    };
    this.#open = Connection.enter(core, options, this.#sink);
    this.#look();
  }

  get messages() {
    return this.#messages;
  }

  set messages(messages) {
    this.#messages = messagesOf(messages);
    for (const bar of this.#bars) bar.again();
  }

  get members() {
    return this.state === "stopped" ? NOBODY : this.#open.connection.members(this.key);
  }

  get count() {
    return this.members.length;
  }

  get self() {
    return this.members.find(({ self }) => self) ?? null;
  }

  get state() {
    return this.#isOver ? "stopped" : this.#open.state;
  }

  get mode() {
    return this.#open.mode;
  }

  set mode(mode) {
    const checked = modeOf(mode);
    if (this.#isOver || checked === this.mode) return;
    this.#open.mode = checked;
    this.#open.connection.join(this.#open);
  }

  /**
   * @param {string} event
   * @param {Listener} listener
   * @param {unknown} [options] those of `flash`
   */
  on(event, listener, options) {
    if (!Object.hasOwn(EVENTS, event)) throw wrong("on", `there is no event "${event}"`);
    if (typeof listener !== "function") throw wrong("on", "the listener must be a function");
    if (event === "flash") {
      const rules = flashOptions(options);
      const tell = (/** @type {any} */ it) => call(listener, /** @type {never} */ (it));
      const part = this.#flash(flashListener(this, tell), rules);
      return () => this.#remove(part);
    }
    if (options !== undefined) throw wrong("on", `"${event}" takes no options`);
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    if (event === "location") {
      this.#before ??= this.members;
      this.#look();
    }
    // Whoever listens twice is called twice.
    const entry = { listener };
    listeners.add(entry);
    return () => {
      listeners.delete(entry);
    };
  }

  /** @param {unknown} patch */
  update(patch) {
    if (this.#isOver) return;
    this.#open.meta = patched(this.#open.meta, patch);
    this.#open.connection.join(this.#open);
  }

  /**
   * @param {unknown} name
   * @param {unknown} value
   */
  pulse(name, value) {
    const text = value === null ? undefined : textOf(value);
    const isShort = text !== null && bytesOf(text ?? "") <= MAX_PULSE;
    const fits = typeof name === "string" && PULSE_NAME.test(name) && isShort;
    if (fits && (this.#isOver || this.#feed(PULSE, this.key, name, text))) return;
    const rule = "takes 1 to 16 lower-case letters and JSON of at most 512 bytes, 8 at a time";
    throw new PresenceError("bad_pulse", `pulse: ${rule}`);
  }

  /**
   * The same for what is loaded later: its listeners have nobody to throw to, and are told again and again.
   *
   * @param {string} name
   * @param {unknown} value
   */
  tell(name, value) {
    try {
      this.pulse(name, value);
    } catch (error) {
      if (!this.#isFull) this.#emit("error", [error]);
      this.#isFull = true;
    }
  }

  /** @param {string} name */
  pulses(name) {
    const { members } = this;
    return [...this.#pulses.values()]
      .filter(({ pulse }) => pulse.name === name)
      .map(({ pulse }) => {
        const member = members.find(({ id }) => id === pulse.member.id) ?? pulse.member;
        return { ...pulse, member };
      });
  }

  /**
   * @param {unknown} target
   * @param {unknown} [options]
   */
  bar(target, options) {
    const checked = barOptionsOf(options);
    const element = elementOf(target);
    /** @type {(() => void)[]} */
    const ends = [];
    const bar = new Bar(this.messages, checked, (start, again) => {
      ends.push(this.#later(() => import("./touch.js"), start, again));
    });
    /** @type {BarPart} */
    const part = {
      draw: (members = this.members, ...what) => bar.draw(members, this.#open.standing, ...what),
      again: () => {
        bar.speak(this.messages);
        part.draw();
      },
      remove: () => {
        for (const end of ends) end();
        this.#bars.delete(part);
        bar.root.remove();
      },
    };
    if (this.#isOver) return part.remove;
    element.append(bar.root);
    this.#bars.add(part);
    part.draw();
    if (checked.lastSeen) {
      const end = this.#later(loadLastSeen, (it, controller) => {
        it.show(this, controller, bar.root, this.#bars, this.#ask, say);
      });
      ends.push(end);
    }
    return part.remove;
  }

  renewToken() {
    if (!this.#isOver) this.#feed(RENEW_TOKEN);
  }

  async lastSeen() {
    const { ask } = await loadLastSeen().catch((cause) => {
      throw failed("a part of whoshere", cause);
    });
    const seen = await ask(this, this.#ask);
    if (seen === null) throw new PresenceError("left", "this presence has ended");
    return seen;
  }

  /**
   * @param {unknown} target
   * @param {unknown} [options]
   */
  flash(target, options) {
    const element = elementOf(target);
    const rules = flashOptions(options);
    const hold = (/** @type {[number | undefined, number | undefined]} */ ...read) =>
      this.#feed(HOLD, part, ...read);
    // Two areas say a thing at about the same time, and a screen reader has to be told once.
    const isNews = (/** @type {string} */ text) => {
      setTimeout(() => this.#said.delete(text), 500);
      return !this.#said.has(text) && !!this.#said.add(text);
    };
    const part = this.#flash(flashArea(element, this, hold, isNews), rules);
    return () => this.#remove(part);
  }

  /** @param {unknown} [target] */
  inspect(target) {
    const isFloating = target === undefined;
    const element = isFloating ? document.body : elementOf(target);
    return this.#later(
      () => import("./inspect.js"),
      (it, { signal }) => {
        const here = /** @type {any} */ (this);
        const roundTrip = () => this.#open.connection.roundTrip;
        signal.addEventListener("abort", it.inspect(here, element, isFloating, roundTrip));
      },
    );
  }

  /**
   * @param {unknown} target
   * @param {unknown} [options]
   */
  typing(target, options) {
    const [field, { show, name }] = [elementOf(target), typingOptions(options)];
    return this.#later(
      () => import("./typing.js"),
      (it, controller) => it.start(this, controller, field, show, name, { say, template }),
    );
  }

  /**
   * @param {unknown} target
   * @param {unknown} [options]
   */
  cursors(target, options) {
    const [element, { anchors, selections }] = [elementOf(target), cursorOptions(options)];
    // Nothing can stand beside the root.
    const surface = element === document.documentElement ? document.body : element;
    return this.#later(
      () => import("./cursors.js"),
      (it, controller) => it.start(this, controller, surface, anchors, selections, paint),
    );
  }

  /**
   * @param {unknown} userId
   * @param {unknown} [options]
   */
  follow(userId, options) {
    if (typeof userId !== "string" || !userId) throw wrong("follow", "takes a user's id");
    const { onEnd } = followOptions(options);
    const end = () => onEnd && call(onEnd, /** @type {never} */ (undefined));
    return this.#later(loadLocation, (it, controller) => it.follow(this, controller, userId), end);
  }

  /** @param {unknown} place */
  at(place) {
    if (place !== null && typeof place !== "string") throw wrong("at", "takes a string or null");
    this.update({ at: place });
    this.#place = place;
    return () => {
      // It may be somewhere else by now.
      if (place !== null && this.#place === place) this.at(null);
    };
  }

  leave() {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const helper of this.#helpers) helper.abort();
    this.#listeners.clear();
    for (const { remove } of [...this.#bars]) remove();
    this.#pulses.clear();
    for (const part of this.#flashes) this.#remove(part);
    this.#open.connection.leave(this.#open, this.#sink);
  }

  /**
   * What most pages don't have is loaded when a page asks for it.
   *
   * @template Module
   * @param {() => Promise<Module>} load
   * @param {(module: Module, controller: AbortController) => void} start
   * @param {() => void} [onEnd] called when it has ended, also if it never began
   * @returns {() => void} ends it, also before it is there
   */
  #later(load, start, onEnd = () => {}) {
    const controller = new AbortController();
    const { signal } = controller;
    this.#helpers.add(controller);
    const end = () => {
      this.#helpers.delete(controller);
      onEnd();
    };
    // Until it has begun: then it is the last to be told.
    signal.addEventListener("abort", end);
    load().then(
      (module) => {
        if (signal.aborted) return;
        signal.removeEventListener("abort", end);
        start(module, controller);
        signal.addEventListener("abort", end);
      },
      (cause) => {
        if (signal.aborted) return;
        this.#emit("error", [failed("a part of whoshere", cause)]);
        controller.abort();
      },
    );
    return () => controller.abort();
  }

  /**
   * @param {import("./dom.js").Teller} teller
   * @param {ReturnType<typeof flashOptions>} rules
   */
  #flash(teller, { joins, leaves, muteAbove }) {
    if (this.#isOver) {
      teller.end();
      return 0;
    }
    const kinds = Number(joins) + 2 * Number(leaves);
    const part = this.#feed(FLASH, this.key, teller, kinds, muteAbove);
    this.#flashes.add(part);
    return part;
  }

  /** @param {number} part */
  #remove(part) {
    this.#flashes.delete(part);
    this.#feed(REMOVE, part);
  }

  /**
   * @template {keyof import("./call.js").Calls} What
   * @param {What} what
   * @param {import("./call.js").Calls[What]} args
   */
  #feed(what, ...args) {
    return this.#open.connection.feed(what, ...args);
  }

  /**
   * Tells of locations once there is one, and leads once somebody follows.
   *
   * @param {readonly Member[]} [members] who have come or changed
   */
  #look(members = this.members) {
    const before = this.#before;
    if (before && !this.#tellsLocations && members.some(({ meta }) => "at" in meta)) {
      this.#tellsLocations = true;
      this.#later(loadLocation, (it, controller) => {
        it.watch(this, controller, before, (...parts) => this.#emit("location", parts));
      });
    }
    if (!this.#leads && members.some(({ meta }) => meta.following)) {
      this.#leads = true;
      this.#later(loadLocation, (it, controller) => it.lead(this, controller));
    }
  }

  /**
   * Somebody says something for the moment, says it again, or no longer says it.
   *
   * @param {Member | undefined} member unless it is gone
   * @param {string} session
   * @param {string} name
   * @param {string} [text]
   */
  #pulsed(member, session, name, text) {
    const id = `${session} ${name}`;
    const known = /** @type {any} */ (this.#pulses.get(id));
    if (text === undefined) {
      if (this.#pulses.delete(id)) {
        this.#emit("pulse", [{ ...known.pulse, ...(member && { member }), value: null }]);
      }
    } else if (member && known?.text !== text) {
      let value;
      try {
        value = JSON.parse(text);
      } catch {
        // Another client's; whoever reads it doesn't understand it either.
        return;
      }
      const pulse = { member, session, name, value };
      this.#pulses.set(id, { text, pulse });
      this.#emit("pulse", [pulse]);
    }
  }

  /**
   * @param {string} name
   * @param {unknown[]} parts
   */
  #emit(name, parts) {
    const drawn = name === "change" ? parts : name === "state" && [this.members, []];
    if (drawn) {
      for (const { draw } of [...this.#bars]) draw(.../** @type {any[]} */ (drawn));
      this.#look(/** @type {any} */ (drawn[1]));
    }
    if (name === "state" && parts[0] === "stopped") {
      for (const { pulse } of this.#pulses.values()) {
        this.#pulsed(undefined, pulse.session, pulse.name);
      }
    }
    const listeners = this.#listeners.get(name);
    if (listeners?.size) {
      const event = /** @type {never} */ (EVENTS[name]?.(...parts));
      for (const entry of [...listeners]) {
        // Another one may have ended it.
        if (listeners.has(entry)) call(entry.listener, event);
      }
    } else if (name === "error") {
      // A developer looks for it there.
      console.warn(parts[0]);
    }
  }
}

/** @param {unknown} value */
function textOf(value) {
  try {
    return JSON.stringify(value) ?? null;
  } catch {
    return null;
  }
}

const loadLocation = () => import("./location.js");
const loadLastSeen = () => import("./last-seen.js");

/**
 * What a listener throws is the page's own affair.
 *
 * @param {Listener} listener
 * @param {never} event
 */
function call(listener, event) {
  try {
    listener(event);
  } catch (error) {
    reportError(error);
  }
}

// Old browsers don't have the symbol, and their pages no use for it.
if (Symbol.dispose) {
  /** @type {any} */ (Here.prototype)[Symbol.dispose] = Here.prototype.leave;
}
