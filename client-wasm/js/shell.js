// @ts-check
//
// What the compiled module imports, all from here: its events, and what is a line in JavaScript and a
// kilobyte in WebAssembly.
//
// Few and large files on purpose. A page that doesn't bundle them fetches them in steps, and the small
// server of wasm-bindgen's test runner gets stuck when it is asked for more than three at a time.
//
// Metas come out of `JSON.parse`: all of their fields are own ones, `__proto__` too.
export * from "./dom.js";
export { PresenceError } from "./error.js";

/** @typedef {"hide" | "show" | "wake" | "activate"} PageEvent */
/** @typedef {Record<string, unknown>} Meta */

/**
 * Calls a function at each of these, until the function that is returned is called.
 *
 * Never listens to `beforeunload` or `unload`: the one comes when the reader then decides to stay, the
 * other not at all on a phone, and both keep the page out of the back-forward cache.
 *
 * @param {(event: PageEvent) => void} onEvent
 */
export function watchPage(onEvent) {
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
  on(window, "pagehide", "hide");
  on(window, "pageshow", "show");
  on(window, "online", "wake");
  on(document, "visibilitychange", "wake", () => document.visibilityState === "visible");
  // After it was frozen.
  on(document, "resume", "wake");
  on(document, "prerenderingchange", "activate");
  return () => controller.abort();
}

/** True while the page is loaded ahead of time, for a reader who may never come. */
export function isPrerendering() {
  return "prerendering" in document && document.prerendering === true;
}

/**
 * A meta with the fields of a patch; those that are null are removed.
 *
 * @param {Meta} meta
 * @param {Meta} patch
 */
export function patched(meta, patch) {
  const entries = Object.entries(meta).concat(Object.entries(patch));
  return Object.fromEntries(entries.filter(([name]) => patch[name] !== null));
}

/**
 * A member as the page gets to see it. Nobody can change it, and least of all what the roster holds.
 *
 * @param {string} id
 * @param {string} userId
 * @param {string} name
 * @param {string} color
 * @param {string | undefined} avatar
 * @param {boolean} self
 * @param {string} state
 * @param {number} since
 * @param {Meta[]} metas those of its sessions, newest first
 */
export function member(id, userId, name, color, avatar, self, state, since, metas) {
  const sessions = metas.length;
  const meta = Object.freeze(merged(metas));
  const user = { userId, name, color, avatar: avatar ?? null };
  return Object.freeze({ id, ...user, self, state, since, sessions, meta });
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
 * @param {string} name
 * @param {string} [key]
 * @param {string} [token]
 * @param {string} [resume]
 * @param {number} [dial]
 * @param {unknown} [meta]
 * @param {number} [age]
 * @param {boolean} [away]
 */
export function frame(name, key, token, resume, dial, meta, age, away) {
  return JSON.stringify({ [name]: { key, token, resume, dial, meta, age, away } });
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
