// @ts-check

/** What goes wrong in `whoshere`, with a code to tell it by. */
export class PresenceError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {unknown} [cause]
   */
  constructor(code, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "PresenceError";
    this.code = code;
  }
}

/**
 * @param {string} what could not be loaded
 * @param {unknown} cause
 */
export function failed(what, cause) {
  return new PresenceError("load_failed", `${what} could not be loaded: ${cause}`, cause);
}
