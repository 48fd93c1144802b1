// @ts-check
//
// `data-presence-flash`, `-cursors`, `-typing` and `-inspect`: what the page's other elements ask of a `<whos-here>`.

/** @typedef {import("../index.js").Here} Here */
/** @typedef {HTMLElement & { here: Here | null }} Owner */

const KINDS = /** @type {const} */ (["flash", "cursors", "typing", "inspect"]);
const ANY = KINDS.map((kind) => `[data-presence-${kind}]`).join();

/** What is bound to what, by kind. @type {Map<Element, Map<string, { here: Here, end: () => void }>>} */
const bound = new Map();

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
    const attributeFilter = KINDS.map((kind) => `data-presence-${kind}`);
    const options = { subtree: true, childList: true, attributes: true, attributeFilter };
    new MutationObserver((changes) => {
      if (changes.some(concernsHelpers)) bindSoon();
    }).observe(document, options);
  }
  bindSoon();
}

/**
 * Ends what is bound to a presence that is about to go.
 *
 * @param {Here} here
 */
export function release(here) {
  for (const element of [...bound.keys()]) unbind(element, (it) => it === here);
  // Another one may be the nearest now.
  bindSoon();
}

/** @param {MutationRecord} change */
function concernsHelpers({ type, addedNodes, removedNodes }) {
  if (type === "attributes") return true;
  return [...addedNodes, ...removedNodes].some(
    (node) => node instanceof Element && (node.matches(ANY) || node.querySelector(ANY) !== null),
  );
}

/** Once, however much the page changes until then. */
function bindSoon() {
  if (isDue) return;
  isDue = true;
  setTimeout(() => {
    isDue = false;
    bindAll();
  });
}

function bindAll() {
  for (const element of [...bound.keys()]) {
    if (!element.isConnected) unbind(element, () => true);
  }
  // What is bound may have lost its attribute.
  for (const element of new Set([...bound.keys(), ...document.querySelectorAll(ANY)])) {
    for (const kind of KINDS) bind(/** @type {HTMLElement} */ (element), kind);
  }
}

/**
 * @param {HTMLElement} element
 * @param {typeof KINDS[number]} kind
 */
function bind(element, kind) {
  const name = element.getAttribute(`data-presence-${kind}`);
  const here = name === null ? null : (ownerOf(element, name)?.here ?? null);
  const kinds = bound.get(element) ?? new Map();
  const known = kinds.get(kind);
  if (known?.here === here || (known === undefined && here === null)) return;
  known?.end();
  kinds.delete(kind);
  const start = here && /** @type {any} */ (here)[kind];
  if (typeof start === "function") {
    try {
      kinds.set(kind, { here, end: start.call(here, element) });
      if (kind === "flash") dress(/** @type {Document} */ (element.getRootNode()));
    } catch (error) {
      console.warn(error);
    }
  }
  if (kinds.size > 0) bound.set(element, kinds);
  else bound.delete(element);
}

/** @param {Document} root */
function dress(root) {
  const sheets = root.adoptedStyleSheets;
  if (looks && !sheets.includes(looks)) root.adoptedStyleSheets = [...sheets, looks];
}

/**
 * @param {Element} element
 * @param {(here: Here) => boolean} applies
 */
function unbind(element, applies) {
  const kinds = bound.get(element) ?? new Map();
  for (const [kind, { here, end }] of [...kinds]) {
    if (!applies(here)) continue;
    end();
    kinds.delete(kind);
  }
  if (kinds.size === 0) bound.delete(element);
}

/**
 * The one with that id, else the one that shares the smallest part of the page.
 *
 * @param {Element} element
 * @param {string} name
 * @returns {Owner | null}
 */
function ownerOf(element, name) {
  if (name !== "") return /** @type {Owner | null} */ (document.getElementById(name));
  for (let around = element.parentElement; around !== null; around = around.parentElement) {
    const owner = around.matches("whos-here") ? around : around.querySelector("whos-here");
    if (owner !== null) return /** @type {Owner} */ (owner);
  }
  return null;
}
