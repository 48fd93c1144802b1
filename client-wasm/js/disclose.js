// @ts-check
//
// How the list behind a bar's "+N" button opens and closes.
import { keepInView } from "./names.js";

/**
 * Makes a button open and close a list beside it.
 *
 * @param {HTMLElement} around both
 * @param {HTMLElement} button
 * @param {HTMLElement} list
 * @param {() => void} onOpen
 */
export function disclose(around, button, list, onOpen) {
  const closeUnlessInside = (/** @type {EventTarget | null} */ target) => {
    if (!(target instanceof Node && around.contains(target))) undisclose(button, list);
  };
  const onPress = (/** @type {Event} */ event) => {
    // Seen from here, what is in a shadow tree is its host.
    if (!event.composedPath().includes(around)) undisclose(button, list);
    if (list.hidden) document.removeEventListener("pointerdown", onPress);
  };
  undisclose(button, list);
  button.addEventListener("click", () => {
    if (!list.hidden) return undisclose(button, list);
    onOpen();
    button.setAttribute("aria-expanded", "true");
    list.hidden = false;
    keepInView(list);
    document.addEventListener("pointerdown", onPress);
  });
  around.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (key === "Escape" && !list.hidden) {
      // It was meant for this list, not for a dialog around it.
      event.stopPropagation();
      undisclose(button, list);
      return button.focus();
    }
    const moves = ["ArrowDown", "ArrowUp", "Home", "End"];
    if (!moves.includes(key) || (list.hidden && key !== "ArrowDown")) return;
    // Nor does the page scroll.
    event.preventDefault();
    if (list.hidden) button.click();
    const items = /** @type {HTMLElement[]} */ ([...list.children]);
    const at = items.findIndex((it) => it === target);
    const last = items.length - 1;
    const [down, up] = [Math.min(at + 1, last), Math.max(at - 1, 0)];
    items[[down, up, 0, last][moves.indexOf(key)] ?? 0]?.focus();
  });
  around.addEventListener("focusout", ({ relatedTarget }) => {
    // Focus that goes nowhere is a press on something that can't be focused.
    if (relatedTarget !== null) closeUnlessInside(relatedTarget);
  });
}

/**
 * @param {HTMLElement} button
 * @param {HTMLElement} list
 */
export function undisclose(button, list) {
  button.setAttribute("aria-expanded", "false");
  list.hidden = true;
}
