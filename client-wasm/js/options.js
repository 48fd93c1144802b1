// @ts-check
//
// What a page passes in, checked: whatever is wrong is an error that names it.
import { PresenceError } from "./error.js";
import { messagesOf } from "./messages.js";
import { metaOf } from "./meta.js";
import { KEY } from "./shell.js";

/**
 * @typedef {object} Options what `connect` needs, all of it
 * @property {string} socketUrl the relay's WebSocket endpoint
 * @property {string} beaconUrl where a page that is closed while it is disconnected says goodbye
 * @property {string} key filled in
 * @property {unknown} token a string or a function
 * @property {import("./shell.js").Meta} meta
 * @property {boolean} isDeduped
 * @property {string} mode
 * @property {import("./messages.js").Messages} messages
 * @property {number} idleMs after how long without an input the page is away; 0 if it never is
 */

/**
 * @param {unknown} value
 * @returns {Options}
 */
export function connectOptions(value) {
  const known = ["url", "key", "params", "token", "meta", "dedupe", "messages", "away", "mode"];
  const {
    url,
    key,
    params,
    token,
    meta = {},
    dedupe = "user",
    messages,
    away = true,
    mode = "join",
  } = knownOnly("connect", value, known);
  if (typeof key !== "string") throw wrong("key", "must be a string");
  if (!(typeof token === "function" || (typeof token === "string" && token !== ""))) {
    throw wrong("token", "must be a string or a function");
  }
  const isDeduped = oneOf("dedupe", dedupe, ["user", "none"]) === "user";
  return {
    ...relayUrls(url),
    key: filledIn(key, params),
    token,
    meta: metaOf(meta),
    isDeduped,
    mode: modeOf(mode),
    messages: messagesOf(messages),
    idleMs: idleMsOf(away),
  };
}

/** As what a page is in a key, by the numbers of driver.rs. */
export const MODES = ["join", "observe", "invisible"];

/** @param {unknown} mode */
export function modeOf(mode) {
  return oneOf("mode", mode, MODES);
}

/** What `bar` can be told; the bindings take the same as properties. */
export const BAR_OPTIONS = ["max", "look", "self", "lastSeen"];

/** Where oneself stands. */
const PLACES = ["age", "first", "last", "hidden"];

/** @param {unknown} away */
function idleMsOf(away) {
  if (away === false) return 0;
  const { idle = 300_000 } = away === true ? {} : knownOnly("away", away, ["idle"]);
  return wholeOf("idle", idle, 1000, 86_400_000);
}

/** @param {unknown} [options] */
export function barOptionsOf(options = {}) {
  const it = knownOnly("bar", options, BAR_OPTIONS);
  const { max = 5, look = "avatars", self = "age", lastSeen = false } = it;
  return {
    lastSeen: booleanOf("lastSeen", lastSeen),
    max: wholeOf("max", max, 1, 1000),
    look: oneOf("look", look, ["avatars", "initials", "dots"]),
    place: oneOf("self", self, PLACES),
  };
}

/** What flashes can be told, likewise. */
export const FLASH_OPTIONS = ["joins", "leaves", "muteAbove"];

/** @param {unknown} options */
export function flashOptions(options = {}) {
  const it = knownOnly("flash", options, FLASH_OPTIONS);
  const { joins = true, leaves = true, muteAbove = 50 } = it;
  return {
    joins: booleanOf("joins", joins),
    leaves: booleanOf("leaves", leaves),
    muteAbove: wholeOf("muteAbove", muteAbove, 0, 1_000_000),
  };
}

/**
 * @param {string} option
 * @param {unknown} value
 */
function booleanOf(option, value) {
  if (typeof value === "boolean") return value;
  throw wrong(option, "must be true or false");
}

/**
 * @param {string} option
 * @param {any} value
 * @param {number} least
 * @param {number} most
 * @returns {number}
 */
function wholeOf(option, value, least, most) {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw wrong(option, `must be ${least} to ${most}`);
}

/**
 * @param {string} option
 * @param {unknown} value
 * @param {string[]} known
 */
function oneOf(option, value, known) {
  const found = known.find((it) => it === value);
  if (found !== undefined) return found;
  throw wrong(option, `must be one of ${known.join(", ")}`);
}

