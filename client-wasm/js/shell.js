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
 * @param {string} color
 * @param {string | undefined} avatar
 * @param {string | undefined} info its JSON
 * @param {boolean} self
 * @param {string} state
 * @param {number} since
 * @param {Meta[]} metas those of its sessions, newest first
 */
export function member(id, userId, name, color, avatar, info, self, state, since, metas) {
  const sessions = metas.length;
  const meta = Object.freeze(merged(metas));
  const user = { userId, name, color, avatar: avatar ?? null, info: JSON.parse(info ?? "null") };
  return Object.freeze({ id, ...user, self, state, since, sessions, meta });
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
