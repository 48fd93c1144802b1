// @ts-check
//
// How the names in a bar show, as tooltips of its dots.
import { float } from "./float.js";
import { adopt } from "./style.js";

/** Its border is for the pointer, which gets from a dot to its name over it. */
const CSS = `@layer presence {
  .presence-dot[data-named] > .presence-label {
    position: fixed;
    z-index: 2;
    inset: auto;
    display: block;
    box-sizing: border-box;
    inline-size: max-content;
    max-inline-size: min(16rem, 100vw - 1rem);
    block-size: auto;
    margin: 0;
    padding: 0.3125rem 0.5rem;
    border: 0 solid transparent;
    border-block-start-width: 0.5rem;
    border-radius: 0.375rem / 0.875rem 0.875rem 0.375rem 0.375rem;
    color: var(--presence-_surface);
    background: var(--presence-_text) padding-box;
    clip-path: none;
    font-size: 0.8125rem;
    font-weight: 500;
    line-height: 1.25;
    /* All of a long name, and what is said of its owner behind it. */
    overflow-wrap: anywhere;
    white-space: normal;
  }

  .presence-dot[data-named] > .presence-label[data-above] {
    border-block-width: 0 0.5rem;
    border-radius: 0.375rem / 0.375rem 0.375rem 0.875rem 0.875rem;
  }

  @media (forced-colors: active) {
    .presence-dot[data-named] > .presence-label {
      /* Or the border would be seen. */
      forced-color-adjust: none;
      color: CanvasText;
      background: Canvas padding-box;
      box-shadow: inset 0 0 0 1px CanvasText;
    }
  }
}`;

/**
 * Shows the name of the one whom pointer, finger or focus is on, until they go elsewhere or Escape is
 * pressed.
 *
 * @param {HTMLElement} root
 * @returns {Record<string, import("./touch.js").Heed>} by the event's type
 */
export function showNames(root) {
  /** The dot that they are on. @type {HTMLElement | null} */
  let current = null;
  let sink = () => {};
  const hide = () => {
    current?.removeAttribute("data-named");
    sink();
  };
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
    // It may be gone since.
    if (!dot?.isConnected) return;
    adopt(root, CSS);
    dot.setAttribute("data-named", "");
    const label = /** @type {HTMLElement} */ (dot.lastElementChild);
    sink = float(label, dot, root, { gap: 0, isCentered: true }, () => go(null));
  };
  const onPress = (/** @type {Event} */ event) => {
    if (!event.composedPath().includes(root)) go(null);
  };
  const onKey = (/** @type {Event} */ event) => {
    if (/** @type {KeyboardEvent} */ (event).key === "Escape") hide();
    if (!current?.isConnected) go(null);
  };
  /** @param {EventTarget[]} path */
  const dotIn = (path) => {
    // Not by `closest`: a page's own picture is in another tree than the dot that it is shown in.
    const elements = /** @type {HTMLElement[]} */ (path);
    return elements.find((it) => it.classList?.contains("presence-dot")) ?? null;
  };
  /** @param {string} how @returns {HTMLElement | null} */
  const first = (how) => root.querySelector(`.presence-dot:${how}`);

  return {
    pointerover: (_, path) => go(dotIn(path) ?? first("focus-visible")),
    pointerleave({ pointerType }) {
      // A finger that is lifted leaves nothing.
      if (pointerType !== "touch") go(first("focus-visible"));
    },
    focusin: (_, path) => go(dotIn(path)),
    focusout(_, path) {
      if (dotIn(path) === current) go(first("hover"));
    },
  };
}
