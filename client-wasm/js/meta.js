// @ts-check
//
// Metas are the engine's own objects, so they are taken apart and put together here. They come out of
// `JSON.parse`: all fields are own ones, `__proto__` too.

/** @typedef {Record<string, unknown>} Meta */

/**
 * A meta with the fields of a patch; those that are null are removed.
 *
 * @param {Meta} meta
 * @param {Meta} patch
 */
export function patched(meta, patch) {
  const entries = Object.entries(meta).concat(Object.entries(patch));
  return Object.fromEntries(entries.filter(([name]) => patch[name] !== null));
}