/** @param {unknown} [options] */
export function typingOptions(options = {}) {
  const { show, name } = knownOnly("typing", options, ["show", "name"]);
  return {
    show: show === undefined ? null : elementOf(show, "show"),
    name: /** @type {string | undefined} */ (typed("name", name, "string")),
  };
}

/** @param {unknown} [options] */
export function cursorOptions(options = {}) {
  const known = ["anchors", "selections"];
  const { anchors = "[id]", selections = true } = knownOnly("cursors", options, known);
  // One that matches nothing is as good as any.
  if (firstMatch(/** @type {string} */ (typed("anchors", anchors, "string"))) === undefined) {
    throw wrong("anchors", "must be a selector");
  }
  typed("selections", selections, "boolean");
  return { anchors: /** @type {string} */ (anchors), selections: selections === true };
}

/** @param {unknown} [options] */
export function followOptions(options = {}) {
  const { onEnd } = knownOnly("follow", options, ["onEnd"]);
  return { onEnd: /** @type {(() => void) | undefined} */ (typed("onEnd", onEnd, "function")) };
}

/**
 * @param {string} option
 * @param {unknown} value may be missing
 * @param {string} type
 */
function typed(option, value, type) {
  if (value === undefined || typeof value === type) return value;
  throw wrong(option, `must be a ${type}`);
}

/**
 * The element that a page means.
 *
 * @param {unknown} target
 * @param {string} [option]
 * @returns {HTMLElement}
 */
export function elementOf(target, option = "target") {
  const element = typeof target === "string" ? firstMatch(target) : target;
  if (element instanceof HTMLElement) return element;
  const problem = typeof target === "string" ? `nothing matches "${target}"` : "no element";
  throw new PresenceError("bad_target", `${option}: ${problem}`);
}

/**
 * @param {string} option
 * @param {string} problem
 */
export function wrong(option, problem) {
  return new PresenceError("bad_options", `${option}: ${problem}`);
}

/** @param {string} selector */
function firstMatch(selector) {
  try {
    return document.querySelector(selector);
  } catch {
    // It isn't a selector.
    return undefined;
  }
}

/**
 * @param {unknown} url
 * @returns {{ socketUrl: string, beaconUrl: string }}
 */
function relayUrls(url) {
  if (!(typeof url === "string" || url instanceof URL)) throw wrong("url", "must be a string");
  try {
    const socket = new URL(url, document.baseURI);
    const beacon = new URL("leave", socket);
    const [, scheme, s] = /^(ws|http)(s?):$/.exec(socket.protocol) ?? [];
    if (scheme !== undefined) {
      socket.protocol = `ws${s}`;
      socket.hash = "";
      beacon.protocol = `http${s}`;
      return { socketUrl: socket.href, beaconUrl: beacon.href };
    }
  } catch {
    // It can't be read at all.
  }
  throw new PresenceError("bad_url", `url: "${url}" can't be a relay's`);
}

/**
 * The key with the params in place of its placeholders.
 *
 * @param {string} key
 * @param {unknown} params
 */
function filledIn(key, params = {}) {
  if (!isObject(params)) throw wrong("params", "must be an object");
  const bad = (/** @type {string} */ problem) => new PresenceError("bad_key", `key: ${problem}`);
  if (Object.keys(params).length > 0 && !key.includes("{")) {
    throw bad("there are params, but no {placeholder} to put them in");
  }
  const filled = key.replace(/\{([^{}]+)\}/g, (_, name) => {
    const value = Object.hasOwn(params, name) ? params[name] : "";
    if (Number.isFinite(value) || (typeof value === "string" && value !== "")) return `${value}`;
    throw new PresenceError(
      "missing_param",
      `params: "${name}" is missing or empty, and key needs it`,
    );
  });
  if (/[{}]/.test(filled)) throw bad("a placeholder is written {name}");
  if (!KEY.test(filled)) throw bad("it must be 1 to 128 letters, digits and :_-./@");
  return filled;
}

/**
 * @param {string} of
 * @param {unknown} value
 * @param {string[]} known
 */
function knownOnly(of, value, known) {
  if (!isObject(value)) throw wrong(of, "takes an object of options");
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown !== undefined) throw wrong(of, `there is no option "${unknown}"`);
  return value;
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
