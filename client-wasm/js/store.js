// @ts-check
//
// What the bindings have in common: a presence as something that frameworks can hold, watch and let go.
import { connect } from "../index.js";

/**
 * @typedef {import("../index.js").ConnectOptions} ConnectOptions
 * @typedef {import("../index.js").Here} Here
 * @typedef {import("../index.js").PresenceError} PresenceError
 * @typedef {import("../react.js").Presence} Presence
 * @typedef {(error: PresenceError) => void} OnError
 */

/** What is known before there is a presence, and all that a server ever knows. @type {Presence} */
export const NOTHING = Object.freeze({
  here: null,
  members: Object.freeze([]),
  self: null,
  typing: Object.freeze([]),
  state: "connecting",
  error: null,
});

/** What stands for a token function that may be made anew at each rendering. @type {WeakMap<Function, Source>} */
const sources = new WeakMap();

/** @typedef {{ latest: Function, call: () => any }} Source */

/**
 * What makes a presence another one, as text. The token function doesn't: pages write it where they
 * need it, and so it is another one at each rendering. Nor do the meta and the mode, which can be changed.
 *
 * @param {ConnectOptions} options
 */
function identityOf({ url, token, meta: _, mode: __, ...rest }) {
  return textOf([String(url), typeof token === "string" ? token : "", rest]);
}

/**
 * A value as text, to see whether it is another one. What can't be written is as good as why not: that it
 * makes no sense is said where it is used.
 *
 * @param {unknown} value
 */
export function textOf(value) {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    return String(cause);
  }
}

/** A presence that is entered while somebody holds it. */
export class PresenceStore {
  #options;
  #identity;
  /** @type {Source | undefined} */
  #source;
  /** @type {OnError | undefined} */
  #onError;
  #nHolders = 0;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** Tells one entering from the next. @type {object | undefined} */
  #entering;
  /** The meta that was told last, as text: pages change it in place. */
  #meta = "";
  /** What is in the one that `here` has. @type {string[]} */
  #metaNames = [];
  /** The mode that was told last. @type {ConnectOptions["mode"]} */
  #mode;
  /** What is known now: the same object until something changes. */
  snapshot = NOTHING;

  /**
   * @param {ConnectOptions} options
   * @param {OnError} [onError]
   */
  constructor(options, onError) {
    this.#options = options;
    this.#identity = identityOf(options);
    this.#onError = onError;
  }

  /**
   * Takes over other options. Those of another presence leave the one and enter the other.
   *
   * @param {ConnectOptions} options
   * @param {OnError} [onError]
   */
  set(options, onError) {
    const identity = identityOf(options);
    const { here, state, error } = this.snapshot;
    // Another mode may be one that the token allows.
    const isOver = state === "stopped" && options.mode !== this.#mode;
    const isSame = identity === this.#identity && !isOver;
    this.#options = options;
    this.#identity = identity;
    this.#onError = onError;
    if (this.#source !== undefined && typeof options.token === "function") {
      this.#source.latest = options.token;
    }
    if (!isSame && this.#entering !== undefined) {
      this.#enter();
      this.#tell(NOTHING);
      // After the next one is entered, so that they can share the connection.
      setTimeout(() => here?.leave());
    } else if (here !== null) this.#tellChanges(here);
    else if (error?.code === "bad_meta" && textOf(options.meta ?? {}) !== this.#meta) {
      this.#enter();
      this.#tell(NOTHING);
    }
  }

  /** @param {() => void} listener */
  subscribe = (listener) => {
    const entry = () => listener();
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  };

