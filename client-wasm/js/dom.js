// @ts-check
//
// What flashes are made of, and what bars share with them. Who and what is shown is decided in Rust.

import { fewNames, say } from "./messages.js";

/**
 * @typedef {import("./messages.js").Messages} Messages
 * @typedef {import("../index.js").Member} Member
 *
 * @typedef {object} Teller shows and says who joins and leaves, when Rust says so
 * @property {(id: number, isJoin: boolean, members: Member[]) => void} show also changes what is shown
 * @property {(isJoin: boolean, members: Member[]) => void} say
 * @property {(id: number) => void} hide
 * @property {() => void} end
 */

/** What makes an element a flash area. */
const FLASH_AREA = {
  "data-presence-flash": "",
  role: "status",
  "aria-live": "polite",
  // Each sentence by itself, not all of them again with each.
  "aria-atomic": "false",
};

/** Out of sight, and not out of screen readers', also for pages with styles of their own. */
const UNSEEN = {
  position: "absolute",
  "inline-size": "1px",
  "block-size": "1px",
  overflow: "hidden",
  "clip-path": "inset(50%)",
};

/** Long enough for the slowest screen reader to take it up. */
const SAID_FOR_MS = 5000;

/**
 * Makes an element a flash area. It must be one before its first sentence comes, or screen readers don't
 * read that. They don't read what is shown either, since it may change: each sentence is said once, in a
 * line that nobody sees.
 *
 * @param {HTMLElement} area
 * @param {{ readonly messages: Messages }} here may speak another language at each sentence
 * @param {(pointed: number | undefined, focused: number | undefined) => void} onHold is told what pointer and
 *   focus are on
 * @param {(text: string) => boolean} isNews false if another area says it, too
 * @returns {Teller}
 */
export function flashArea(area, here, onHold, isNews) {
  const missing = Object.entries(FLASH_AREA).filter(([name]) => !area.hasAttribute(name));
  for (const [name, value] of missing) area.setAttribute(name, value);
  const said = element(area, "div", "presence-said");
  for (const [name, value] of Object.entries(UNSEEN)) said.style.setProperty(name, value);

  /** @type {Map<number, HTMLElement>} */
  const flashes = new Map();
  /** What has the pointer over it, and what has the focus. @type {(number | undefined)[]} */
  const read = [undefined, undefined];
  const settle = (/** @type {number} */ at, /** @type {number | undefined} */ id) => {
    if (read[at] === id) return;
    read[at] = id;
    const [pointed, focused] = read;
    area.toggleAttribute("data-held", (pointed ?? focused) !== undefined);
    onHold(pointed, focused);
  };
  /** Where the focus was before. @type {HTMLElement | null} */
  let former = null;
  const controller = new AbortController();
  const { signal } = controller;
  for (const [at, [begin, end]] of /** @type {const} */ ([
    ["pointerover", "pointerout"],
    ["focusin", "focusout"],
  ]).entries()) {
    area.addEventListener(
      begin,
      ({ target, relatedTarget }) => {
        const flash = /** @type {Element} */ (target).closest(".presence-flash");
        if (at === 1 && !area.contains(/** @type {Node | null} */ (relatedTarget))) {
          former = /** @type {HTMLElement | null} */ (relatedTarget);
        }
        settle(at, [...flashes].find(([, it]) => it === flash)?.[0]);
      },
      { signal },
    );
    area.addEventListener(end, () => settle(at, undefined), { signal });
  }

  return {
    show(id, isJoin, members) {
      const flash =
        flashes.get(id) ??
        element(null, "div", "presence-flash", {
          "data-kind": kindOf(isJoin),
          "aria-live": "off",
          // That of its words, which needn't be the page's.
          dir: "auto",
          tabindex: "0",
        });
      flash.lang = here.messages.language;
      const dots = members.slice(0, 3).map(({ color }) => {
        const dot = element(null, "span", "presence-flash-dot");
        dot.style.setProperty("--presence-color", color);
        return dot;
      });
      flash.replaceChildren(...dots, ...sentence(here.messages, isJoin, members));
      if (!flashes.has(id)) area.append(flash);
      flashes.set(id, flash);
    },
    say(isJoin, members) {
      const text = flashText(here.messages, isJoin, members);
      if (!isNews(text)) return;
      const line = document.createElement("div");
      line.lang = here.messages.language;
      line.textContent = text;
      // Whole, so that it is read as one.
      said.append(line);
      // Who comes along later would take it for news.
      setTimeout(() => line.remove(), SAID_FOR_MS);
    },
    hide(id) {
      const flash = flashes.get(id);
      flashes.delete(id);
      // Or the focus would be lost.
      if (flash?.matches(":focus")) ([...flashes.values()].at(-1) ?? former)?.focus();
      flash?.remove();
      // What is gone has no end of being read.
      for (const at of [0, 1]) if (read[at] === id) settle(at, undefined);
    },
    end() {
      controller.abort();
      for (const flash of flashes.values()) flash.remove();
      said.remove();
      for (const name of [...missing.map(([name]) => name), "data-held"])
        area.removeAttribute(name);
    },
  };
}

