// @ts-check
//
// The package's entry: loads the module once, then hands over to it.
import { failed, PresenceError } from "./js/error.js";
import { Here } from "./js/here.js";
import { connectOptions } from "./js/options.js";
import load, { call } from "./whoshere.js";

export { PresenceError };

/** @type {Promise<unknown> | undefined} */
let loading;

/** @param {import("./whoshere.js").InitInput} [source] */
export async function init(source) {
  // Without a source it is the one beside this module.
  loading ??= load({ module_or_path: /** @type {any} */ (source) });
  try {
    await loading;
  } catch (cause) {
    // The next call may have more luck.
    loading = undefined;
    throw failed("whoshere", cause);
  }
}

/** @param {unknown} options */
export async function connect(options) {
  if (!globalThis.document) {
    throw new PresenceError("load_failed", "whoshere works in a page, not on a server");
  }
  const checked = connectOptions(options);
  await init();
  return new Here(call, checked);
}
