// @ts-check
//
// What binds the page's elements that have a `data-presence-*`; loaded when there is one. What it shares with
// helpers.js it is given.

/** @typedef {import("../index.js").Here} Here */
/** @typedef {HTMLElement & { here: Here | null }} Owner */

/** What is bound to what, by kind. @type {Map<Element, Map<string, { here: Here, end: () => void }>>} */
const bound = new Map();

/**
 * Ends what is bound to a presence that is about to go.
 *
 * @param {Here} here
 */
export function release(here) {
  for (const element of [...bound.keys()]) unbind(element, (it) => it === here);
}

/**
 * Binds what the page has now, and ends what it has no longer.
 *
 * @param {readonly string[]} kinds
 * @param {string} any matches what has one of them
 * @param {CSSStyleSheet | undefined} looks those of a flash area, which the page needn't link
 */
export function bindAll(kinds, any, looks) {
  for (const element of [...bound.keys()]) {
    if (!element.isConnected) unbind(element, () => true);
  }
  // What is bound may have lost its attribute.
  for (const element of new Set([...bound.keys(), ...document.querySelectorAll(any)])) {
    for (const kind of kinds) bind(/** @type {HTMLElement} */ (element), kind, looks);
  }
}

/**
 * @param {HTMLElement} element
 * @param {string} kind
 * @param {CSSStyleSheet | undefined} looks
 */
function bind(element, kind, looks) {
  const name = element.getAttribute(`data-presence-${kind}`);
  const here = name === null ? null : (ownerOf(element, name)?.here ?? null);
  const kinds = bound.get(element) ?? new Map();
  const known = kinds.get(kind);
  if (known?.here === here || (known === undefined && here === null)) return;
  known?.end();
  kinds.delete(kind);
  // The page has made it one by itself, and would show everything twice.
  if (kind === "flash" && element.querySelector(":scope > .presence-said")) return;
  const start = here && /** @type {any} */ (here)[kind];
  if (typeof start === "function") {
    try {
      kinds.set(kind, { here, end: start.call(here, element) });
      const root = /** @type {Document} */ (element.getRootNode());
      const sheets = root.adoptedStyleSheets;
      const isBare = kind === "flash" && looks && !sheets.includes(looks);
      if (isBare) root.adoptedStyleSheets = [...sheets, looks];
    } catch (error) {
      console.warn(error);
    }
  }
  if (kinds.size > 0) bound.set(element, kinds);
  else bound.delete(element);
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
