// @ts-check
//
// What comes up beside something in a bar: in the top layer, where nothing around it cuts or covers it.

/** Far enough from the window's edge to look as if it were meant. */
const MARGIN = 4;

/**
 * Puts an element that has just come up below another one, or above it where there is no room, within the
 * window, and keeps it there. Old browsers leave it in the layer where it is.
 *
 * @param {HTMLElement} element
 * @param {HTMLElement} anchor
 * @param {HTMLElement} root the bar that both are in
 * @param {{ gap: number, isCentered: boolean }} how else their ends are in line
 * @param {() => void} onGone called when the other one has gone, and maybe the whole bar: let go of it then
 * @returns {() => void} lets go of it
 */
export function float(element, anchor, root, { gap, isCentered }, onGone) {
  const { style } = element;
  const place = () => {
    if (!anchor.isConnected) return onGone();
    // A node that was moved has left the top layer.
    if (element.showPopover && !element.matches(":popover-open")) element.showPopover();
    for (const side of ["left", "top"]) style.setProperty(side, "0");
    // Not the window's corner where something around it is what it is placed in.
    const { left, top, width, height } = element.getBoundingClientRect();
    const at = anchor.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.scrollingElement ?? document.documentElement;
    const isTurned = getComputedStyle(root).direction === "rtl";
    const start = isTurned ? at.left : at.right - width;
    const x = isCentered ? (at.left + at.right - width) / 2 : start;
    const [below, above] = [at.bottom + gap, at.top - gap - height];
    const isBelow = below + height <= clientHeight;
    const y = isBelow ? below : above >= 0 ? above : Math.max(clientHeight - height, 0);
    element.toggleAttribute("data-above", y === above);
    style.setProperty(
      "left",
      `${Math.max(Math.min(x, clientWidth - MARGIN - width), MARGIN) - left}px`,
    );
    style.setProperty("top", `${y - top}px`);
  };
  const sizes = new ResizeObserver(place);
  const changes = new MutationObserver(place);
  const end = () => {
    sizes.disconnect();
    changes.disconnect();
    for (const type of ["scroll", "resize"]) removeEventListener(type, place, true);
    for (const name of ["popover", "data-above"]) element.removeAttribute(name);
    for (const side of ["left", "top"]) style.removeProperty(side);
  };
  element.setAttribute("popover", "manual");
  // Whatever can move the other one, but for the page's own animations.
  for (const it of [root, document.body]) sizes.observe(it);
  changes.observe(root, { subtree: true, childList: true });
  for (const type of ["scroll", "resize"]) addEventListener(type, place, true);
  place();
  return end;
}
