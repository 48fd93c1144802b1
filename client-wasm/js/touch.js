// @ts-check
//
// What a bar does for pointer, finger and keyboard. Loaded when somebody first touches one: most bars are
// only looked at.
import { disclose } from "./disclose.js";
import { showNames } from "./names.js";

/**
 * @typedef {(event: any, path: EventTarget[], relatedTarget: any) => void} Heed what an event says only while
 *   it is under way is given beside it, since it may be heeded later
 */

/**
 * What heeds the events of a bar.
 *
 * @param {HTMLElement} root
 * @param {HTMLElement} button of the list
 * @param {HTMLElement} list
 * @param {() => void} onOpen
 * @returns {Heed}
 */
export function heedOf(root, button, list, onOpen) {
  const all = [showNames(root), disclose(root, button, list, onOpen)];
  return (event, ...more) => {
    for (const handlers of all) handlers[event.type]?.(event, ...more);
  };
}
