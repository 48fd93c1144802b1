// @ts-check

/**
 * Black or white, whichever can be read on a color: one of them always has a contrast of at least 4.5 : 1,
 * as WCAG 2 asks of small text.
 *
 * @param {string} color `#rrggbb`
 */
export function ink(color) {
  const channel = (/** @type {number} */ from) => {
    const it = Number.parseInt(color.slice(from, from + 2), 16) / 255;
    return it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
  // Both have 4.58 : 1 here.
  return luminance > 0.179 ? "#000000" : "#ffffff";
}
