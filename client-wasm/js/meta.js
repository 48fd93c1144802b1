// @ts-check
//
// What a page puts into its presence, checked: the relay would refuse the rest too, but only later.
import { PresenceError } from "./error.js";
import { bytesOf, depth, MAX_DEPTH } from "./shell.js";

/** @typedef {import("./shell.js").Meta} Meta */

const MAX_BYTES = 4096;

/**
 * A copy as JSON has it: no two pages' metas share anything, and nothing in it can run.
 *
 * @param {unknown} value
 * @returns {Meta}
 */
export function metaOf(value) {
  let text = "";
  try {
    text = JSON.stringify(value) ?? "";
  } catch (cause) {
    throw new PresenceError("bad_meta", "meta must be plain JSON", cause);
  }
  const bad = (/** @type {string} */ problem) =>
    new PresenceError("bad_meta", `meta must ${problem}`);
  if (!text.startsWith("{")) throw bad("be a JSON object");
  if (bytesOf(text) > MAX_BYTES) {
    throw bad(`not be larger than ${MAX_BYTES} bytes`);
  }
  const meta = JSON.parse(text);
  if (depth(meta) > MAX_DEPTH) throw bad(`not be nested deeper than ${MAX_DEPTH} levels`);
  return meta;
}

/**
 * A meta with the fields of a patch; those that are null are removed.
 *
 * @param {Meta} meta
 * @param {unknown} patch
 */
export function patched(meta, patch) {
  const changes = metaOf(patch);
  const entries = Object.entries(meta).concat(Object.entries(changes));
  return metaOf(Object.fromEntries(entries.filter(([name]) => changes[name] !== null)));
}
