// @ts-check
//
// What a flash area and its messages are made of. Which messages there are is decided in Rust.
import { element, paint } from "./bar.js";

const ATTRIBUTES = {
  "data-presence-flash": "",
  role: "status",
  "aria-live": "polite",
  // Each message by itself, not all of them again with each.
  "aria-atomic": "false",
};

/**
 * Makes an element a flash area. It must be one before its first message comes, or screen readers don't
 * read that.
 *
 * @param {HTMLElement} area
 * @returns {string[]} the attributes that it hadn't
 */
export function flashArea(area) {
  const missing = Object.entries(ATTRIBUTES).filter(([name]) => !area.hasAttribute(name));
  for (const [name, value] of missing) area.setAttribute(name, value);
  return missing.map(([name]) => name);
}

/**
 * @param {HTMLElement} area
 * @param {string} name
 * @param {string} kind
 * @param {string} color
 * @param {string} ink
 */
export function flash(area, name, kind, color, ink) {
  const flash = element(null, "div", "presence-flash", { "data-kind": kind });
  element(flash, "span", "presence-flash-name").textContent = name;
  flash.append(` ${kind}`);
  paint(flash, color, ink);
  // Whole, so that it is read as one.
  area.append(flash);
  return flash;
}

/**
 * @param {HTMLElement} area
 * @param {string[]} attributes what {@link flashArea} has set
 */
export function undo(area, attributes) {
  for (const name of attributes) area.removeAttribute(name);
}
