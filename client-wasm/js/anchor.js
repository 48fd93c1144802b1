// @ts-check
//
// Places on a page, told so that they are the same on every screen: as fractions of the nearest anchor, an
// element with an id. What comes from others is checked here before it means anything.

/**
 * @typedef {readonly [anchor: string, x: number, y: number]} Place fractions of the anchor's box; the empty
 *   anchor is the surface itself
 */

/** Longer ids, in bytes of JSON, would leave no room in a pulse: a cursor with a selection has three. */
const MAX_ID = 128;

/** Places that far outside of their anchor make no sense, in its widths and heights. */
const MAX_FRACTION = 20;

/**
 * The place at a point of the window; null if that is not on the surface.
 *
 * @param {HTMLElement} surface
 * @param {string} anchors a selector
 * @param {number} x
 * @param {number} y
 * @returns {Place | null}
 */
export function placeAt(surface, anchors, x, y) {
  const hit = rootOf(surface).elementFromPoint(x, y);
  if (hit === null || !surface.contains(hit)) return null;
  const anchor = anchorAt(surface, anchors, hit, x, y);
  const { left, top, width, height } = anchor.getBoundingClientRect();
  if (width === 0 || height === 0) return null;
  return [idOf(surface, anchor), round((x - left) / width), round((y - top) / height)];
}

/**
 * The element that a place is in; null if there is none, or none that can be seen.
 *
 * @param {HTMLElement} surface
 * @param {string} id
 * @returns {Element | null}
 */
export function anchorOf(surface, id) {
  if (id === idOf(surface, surface)) return surface;
  const anchor = rootOf(surface).getElementById(id);
  return anchor !== null && surface.contains(anchor) ? anchor : null;
}

/**
 * @param {unknown} value
 * @returns {value is Place}
 */
export function isPlace(value) {
  if (!Array.isArray(value)) return false;
  const [anchor, ...fractions] = value;
  const isFraction = (/** @type {unknown} */ it) =>
    typeof it === "number" && Math.abs(it) <= MAX_FRACTION;
  return typeof anchor === "string" && fractions.length === 2 && fractions.every(isFraction);
}

/**
 * The nearest anchor around an element: itself, one that it is in, or else the surface.
 *
 * @param {HTMLElement} surface
 * @param {string} anchors
 * @param {Element} element
 * @returns {Element}
 */
export function anchorAround(surface, anchors, element) {
  for (let it = element; it !== surface; ) {
    if (isAnchor(it, anchors)) return it;
    if (it.parentElement === null) return surface;
    it = it.parentElement;
  }
  return surface;
}

/**
 * What an anchor is called in a place.
 *
 * @param {HTMLElement} surface
 * @param {Element} anchor
 */
export function idOf(surface, anchor) {
  return anchor === surface && !fits(anchor.id) ? "" : anchor.id;
}

/** @param {string} id */
function fits(id) {
  // Most are short, and this is asked for every element around a pointer.
  const longest = id.length * 6 + 2;
  return longest <= MAX_ID || new TextEncoder().encode(JSON.stringify(id)).length <= MAX_ID;
}

/**
 * The document, or the shadow root, that an element is in.
 *
 * @param {Element} element
 */
export function rootOf(element) {
  const root = element.getRootNode();
  return root instanceof ShadowRoot ? root : document;
}

/**
 * @param {HTMLElement} surface
 * @param {string} anchors
 * @param {Element} hit what is under the point
 * @param {number} x
 * @param {number} y
 */
function anchorAt(surface, anchors, hit, x, y) {
  let anchor = anchorAround(surface, anchors, hit);
  // Between two paragraphs is what is around both of them, and its fractions say little: the nearer one it is.
  for (let next = anchor === hit ? hit : undefined; next !== undefined; ) {
    anchor = next;
    next = nearest(
      [...anchor.children].filter((it) => isAnchor(it, anchors)),
      x,
      y,
    );
  }
  return anchor;
}

/**
 * @param {Element} element
 * @param {string} anchors
 */
function isAnchor(element, anchors) {
  return element.id !== "" && fits(element.id) && element.matches(anchors);
}

/**
 * @param {Element[]} elements
 * @param {number} x
 * @param {number} y
 */
function nearest(elements, x, y) {
  let best;
  let least = Number.POSITIVE_INFINITY;
  for (const element of elements) {
    const { left, right, top, bottom, width, height } = element.getBoundingClientRect();
    if (width === 0 || height === 0) continue;
    const distance = Math.hypot(Math.max(left - x, 0, x - right), Math.max(top - y, 0, y - bottom));
    if (distance < least) [best, least] = [element, distance];
  }
  return best;
}

/**
 * A hundredth of a pixel, on most anchors.
 *
 * @param {number} fraction
 */
function round(fraction) {
  return Math.round(fraction * 1e4) / 1e4;
}
