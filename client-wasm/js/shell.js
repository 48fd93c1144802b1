// @ts-check
//
// What the compiled module imports, all from here: its events, and what is a line in JavaScript and a
// kilobyte in WebAssembly.
//
// Few and large files on purpose. A page that doesn't bundle them fetches them in steps, and the small
// server of wasm-bindgen's test runner gets stuck when it is asked for more than three at a time.
//
// Metas come out of `JSON.parse`: all of their fields are own ones, `__proto__` too.

// What happens to a page, by the numbers of driver.rs. The last one isn't its business.
const HIDE = 0;
const SHOW = 1;
const WAKE = 2;
const LOOK = 3;
const INPUT = 4;
export const ACTIVATE = 5;

/** @typedef {number} PageEvent */
/** @typedef {Record<string, unknown>} Meta */

/**
 * Calls a function at each of these, until the function that is returned is called.
 *
 * Never listens to `beforeunload` or `unload`: the one comes when the reader then decides to stay, the
 * other not at all on a phone, and both keep the page out of the back-forward cache.
 *
 * @param {(event: PageEvent) => void} onEvent
 * @param {boolean} isAttentive true if it is to be told of inputs, too
 */
export function watchPage(onEvent, isAttentive) {
  const controller = new AbortController();
  /**
   * @param {EventTarget} target
   * @param {string} type
   * @param {PageEvent} event
   * @param {() => boolean} [applies]
   */
  const on = (target, type, event, applies = () => true) => {
    const listener = () => applies() && onEvent(event);
    target.addEventListener(type, listener, { signal: controller.signal });
  };
  on(window, "pagehide", HIDE);
  on(window, "pageshow", SHOW);
  on(window, "online", WAKE);
  on(document, "visibilitychange", WAKE, () => !isHidden());
  on(document, "visibilitychange", LOOK, isHidden);
  // After it was frozen.
  on(document, "resume", WAKE);
  on(document, "prerenderingchange", ACTIVATE);
  if (isAttentive) watchInputs(() => onEvent(INPUT), controller.signal);
  return () => controller.abort();
}

/**
 * Calls a function when somebody touches the page, once a second at most.
 *
 * @param {() => void} onInput
 * @param {AbortSignal} signal
 */
function watchInputs(onInput, signal) {
  let last = -1000;
  const listener = () => {
    const now = performance.now();
    if (now - last < 1000) return;
    last = now;
    onInput();
  };
  // Not `scroll`: a page that follows the end of its log scrolls without anybody there.
  for (const type of ["pointermove", "pointerdown", "keydown", "wheel", "touchmove"]) {
    window.addEventListener(type, listener, { signal, passive: true, capture: true });
  }
}

/** True while the tab is behind others, or its window is. */
export function isHidden() {
  return document.visibilityState === "hidden";
}

/** True while the page is loaded ahead of time, for a reader who may never come. */
export function isPrerendering() {
  return /** @type {any} */ (document).prerendering === true;
}

/** How a presence is. */
const STATES = ["active", "away", "reconnecting"];
/** Why a presence is gone. */
export const REASONS = ["left", "timeout", "kicked"];
/** What the relay complains about. All three in the order in which presence-protocol has them. */
export const ERRORS = [
  "bad_frame",
  "bad_key",
  "bad_meta",
  "bad_pulse",
  "key_denied",
  "key_expired",
  "key_full",
  "too_many_keys",
  "not_joined",
  "not_allowed",
  "kicked",
  "unavailable",
  "token_expired",
  "token_denied",
];

/**
 * An id of 64 bits.
 *
 * @param {number[]} halves
 */
export function idOf(...halves) {
  return halves.map((half) => half.toString(16).padStart(8, "0")).join("");
}

/**
 * A member as the page gets to see it. Nobody can change it, and least of all what the roster holds.
 *
 * @param {{ userId: string, info: unknown }} user
 * @param {boolean} isSession false if it is all sessions of the user
 * @param {number} high of the session's id
 * @param {number} low
 * @param {boolean} self
 * @param {number} state
 * @param {number} since
 * @param {Meta[]} metas those of its sessions, newest first
 */
export function member(user, isSession, high, low, self, state, since, metas) {
  const id = isSession ? idOf(high, low) : user.userId;
  const sessions = metas.length;
  const meta = Object.freeze(merged(metas));
  const info = user.info && structuredClone(user.info);
  return Object.freeze({ id, ...user, info, self, state: STATES[state], since, sessions, meta });
}

