// @ts-check
//
// How the names in a bar show, as tooltips of its dots.

/** Far enough from the window's edge to look as if it were meant. */
const MARGIN = 4;

/**
 * Shows the name of the one whom pointer, finger or focus is on, until they go elsewhere or Escape is
 * pressed.
 *
 * @param {HTMLElement} root
 */
export function showNames(root) {
  /** The dot that they are on. @type {HTMLElement | null} */
  let current = null;
  const hide = () => current?.removeAttribute("data-named");
  const go = (/** @type {HTMLElement | null} */ dot) => {
    if (dot === current) return;
    hide();
    current = dot;
    const [toggle, doc] = /** @type {const} */ ([
      `${dot ? "add" : "remove"}EventListener`,
      document,
    ]);
    doc[toggle]("pointerdown", onPress);
    doc[toggle]("keydown", onKey);
    dot?.setAttribute("data-named", "");
    if (dot) keepInView(/** @type {HTMLElement} */ (dot.lastElementChild));
  };
  const onPress = (/** @type {Event} */ event) => {
    if (!event.composedPath().includes(root)) go(null);
  };
  const onKey = (/** @type {Event} */ event) => {
    if (/** @type {KeyboardEvent} */ (event).key === "Escape") hide();
    if (!current?.isConnected) go(null);
  };
  /** @param {Event} event */
  const dotOf = (event) => {
    // Not by `closest`: a page's own picture is in another tree than the dot that it is shown in.
    const path = /** @type {HTMLElement[]} */ (event.composedPath());
    return path.find((it) => it.classList?.contains("presence-dot")) ?? null;
  };
  /** @param {string} how @returns {HTMLElement | null} */
  const first = (how) => root.querySelector(`.presence-dot:${how}`);

  root.addEventListener("pointerover", (event) => go(dotOf(event) ?? first("focus-visible")));
  root.addEventListener("pointerleave", ({ pointerType }) => {
    // A finger that is lifted leaves nothing.
    if (pointerType !== "touch") go(first("focus-visible"));
  });
  root.addEventListener("focusin", (event) => go(dotOf(event)));
  root.addEventListener("focusout", (event) => {
    if (dotOf(event) === current) go(first("hover"));
  });
}

/**
 * Moves what has just come up sideways, as far as it sticks out of the window.
 *
 * @param {HTMLElement} element
 */
export function keepInView(element) {
  element.style.removeProperty("--presence-shift");
  const { left, right } = element.getBoundingClientRect();
  const over = right + MARGIN - document.documentElement.clientWidth;
  const shift = over > 0 ? -over : Math.max(MARGIN - left, 0);
  if (shift !== 0) element.style.setProperty("--presence-shift", `${shift}px`);
}
