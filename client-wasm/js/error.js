// @ts-check

/** What goes wrong in `whoshere`, with a code to tell it by. */
export class PresenceError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = "PresenceError";
    this.code = code;
  }
}