/** What a key is. */
export const KEY = /^[\w:./@-]{1,128}$/;
/** What a pulse is called. */
export const PULSE_NAME = /^[a-z]{1,16}$/;
/** How many bytes of JSON a pulse may have. */
export const MAX_PULSE = 512;
/** How deep a meta and an info may be nested. */
export const MAX_DEPTH = 16;

/**
 * How many bytes a text is on the wire.
 *
 * @param {string} text
 */
export function bytesOf(text) {
  return new TextEncoder().encode(text).length;
}

/**
 * How deep a value out of `JSON.parse` is nested.
 *
 * @param {unknown} value
 * @returns {number}
 */
export function depth(value) {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depth));
}

/**
 * True if two metas are the same. Mostly they are the very same object.
 *
 * @param {Meta} one
 * @param {Meta} other
 */
export function isSame(one, other) {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}

/**
 * Takes out what is in a place of a list, which is returned, or puts something there, or both.
 *
 * @param {unknown[]} list
 * @param {number} at
 * @param {boolean} isGone
 * @param {unknown} object what comes there, or `undefined`
 */
export function edit(list, at, isGone, object) {
  return list.splice(at, isGone ? 1 : 0, ...(object ? [object] : []))[0];
}

/**
 * A copy for the page: one of a frozen list would take a hundred times as long.
 *
 * @param {unknown[]} list
 */
export const frozen = (list) => Object.freeze(list.slice());

/**
 * The metas as one, by top-level field: the newest that has it wins. A copy.
 *
 * @param {Meta[]} metas
 */
function merged(metas) {
  const entries = metas.reverse().flatMap(Object.entries);
  return JSON.parse(JSON.stringify(Object.fromEntries(entries)));
}

/** This page's frames, by the numbers of wire.rs, and what each is of. */
const SENT = /** @type {[string, ...string[]][]} */ (
  [
    "hello token resume dial",
    "join key token meta age away",
    "observe key token invisible",
    "update key meta",
    "pulse key name value",
    "leave key",
    "resync key",
    "last_seen key",
    "attention away",
    "token token",
    "heartbeat",
  ].map((it) => it.split(" "))
);

/**
 * A frame of this page. What is undefined isn't written.
 *
 * @param {[frame: number, ...values: unknown[]]} said
 */
export function written([frame, ...values]) {
  const [name, ...fields] = SENT[frame] ?? [""];
  const body = Object.fromEntries(fields.map((field, at) => [field, values[at]]));
  return JSON.stringify({ [name]: body });
}

/**
 * What a page that is closed while it is disconnected posts to the relay.
 *
 * @param {[resume: string, dial: number, ...keys: string[]]} said
 */
export function beacon([resume, dial, ...keys]) {
  return JSON.stringify({ resume, dial, keys });
}

/** What the module has said since the last time. @type {any[]} */
let said = [];

/**
 * The module says something.
 *
 * @param {unknown} value
 */
export function say(value) {
  said.push(value);
}

/**
 * The same of a natural number, which crosses by itself, but with a sign.
 *
 * @param {number} value
 */
export function sayInt(value) {
  said.push(value >>> 0);
}

/** What the module has said. */
export function heard() {
  const it = said;
  said = [];
  return it;
}

/** What the module is to take, one value after the other, and how far it is. */
const taken = { values: /** @type {any[]} */ ([]), at: 0 };

/**
 * Gives the module something to take.
 *
 * @param {unknown[]} values
 */
export function give(values) {
  taken.values = values;
  taken.at = 0;
}

/** The next value. */
export function take() {
  return taken.values[taken.at++];
}

// As a number it crosses by itself.
export { take as takeInt };

/** @typedef {(value: any) => boolean} Check whether a value is of a kind; what it is of goes into `taken` */

/** @type {Check} */
const put = (value) => taken.values.push(value) > 0;

/** @type {(type: string) => Check} */
const typeOf = (type) => (value) => typeof value === type && put(value);

/** @type {(value: unknown, pattern: RegExp, mostBytes?: any) => value is string} */
const isText = (value, pattern, mostBytes) =>
  typeof value === "string" &&
  pattern.test(value) &&
  // Mostly it is too short for that to need a count.
  !(value.length * 3 > mostBytes && bytesOf(value) > mostBytes);

/** @type {(pattern: RegExp, mostBytes?: number) => Check} */
const matching = (pattern, mostBytes) => (value) => isText(value, pattern, mostBytes) && put(value);

/** @type {(names: string[]) => Check} */
const oneOf = (names) => (value) => names.includes(value) && put(names.indexOf(value));

