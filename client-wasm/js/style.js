// @ts-check
//
// How what is loaded later looks: its styles come with it, and the first download is free of them. A strict
// content security policy allows a sheet that is adopted, unlike a `style` element.
import { rootOf } from "./anchor.js";

/** @type {Map<string, CSSStyleSheet>} */
const sheets = new Map();

/**
 * Makes styles hold where an element is.
 *
 * @param {Element} element
 * @param {string} css
 */
export function adopt(element, css) {
  const sheet = sheets.get(css) ?? new CSSStyleSheet();
  if (!sheets.has(css)) sheet.replaceSync(css);
  sheets.set(css, sheet);
  const root = rootOf(element);
  // jsdom, in which pages are tested, has none.
  const adopted = root.adoptedStyleSheets ?? [];
  if (!adopted.includes(sheet)) root.adoptedStyleSheets = [...adopted, sheet];
}
