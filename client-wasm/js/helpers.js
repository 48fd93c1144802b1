// @ts-check
//
// `data-presence-flash`, `-cursors`, `-typing` and `-inspect`: what the page's other elements ask of a `<whos-here>`.
// What binds them is loaded as soon as there is one.

import { failed } from "./error.js";

const KINDS = ["flash", "cursors", "typing", "inspect"];
const NAMES = KINDS.map((kind) => `data-presence-${kind}`);
const ANY = NAMES.map((name) => `[${name}]`).join();
/** A tag that is moved may be another element's nearest. */
const CONCERNED = `${ANY},whos-here`;

/** @type {typeof import("./binding.js") | undefined} */
let binding;

/** In how many milliseconds it is loaded again when that has failed; twice as many each time, up to a minute. */
let patience = 1000;

let isWatching = false;
let isDue = false;

/** The looks of a flash area, which the page needn't link. @type {CSSStyleSheet | undefined} */
let looks;

/**
 * Binds what the page has now, and from the first call on what it gets.
 *
 * @param {CSSStyleSheet} sheet
 */
export function bindHelpers(sheet) {
  looks = sheet;
  if (!isWatching) {
    isWatching = true;
    const options = { subtree: true, childList: true, attributes: true, attributeFilter: NAMES };
    new MutationObserver((changes) => {
      if (changes.some(concernsHelpers)) bindSoon();
    }).observe(document, options);
  }
  bindSoon();
}

/**
 * Ends what is bound to a presence that is about to go.
 *
 * @param {import("../index.js").Here} here
 */
export function release(here) {
  binding?.release(here);
  // Another one may be the nearest now.
  bindSoon();
}

/** @param {MutationRecord} change */
function concernsHelpers({ type, addedNodes, removedNodes }) {
  if (type === "attributes") return true;
  return [...addedNodes, ...removedNodes].some(
    (node) => node instanceof Element && (node.matches(CONCERNED) || node.querySelector(CONCERNED)),
  );
}

/** Once, however much the page changes until then. */
function bindSoon() {
  if (isDue) return;
  isDue = true;
  setTimeout(async () => {
    isDue = false;
    if (document.querySelector(ANY)) {
      binding ??= await import("./binding.js").catch(missed);
    }
    binding?.bindAll(KINDS, ANY, looks);
  });
}

/**
 * It couldn't be loaded, and nobody may ask for it again.
 *
 * @param {unknown} cause
 */
function missed(cause) {
  console.warn(failed("a part of whoshere", cause));
  if (patience < 60_000) setTimeout(bindSoon, patience);
  patience *= 2;
  return undefined;
}