/** @type {(check: Check, otherwise?: unknown) => Check} may be missing or `null`, but not wrong */
const maybe = (check, otherwise) => (value) => (value == null ? put(otherwise) : check(value));

/** @type {(check: Check) => Check} */
const list = (check) => (value) =>
  Array.isArray(value) && put(value.length) && value.every((it) => check(it));

/** @type {(value: unknown) => value is Record<string, unknown>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @type {(checks: Record<string, Check>) => Check} */
const object = (checks) => (value) =>
  isObject(value) && Object.entries(checks).every(([name, check]) => check(value[name]));

const text = typeOf("string");
/** @type {Check} */
const whole = (value) => Number.isSafeInteger(value) && put(value);
/** @type {Check} */
const natural = (value) => value >= 0 && whole(value);
/** @type {(value: unknown) => boolean} shallow enough for whatever goes through all of it */
const isShallow = (value) => isObject(value) && depth(value) <= MAX_DEPTH;
/** @type {Check} */
const meta = (value) => isShallow(value) && put(value);
/** @type {Check} in two halves, since all of it is no number of JavaScript */
const id = (value) =>
  isText(value, /^[\da-f]{16}$/) &&
  [value.slice(0, 8), value.slice(8)].every((half) => put(Number.parseInt(half, 16)));
const key = matching(KEY);
// As `AvatarUrl` in presence-protocol has it.
const AVATAR =
  /^(?=https:\/\/[^/?#]|http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d*)?([/?#]|$)|\/(?!\/))[^\p{Cc}\p{White_Space}\\]{1,1024}$/u;
// Half a character would be another one in Rust.
const NAME = /^[^\p{Cc}\p{Cs}]+$/u;
/** @type {(value: unknown) => boolean} */
const isInfo = (value) => isShallow(value) && bytesOf(JSON.stringify(value)) <= 1024;
/** @type {Check} */
const user = (value) => {
  if (!isObject(value)) return false;
  const { id: userId, name, color, avatar, info } = value;
  return (
    isText(userId, NAME, 128) &&
    isText(name, NAME, 256) &&
    isText(color, /^#[\da-f]{6}$/i) &&
    (avatar == null || isText(avatar, AVATAR)) &&
    (info == null || isInfo(info)) &&
    put(userId) &&
    put({
      userId,
      name,
      color: color.toLowerCase(),
      avatar: avatar ?? null,
      info: info ?? null,
    })
  );
};
const userId = matching(NAME, 128);
const state = oneOf(STATES);
/** @type {Check} one that hasn't changed is 0 */
const changed = (value) => (value == null ? put(0) : put(1) && state(value));
const presence = object({ session: id, user, since: whole, state, meta });
const pulse = object({
  session: id,
  name: matching(PULSE_NAME),
  value: maybe(matching(/^/, MAX_PULSE)),
});

/** What a relay sends, in the order in which wire.rs takes it. @type {Record<string, Check>} */
const FRAMES = {
  welcome: object({
    session: id,
    resume: text,
    resumed: typeOf("boolean"),
    heartbeat_ms: natural,
    grace_ms: natural,
    expires_in_ms: natural,
    user_id: maybe(userId),
    epoch: object({ id, age_ms: natural }),
  }),
  snapshot: object({ key, rev: natural, presences: list(presence) }),
  delta: object({
    key,
    from: natural,
    to: natural,
    joined: maybe(list(presence), 0),
    left: maybe(list(object({ session: id, reason: oneOf(REASONS) })), 0),
    updated: maybe(list(object({ session: id, state: changed, meta: maybe(meta) })), 0),
    pulses: maybe(list(pulse), 0),
  }),
  heartbeat: object({ revs: list(object({ key, rev: natural })) }),
  // What it says is for JavaScript, which reads the text itself.
  last_seen: object({ key }),
  error: object({ code: oneOf(ERRORS), message: text, key: maybe(key) }),
  token: object({ resume: text, expires_in_ms: natural, user_id: maybe(userId) }),
};

/**
 * Reads a relay's frame, which is the next value, and whose own ones are then to be taken. Returns the place of its
 * name in `FRAMES`, or -1 if it isn't a frame.
 */
export function read() {
  const data = take();
  give([]);
  try {
    const [[name, body], ...more] = Object.entries(JSON.parse(data));
    const at = Object.keys(FRAMES).indexOf(name);
    if (typeof data === "string" && more.length === 0 && FRAMES[name]?.(body)) return at;
  } catch {
    // It isn't even JSON, or there is nothing in it.
  }
  return -1;
}