/**
 * Says who joins and leaves to a function of the page, which shows it itself.
 *
 * @param {{ readonly messages: Messages }} here
 * @param {(event: import("../index.js").FlashEvent) => void} tell
 * @returns {Teller}
 */
export function flashListener(here, tell) {
  const nothing = () => {};
  const say = (/** @type {boolean} */ isJoin, /** @type {Member[]} */ members) => {
    const text = flashText(here.messages, isJoin, members);
    tell({ kind: kindOf(isJoin), members: Object.freeze(members), text });
  };
  return { show: nothing, say, hide: nothing, end: nothing };
}

/**
 * @param {boolean} isJoin
 * @returns {"joined" | "left"} also the entry among the messages
 */
function kindOf(isJoin) {
  return isJoin ? "joined" : "left";
}

/**
 * "alice, bob and 3 others joined".
 *
 * @param {Messages} messages
 * @param {boolean} isJoin
 * @param {Member[]} members
 * @param {readonly string[]} [names]
 */
function flashText(messages, isJoin, members, names = namesOf(messages, members)) {
  return say(messages, kindOf(isJoin), { n: members.length, names });
}

/**
 * The same with each name as an element, since a long one is cut and one from right to left isn't mixed
 * with the rest.
 *
 * @param {Messages} messages
 * @param {boolean} isJoin
 * @param {Member[]} members
 */
function sentence(messages, isJoin, members) {
  const [before = "", after = ""] = flashText(messages, isJoin, members, ["\0"]).split("\0");
  const list = new Intl.ListFormat(messages.language).formatToParts(namesOf(messages, members));
  const parts = list.map(({ type, value }) => {
    // "3 others" is none.
    if (type === "literal" || !members.some(({ name }) => name === value)) return value;
    const name = element(null, "bdi", "presence-flash-name", { lang: "" });
    name.textContent = value;
    return name;
  });
  return [before, ...parts, after];
}

/**
 * @param {Messages} messages
 * @param {Member[]} members
 */
function namesOf(messages, members) {
  const names = members.map(({ name }) => name);
  return fewNames(messages, names);
}

/**
 * A new element. Text goes in as text only.
 *
 * @param {Element | null} parent
 * @param {string} tag
 * @param {string} className
 * @param {Record<string, string>} [attributes]
 */
export function element(parent, tag, className, attributes = {}) {
  const element = document.createElement(tag);
  if (className) {
    element.className = className;
    // For the rules of a page around a `<whos-here>`.
    element.setAttribute("part", className.slice("presence-".length) || "bar");
  }
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent?.append(element);
  return element;
}

/**
 * Sets the text if it isn't so already: nothing is redrawn for nothing.
 *
 * @param {HTMLElement} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
