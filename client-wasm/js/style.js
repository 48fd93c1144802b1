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
  const adopted = root.adoptedStyleSheets;
  if (!adopted.includes(sheet)) root.adoptedStyleSheets = [...adopted, sheet];
}

/**
 * Black or white, whichever can be read on a color: as in look.rs, where the bound is explained.
 *
 * @param {string} color `#rrggbb`
 */
export function ink(color) {
  const channel = (/** @type {number} */ from) => {
    const it = Number.parseInt(color.slice(from, from + 2), 16) / 255;
    return it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
  return luminance > 0.179 ? "#000000" : "#ffffff";
}
