// @ts-check
//
// How the list behind a bar's "+N" button opens and closes.
import { float } from "./float.js";
import { adopt } from "./style.js";

const CSS = `@layer presence {
  .presence-list {
    position: fixed;
    z-index: 2;
    inset: auto;
    display: grid;
    grid-template-columns: minmax(0, 1fr);
    gap: 0.125rem;
    box-sizing: border-box;
    inline-size: max-content;
    min-inline-size: 11rem;
    max-inline-size: min(18rem, 100vw - 1rem);
    max-block-size: min(18.5rem, 100vh - 0.5rem);
    margin: 0;
    padding: 0.375rem;
    overflow-y: auto;
    overscroll-behavior: contain;
    border: 1px solid var(--presence-_line);
    border-radius: 0.75rem;
    /* A popover's would be the system's. */
    color: inherit;
    background: var(--presence-_surface);
    box-shadow: 0 0.5rem 1.5rem rgb(0 0 0 / 18%);
    list-style: none;
  }

  .presence-list[hidden] {
    display: none;
  }

  .presence-list:focus-visible {
    outline: 2px solid var(--presence-_focus);
    outline-offset: 2px;
  }

  .presence-person {
    display: flex;
    align-items: center;
    gap: 0.625rem;
    padding: 0.3125rem 0.5rem;
  }

  .presence-person:focus-visible {
    outline: 2px solid var(--presence-_focus);
    outline-offset: -2px;
    border-radius: 0.5rem;
  }

  .presence-person > .presence-label {
    min-inline-size: 0;
    font-size: 0.875rem;
    /* All of a long name, and what is said of its owner behind it. */
    overflow-wrap: anywhere;
    white-space: normal;
  }
}`;

/**
 * Makes a bar's button open and close the list beside it.
 *
 * @param {HTMLElement} root
 * @param {HTMLElement} button
 * @param {HTMLElement} list
 * @param {() => void} onOpen
 * @returns {Record<string, import("./touch.js").Heed>} by the event's type
 */
export function disclose(root, button, list, onOpen) {
  const around = /** @type {HTMLElement} */ (list.parentElement);
  let sink = () => {};
  const close = () => {
    button.setAttribute("aria-expanded", "false");
    list.hidden = true;
    document.removeEventListener("pointerdown", onPress);
    document.removeEventListener("keydown", onKey);
    sink();
  };
  const onPress = (/** @type {Event} */ event) => {
    // Seen from here, what is in a shadow tree is its host.
    if (list.hidden || !event.composedPath().includes(around)) close();
  };
  // The focus needn't be in it: in some browsers a button that is pressed doesn't get it.
  const onKey = (/** @type {Event} */ event) => {
    if (/** @type {KeyboardEvent} */ (event).key === "Escape" || list.hidden) close();
  };
  const toggle = () => {
    if (!list.hidden) return close();
    // It may be gone since.
    if (!button.isConnected) return;
    onOpen();
    button.setAttribute("aria-expanded", "true");
    list.hidden = false;
    document.addEventListener("pointerdown", onPress);
    document.addEventListener("keydown", onKey);
    adopt(root, CSS);
    sink = float(list, button, root, { gap: 8, isCentered: false }, close);
  };

  return {
    click(_, path) {
      if (path.includes(button)) toggle();
    },
    keydown(event, path) {
      if (!path.includes(around)) return;
      const { key } = event;
      if (key === "Escape" && !list.hidden) {
        // It was meant for this list, not for a dialog around it.
        event.stopPropagation();
        close();
        return button.focus();
      }
      const moves = ["ArrowDown", "ArrowUp", "Home", "End"];
      if (!moves.includes(key) || (list.hidden && key !== "ArrowDown")) return;
      // Nor does the page scroll.
      event.preventDefault();
      if (list.hidden) toggle();
      const items = /** @type {HTMLElement[]} */ ([...list.children]);
      const at = items.indexOf(/** @type {HTMLElement} */ (path[0]));
      const last = items.length - 1;
      const [down, up] = [Math.min(at + 1, last), Math.max(at - 1, 0)];
      items[[down, up, 0, last][moves.indexOf(key)] ?? 0]?.focus();
    },
    focusout(_, path, to) {
      // Focus that goes nowhere is a press on something that can't be focused.
      if (path.includes(around) && to !== null && !around.contains(to)) close();
    },
  };
}
