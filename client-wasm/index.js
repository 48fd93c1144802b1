// @ts-check
//
// The package's entry: loads the module once, then hands over to it.
import load, { Here, PresenceError, connect as start } from "./whoshere.js";

export { PresenceError };

/** @type {Promise<unknown> | undefined} */
let loading;

/** @param {import("./whoshere.js").InitInput} [source] */
export function init(source) {
  loading ??= load(source === undefined ? undefined : { module_or_path: source }).catch((cause) => {
    // The next call may have more luck.
    loading = undefined;
    const error = new PresenceError("load_failed", `whoshere could not be loaded: ${cause}`);
    error.cause = cause;
    throw error;
  });
  return loading.then(() => {});
}

/** @param {unknown} options */
export async function connect(options) {
  await init();
  return start(options);
}

// wasm-bindgen's own disposal would free the memory and leave the dot on everybody's page.
if (Symbol.dispose) Here.prototype[Symbol.dispose] = Here.prototype.leave;
