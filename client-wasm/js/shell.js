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
  return "prerendering" in document && document.prerendering === true;
}

/**
 * A member as the page gets to see it. Nobody can change it, and least of all what the roster holds.
 *
 * @param {string} id
 * @param {string} userId
 * @param {string} name
 * @param {number} rgb
 * @param {string | undefined} avatar
 * @param {string | undefined} info its JSON
 * @param {boolean} self
 * @param {string} state
 * @param {number} since
 * @param {Meta[]} metas those of its sessions, newest first
 */
export function member(id, userId, name, rgb, avatar, info, self, state, since, metas) {
  const sessions = metas.length;
  const color = `#${rgb.toString(16).padStart(6, "0")}`;
  const meta = Object.freeze(merged(metas));
  const user = { userId, name, color, avatar: avatar ?? null, info: JSON.parse(info ?? "null") };
  return Object.freeze({ id, ...user, self, state, since, sessions, meta });
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
 * Takes out what is in a place of a list, or puts something there, or both.
 *
 * @param {unknown[]} list
 * @param {number} at
 * @param {boolean} isGone
 * @param {unknown} object what comes there, or `undefined`
 */
export function edit(list, at, isGone, object) {
  list.splice(at, Number(isGone), ...(object ? [object] : []));
}

/**
 * The metas as one, by top-level field: the newest that has it wins. A copy.
 *
 * @param {Meta[]} metas
 */
function merged(metas) {
  const entries = metas.reverse().flatMap(Object.entries);
  return JSON.parse(JSON.stringify(Object.fromEntries(entries)));
}

/**
 * A frame of this page. What is undefined isn't written.
 *
 * @param {string} frame
 * @param {string} [key]
 * @param {string} [token]
 * @param {string} [resume]
 * @param {number} [dial]
 * @param {unknown} [meta]
 * @param {number} [age]
 * @param {boolean} [away]
 * @param {string} [name]
 * @param {string} [value]
 * @param {boolean} [invisible]
 */
export function frame(frame, key, token, resume, dial, meta, age, away, name, value, invisible) {
  const body = { key, token, resume, dial, meta, age, away, name, value, invisible };
  return JSON.stringify({ [frame]: body });
}

/** What is in the frame that was read last, one value after the other, and how far they are taken. */
const taken = { values: /** @type {any[]} */ ([]), at: 0 };

/** @typedef {(value: any) => boolean} Check whether a value is of a kind; what it is of goes into `taken` */

/** @type {Check} */
const put = (value) => taken.values.push(value) > 0;

/** @type {(type: string) => Check} */
const typeOf = (type) => (value) => typeof value === type && put(value);

/** @type {(pattern: RegExp, parse: (text: string) => void) => Check} */
const matching = (pattern, parse) => (value) => {
  if (typeof value !== "string" || !pattern.test(value)) return false;
  parse(value);
  return true;
};

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

const hexOf = (/** @type {string} */ text) => put(Number.parseInt(text, 16));
const text = typeOf("string");
/** @type {Check} */
const whole = (value) => Number.isSafeInteger(value) && put(value);
/** @type {Check} */
const natural = (value) => value >= 0 && whole(value);
/** @type {Check} */
const meta = (value) => isObject(value) && put(value);
// In two halves, since all of it is no number of JavaScript.
const id = matching(/^[\da-f]{16}$/, (it) => hexOf(it.slice(0, 8)) && hexOf(it.slice(8)));
const color = matching(/^#[\da-f]{6}$/i, (it) => hexOf(it.slice(1)));
// As `AvatarUrl` in presence-protocol has it.
const avatar = matching(
  /^(?=https:\/\/[^/?#]|http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d*)?([/?#]|$)|\/(?!\/))[^\p{Cc}\p{White_Space}\\]{1,1024}$/u,
  put,
);
/** @type {Check} */
const info = (value) => isObject(value) && put(JSON.stringify(value));
const user = object({ id: text, name: text, color, avatar: maybe(avatar), info: maybe(info) });
const presence = object({ session: id, user, since: whole, state: text, meta });

/** What a relay sends, in the order in which wire.rs takes it. @type {Record<string, Check>} */
const FRAMES = {
  welcome: object({
    session: id,
    resume: text,
    resumed: typeOf("boolean"),
    heartbeat_ms: natural,
    grace_ms: natural,
    expires_in_ms: natural,
    user_id: maybe(text),
    epoch: object({ id, age_ms: natural }),
  }),
  snapshot: object({ key: text, rev: natural, presences: list(presence) }),
  delta: object({
    key: text,
    from: natural,
    to: natural,
    joined: maybe(list(presence), 0),
    left: maybe(list(object({ session: id, reason: text })), 0),
    updated: maybe(list(object({ session: id, state: maybe(text), meta: maybe(meta) })), 0),
    pulses: maybe(list(object({ session: id, name: text, value: maybe(text) })), 0),
  }),
  heartbeat: object({ revs: list(object({ key: text, rev: natural })) }),
  // What it says is for JavaScript, which reads the text itself.
  last_seen: object({ key: text }),
  error: object({ code: text, message: text, key: maybe(text) }),
  token: object({ resume: text, expires_in_ms: natural, user_id: maybe(text) }),
};

/**
 * Reads a relay's frame, whose values are then to be taken. Returns the place of its name in `FRAMES`, or -1 if
 * it isn't a frame.
 *
 * @param {unknown} data
 */
export function read(data) {
  taken.values = [];
  taken.at = 0;
  try {
    const [[name, body], ...more] = Object.entries(JSON.parse(/** @type {string} */ (data)));
    const at = Object.keys(FRAMES).indexOf(name);
    if (typeof data === "string" && more.length === 0 && FRAMES[name]?.(body)) return at;
  } catch {
    // It isn't even JSON, or there is nothing in it.
  }
  return -1;
}

/** The next value. */
export function take() {
  return taken.values[taken.at++];
}

/**
 * What a page that is closed while it is disconnected posts to the relay.
 *
 * @param {string} resume
 * @param {number} dial
 * @param {string[]} keys
 */
export function beacon(resume, dial, keys) {
  return JSON.stringify({ resume, dial, keys });
}

/**
 * What `poll` says is to be done next.
 *
 * @param {unknown[]} parts
 */
export function output(...parts) {
  return parts;
}
