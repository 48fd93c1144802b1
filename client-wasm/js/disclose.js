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
    document.addEventListener("pointerdown", onPress);
    rise(button, list);
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
 * Puts a list that has just come up into the top layer, where nothing around it cuts or covers it, at the place
 * where it is. Old browsers leave it there.
 *
 * @param {HTMLElement} button
 * @param {HTMLElement} list
 */
function rise(button, list) {
  // Of the last time.
  for (const side of ["left", "top", "bottom"]) list.style.removeProperty(side);
  keepInView(list);
  if (!list.showPopover) return;
  const { left, top, height } = list.getBoundingClientRect();
  const from = button.getBoundingClientRect();
  const gap = top - from.bottom;
  const { clientHeight } = document.documentElement;
  // The page doesn't scroll to what is below its end. From there it grows upwards.
  const isAbove = top + height > clientHeight && from.top > gap + height;
  const place = () => {
    if (list.hidden) return removeEventListener("scroll", place, true);
    const { x, y, bottom } = button.getBoundingClientRect();
    const across = isAbove ? clientHeight - y : bottom;
    list.style.setProperty("left", `${left - from.x + x}px`);
    list.style.setProperty(isAbove ? "bottom" : "top", `${across + gap}px`);
  };
  place();
  list.showPopover();
  addEventListener("scroll", place, true);
}

/**
 * @param {HTMLElement} button
 * @param {HTMLElement} list
 */
export function undisclose(button, list) {
  button.setAttribute("aria-expanded", "false");
  list.hidePopover?.();
  list.hidden = true;
}
