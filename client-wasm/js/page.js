// @ts-check
//
// The page's life: put away, restored, woken, looked at for the first time.

/** @typedef {"hide" | "show" | "wake" | "activate"} PageEvent */

/**
 * Calls a function at each of these, until the function that is returned is called.
 *
 * Never listens to `beforeunload` or `unload`: the one comes when the reader then decides to stay, the
 * other not at all on a phone, and both keep the page out of the back-forward cache.
 *
 * @param {(event: PageEvent) => void} onEvent
 */
export function watchPage(onEvent) {
  const controller = new AbortController();
  /**
   * @param {EventTarget} target
   * @param {string} type
   * @param {PageEvent} event
   * @param {(event: any) => boolean} [applies]
   */
  const on = (target, type, event, applies = () => true) => {
    const listener = (/** @type {Event} */ it) => applies(it) && onEvent(event);
    target.addEventListener(type, listener, { signal: controller.signal });
  };
  on(window, "pagehide", "hide");
  on(window, "pageshow", "show", ({ persisted }) => persisted);
  on(window, "online", "wake");
  on(document, "visibilitychange", "wake", () => document.visibilityState === "visible");
  // After it was frozen.
  on(document, "resume", "wake");
  on(document, "prerenderingchange", "activate");
  return () => controller.abort();
}

/** True while the page is loaded ahead of time, for a reader who may never come. */
export function isPrerendering() {
  return "prerendering" in document && document.prerendering === true;
}