  /**
   * Is in it until the function that is returned has been called, by the last one who holds it.
   *
   * @returns {() => void}
   */
  hold() {
    this.#nHolders += 1;
    if (this.#entering === undefined) this.#enter();
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#nHolders -= 1;
      // Not at once: frameworks let go and hold again when they move something, or check a page.
      setTimeout(() => this.#nHolders === 0 && this.#leave());
    };
  }

  async #enter() {
    // On a server there is nowhere to be.
    if (!globalThis.document) return;
    const entering = {};
    this.#entering = entering;
    const isCurrent = () => this.#entering === entering;
    const { meta = {}, mode } = this.#options;
    const text = textOf(meta);
    /** @type {Here} */
    let here;
    try {
      here = await connect({ ...this.#options, token: this.#token() });
    } catch (cause) {
      if (!isCurrent()) return;
      // Another one may be a good one.
      this.#meta = text;
      this.#mode = mode;
      const error = /** @type {PresenceError} */ (cause);
      this.#tell({ ...NOTHING, state: "stopped", error });
      return this.#fail(error);
    }
    if (!isCurrent()) return here.leave();
    this.#meta = text;
    this.#metaNames = Object.keys(JSON.parse(text));
    this.#mode = mode;
    let error = /** @type {PresenceError | null} */ (null);
    const tell = () => {
      // The one before is left a little later.
      if (!isCurrent()) return;
      const { members, self, state } = here;
      const typing = kept(this.snapshot.typing, typingIn(here));
      this.#tell({ here, members, self, typing, state, error });
    };
    here.on("change", tell);
    here.on("pulse", ({ name }) => name === "typing" && tell());
    here.on("state", ({ state }) => {
      if (state === "live") error = null;
      tell();
    });
    here.on("error", (it) => {
      if (!isCurrent()) return;
      error = it;
      tell();
      this.#fail(it);
    });
    tell();
    this.#tellChanges(here);
  }

  #leave() {
    const { here } = this.snapshot;
    this.#entering = undefined;
    here?.leave();
    this.#tell(NOTHING);
  }

  /** The token, or the function that stands for whichever the page gives. */
  #token() {
    const { token } = this.#options;
    if (typeof token !== "function") return token;
    // Who shared it may have got another function since.
    if (this.#source?.latest !== token) this.#source = sourceOf(token);
    return this.#source.call;
  }

  /** @param {Here} here */
  #tellChanges(here) {
    const { meta = {}, mode } = this.#options;
    const text = textOf(meta);
    try {
      if (mode !== this.#mode) {
        this.#mode = mode;
        here.mode = mode ?? "join";
      }
      if (text === this.#meta) return;
      const gone = this.#metaNames.map((name) => [name, null]);
      this.#meta = text;
      here.update({ ...Object.fromEntries(gone), ...meta });
      this.#metaNames = Object.keys({ ...meta });
    } catch (error) {
      this.#fail(/** @type {PresenceError} */ (error));
    }
  }

  /** @param {PresenceError} error */
  #fail(error) {
    // A developer looks for it there.
    if (this.#onError === undefined) console.warn(error);
    else this.#onError(error);
  }

  /** @param {Presence} snapshot */
  #tell(snapshot) {
    const names = /** @type {(keyof Presence)[]} */ (Object.keys(NOTHING));
    if (names.every((name) => snapshot[name] === this.snapshot[name])) return;
    this.snapshot = Object.freeze(snapshot);
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (error) {
        // The page's own affair, and none of the other listeners'.
        reportError(error);
      }
    }
  }
}

/**
 * Who else is typing, each of them once.
 *
 * @param {Here} here
 */
function typingIn(here) {
  const ids = new Set(here.pulses("typing").map(({ member }) => member.id));
  return here.members.filter(({ id, self }) => !self && ids.has(id));
}

/**
 * The list from before, unless another has something else in it.
 *
 * @template T
 * @param {readonly T[]} before
 * @param {readonly T[]} list
 */
function kept(before, list) {
  return before.length === list.length && list.every((it, i) => it === before[i]) ? before : list;
}

/**
 * The same for those who begin with the same function, so that they share one connection, until one of
 * them has got another function: that may be another person's.
 *
 * @param {Function} token
 * @returns {Source}
 */
function sourceOf(token) {
  const known = sources.get(token);
  if (known?.latest === token) return known;
  /** @type {Source} */
  const source = { latest: token, call: () => source.latest() };
  sources.set(token, source);
  return source;
}
