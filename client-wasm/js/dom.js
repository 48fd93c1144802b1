// @ts-check
//
// What bars and flashes are made of, and how a bar's "+N" button and its names behave. Who and what is
// shown is decided in Rust: people.rs puts the items into the lists and takes them out.

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

/**
 * What each bar was made of, and with it each person's item.
 *
 * @type {WeakMap<Element, { messages: Messages, look: string }>}
 */
const SETTINGS = new WeakMap();

/** Far enough from the window's edge to look as if it were meant. */
const MARGIN = 4;

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
 * Puts an empty bar into an element. `onOpen` is called before the list of the rest is shown.
 *
 * @param {HTMLElement} target
 * @param {{ messages: Messages, look: string, root?: HTMLElement }} settings `root` is the bar that was made of
 *   them before, whose place this one takes
 * @param {() => void} onOpen
 * @returns {[root: HTMLElement, dots: HTMLElement, rest: HTMLElement]}
 */
export function bar(target, settings, onOpen) {
  const { messages, look } = settings;
  const root = element(null, "div", "presence", {
    role: "group",
    "aria-label": say(messages, "bar"),
    "data-look": look,
  });
  if (settings.root === undefined) target.append(root);
  else settings.root.replaceWith(root);
  settings.root = root;
  // Safari doesn't take a list without bullets for a list.
  const dots = element(root, "ul", "presence-dots", { role: "list" });
  SETTINGS.set(root, { messages, look });
  element(root, "span", "presence-count");

  const more = element(null, "li", "presence-more");
  const button = element(more, "button", "presence-more-button", { type: "button" });
  // Not the button itself, so that "+7" can be kept from turning round.
  element(button, "span", "");
  // A list that scrolls must be within the keyboard's reach.
  const label = { role: "list", "aria-label": say(messages, "rest"), tabindex: "0" };
  const rest = element(more, "ul", "presence-list", label);
  disclose(more, button, rest, onOpen);

  showNames(root);
  const onEnd = (/** @type {Event} */ { target }) => {
    if (!(target instanceof Element)) return;
    // Who has faded in won't do so again, not even if the page hides and shows the bar.
    target.classList.remove("presence-entering");
    if (target.classList.contains("presence-leaving")) target.remove();
  };
  root.addEventListener("animationend", onEnd);
  root.addEventListener("animationcancel", onEnd);
  return [root, dots, rest];
}

/**
 * Says how many are here, and how many of them have no dot.
 *
 * @param {HTMLElement} dots
 * @param {HTMLElement} rest
 * @param {string} standing
 * @param {number} nMembers
 * @param {number} nMore
 */
export function drawBar(dots, rest, standing, nMembers, nMore) {
  const root = /** @type {HTMLElement} */ (dots.parentElement);
  if (root.dataset.state !== standing) root.dataset.state = standing;
  const count = /** @type {HTMLElement} */ (root.lastElementChild);
  const { messages } = settingsOf(root);
  const words = {
    connecting: () => say(messages, "connecting"),
    stopped: () => "",
  };
  const here = () => say(messages, "here", { n: nMembers });
  setText(count, (words[/** @type {keyof words} */ (standing)] ?? here)());

  const more = /** @type {HTMLElement} */ (rest.parentElement);
  const button = /** @type {HTMLElement} */ (more.firstElementChild);
  if (nMore > 0) {
    const name = say(messages, "more", { n: nMore });
    if (button.getAttribute("aria-label") !== name) button.setAttribute("aria-label", name);
    setText(
      /** @type {HTMLElement} */ (button.firstElementChild),
      `+${nMore.toLocaleString(messages.language)}`,
    );
  }
  if (nMore === 0) {
    close(button, rest);
    more.remove();
  } else if (more.parentElement === null) {
    dots.append(more);
  }
}

/**
 * A person's item: a dot with the name as its tooltip, or with the name beside it.
 *
 * @param {HTMLElement} list
 * @param {boolean} isDot
 * @param {boolean} isMe
 */
export function person(list, isDot, isMe) {
  const item = element(null, "li", isDot ? "presence-item" : "presence-person");
  const dot = element(item, "span", isDot ? "presence-dot" : "presence-mark");
  const root = /** @type {Element} */ (list.closest(".presence"));
  // There the page can put something of its own in.
  const isSlot = isDot && isMe && root.getRootNode() instanceof ShadowRoot;
  const inside = isSlot ? element(dot, "slot", "", { name: "self" }) : dot;
  element(inside, "span", "presence-initial", { "aria-hidden": "true" });
  const label = element(isDot ? dot : item, "span", "presence-label");
  element(label, "span", "presence-name");
  element(label, "span", "presence-note");
  // So that the name can be read with the keyboard, too; within the list, by its arrow keys.
  (isDot ? dot : item).tabIndex = isDot ? 0 : -1;
  SETTINGS.set(item, settingsOf(root));
  return item;
}

/**
 * @param {HTMLElement} item
 * @param {string} name
 * @param {string} color
 * @param {string} ink what can be read on that color
 * @param {string | undefined} avatar
 * @param {string} state
 * @param {boolean} isMe
 * @param {boolean} isEntering
 */
export function drawPerson(item, name, color, ink, avatar, state, isMe, isEntering) {
  const dot = /** @type {HTMLElement} */ (item.firstElementChild);
  const label = /** @type {HTMLElement} */ (item.querySelector(".presence-label"));
  paint(dot, color, ink);
  if (dot.dataset.name !== name) dot.dataset.name = name;
  if (dot.dataset.state !== state) dot.dataset.state = state;
  const letter = /** @type {HTMLElement} */ (dot.querySelector(".presence-initial"));
  setText(letter, initial(name));
  const { messages, look } = settingsOf(item);
  // Hidden by the styles it could be shown by the page's, and loaded.
  if (look === "avatars") drawAvatar(dot, letter, avatar);
  const states = /** @type {const} */ (["away", "reconnecting"]);
  const noted = states.find((it) => it === state);
  const note = (isMe ? say(messages, "you") : "") + (noted ? say(messages, noted) : "");
  setText(/** @type {HTMLElement} */ (label.firstElementChild), name);
  setText(/** @type {HTMLElement} */ (label.lastElementChild), note);
  if (isEntering) dot.classList.add("presence-entering");
}

/**
 * Takes a person's item out, at once. What fades where a dot was is there for the eye alone.
 *
 * @param {HTMLElement} item
 */
export function leave(item) {
  const dot = /** @type {HTMLElement} */ (item.firstElementChild);
  const list = /** @type {HTMLElement} */ (item.parentElement);
  if (/** @type {Document} */ (item.getRootNode()).activeElement === item) {
    // Or it would be lost.
    const next = item.nextElementSibling ?? item.previousElementSibling ?? list;
    /** @type {HTMLElement} */ (next).focus();
  }
  const isSeen = dot.className.startsWith("presence-dot") && !isHidden();
  const from = isSeen && item.getBoundingClientRect();
  item.remove();
  if (from) fade(list, /** @type {HTMLElement} */ (dot.cloneNode(true)), from);
}

/**
 * @param {HTMLElement} list
 * @param {HTMLElement} dot
 * @param {DOMRect} from where it was
 */
function fade(list, dot, { left, top }) {
  dot.lastElementChild?.remove();
  for (const name of ["tabindex", "data-name", "data-named"]) dot.removeAttribute(name);
  dot.className = "presence-mark presence-leaving";
  dot.setAttribute("part", "mark leaving");
  dot.setAttribute("aria-hidden", "true");
  list.after(dot);
  // A bar at the right edge has become narrower by the dot.
  const bar = /** @type {HTMLElement} */ (list.parentElement).getBoundingClientRect();
  dot.style.setProperty("left", `${left - bar.left}px`);
  dot.style.setProperty("top", `${top - bar.top}px`);
  // Nothing would end what doesn't begin.
  if (dot.getAnimations().length === 0) dot.remove();
}

/** True while the tab is behind others, or its window is. */
export function isHidden() {
  return document.visibilityState === "hidden";
}

/**
 * Makes an element a flash area. It must be one before its first sentence comes, or screen readers don't
 * read that. They don't read what is shown either, since it may change: each sentence is said once, in a
 * line that nobody sees.
 *
 * @param {HTMLElement} area
 * @param {{ readonly messages: Messages }} here may speak another language at each sentence
 * @param {(isHeld: boolean) => void} onHold is told when somebody begins to read, and when nobody does
 * @returns {Teller}
 */
export function flashArea(area, here, onHold) {
  const missing = Object.entries(FLASH_AREA).filter(([name]) => !area.hasAttribute(name));
  for (const [name, value] of missing) area.setAttribute(name, value);
  const said = element(area, "div", "presence-said");
  for (const [name, value] of Object.entries(UNSEEN)) said.style.setProperty(name, value);

  /** @type {Map<number, HTMLElement>} */
  const flashes = new Map();
  /** What has the pointer over it, and what has the focus. @type {(Element | null)[]} */
  const read = [null, null];
  let isHeld = false;
  const settle = () => {
    const isRead = read.some((it) => it !== null);
    if (isRead === isHeld) return;
    isHeld = isRead;
    area.toggleAttribute("data-held", isHeld);
    onHold(isHeld);
  };
  const controller = new AbortController();
  for (const [at, [begin, end]] of [
    ["pointerover", "pointerout"],
    ["focusin", "focusout"],
  ].entries()) {
    const listen = (
      /** @type {string} */ type,
      /** @type {(event: Event) => Element | null} */ find,
    ) =>
      area.addEventListener(
        type,
        (event) => {
          read[at] = find(event);
          settle();
        },
        { signal: controller.signal },
      );
    listen(begin ?? "", ({ target }) =>
      target instanceof Element ? target.closest(".presence-flash") : null,
    );
    listen(end ?? "", () => null);
  }

  const remove = (/** @type {HTMLElement} */ flash) => {
    flash.remove();
    // What is gone has no end of being read.
    for (const [at, it] of read.entries()) if (it === flash) read[at] = null;
  };
  return {
    show(id, isJoin, members) {
      const flash =
        flashes.get(id) ??
        element(null, "div", "presence-flash", {
          "data-kind": kindOf(isJoin),
          "aria-live": "off",
          tabindex: "0",
        });
      flash.replaceChildren(...sentence(here.messages, isJoin, members));
      flash.style.setProperty("--presence-color", members[0]?.color ?? "");
      if (!flashes.has(id)) area.append(flash);
      flashes.set(id, flash);
    },
    say(isJoin, members) {
      const line = document.createElement("div");
      line.textContent = flashText(here.messages, isJoin, members);
      // Whole, so that it is read as one.
      said.append(line);
      // Who comes along later would take it for news.
      setTimeout(() => line.remove(), SAID_FOR_MS);
    },
    hide(id) {
      const flash = flashes.get(id);
      flashes.delete(id);
      if (flash !== undefined) remove(flash);
      settle();
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
    const name = element(null, "span", "presence-flash-name");
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
 * Strict content security policies allow this, unlike a `style` attribute.
 *
 * @param {HTMLElement} element
 * @param {string} color
 * @param {string} ink
 */
function paint({ style }, color, ink) {
  if (style.getPropertyValue("--presence-color") === color) return;
  style.setProperty("--presence-color", color);
  style.setProperty("--presence-ink", ink);
}

/**
 * A new element. Text goes in as text only.
 *
 * @param {Element | null} parent
 * @param {string} tag
 * @param {string} className
 * @param {Record<string, string>} [attributes]
 */
function element(parent, tag, className, attributes = {}) {
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
 * Makes a button open and close a list beside it.
 *
 * @param {HTMLElement} around both
 * @param {HTMLElement} button
 * @param {HTMLElement} list
 * @param {() => void} onOpen
 */
function disclose(around, button, list, onOpen) {
  const closeUnlessInside = (/** @type {EventTarget | null} */ target) => {
    if (!(target instanceof Node && around.contains(target))) close(button, list);
  };
  const onPress = (/** @type {Event} */ event) => {
    // Seen from here, what is in a shadow tree is its host.
    if (!event.composedPath().includes(around)) close(button, list);
    if (list.hidden) document.removeEventListener("pointerdown", onPress);
  };
  close(button, list);
  button.addEventListener("click", () => {
    if (!list.hidden) return close(button, list);
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
      close(button, list);
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
function close(button, list) {
  button.setAttribute("aria-expanded", "false");
  list.hidden = true;
}

/**
 * Shows the name of the one whom pointer, finger or focus is on, until they go elsewhere or Escape is
 * pressed.
 *
 * @param {HTMLElement} root
 */
function showNames(root) {
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
function keepInView(element) {
  element.style.removeProperty("--presence-shift");
  const { left, right } = element.getBoundingClientRect();
  const over = right + MARGIN - document.documentElement.clientWidth;
  const shift = over > 0 ? -over : Math.max(MARGIN - left, 0);
  if (shift !== 0) element.style.setProperty("--presence-shift", `${shift}px`);
}

/**
 * Puts a picture over the initial, which is seen until that is there, and stays if it never is.
 *
 * @param {HTMLElement} dot
 * @param {HTMLElement} letter
 * @param {string | undefined} avatar
 */
function drawAvatar(dot, letter, avatar = "") {
  if ((dot.dataset.avatar ?? "") === avatar) return;
  dot.dataset.avatar = avatar;
  dot.querySelector("img")?.remove();
  if (avatar === "") return;
  const image = document.createElement("img");
  const attributes = {
    alt: "",
    loading: "lazy",
    referrerpolicy: "no-referrer",
    draggable: "false",
  };
  for (const [name, value] of Object.entries(attributes)) image.setAttribute(name, value);
  image.className = "presence-avatar";
  image.setAttribute("part", "avatar");
  image.addEventListener("error", () => image.remove(), { once: true });
  // Last: it is fetched by the rules that are set by then.
  image.src = avatar;
  letter.after(image);
}

/** @param {Element} of a bar, or a person's item */
function settingsOf(of) {
  return /** @type {{ messages: Messages, look: string }} */ (SETTINGS.get(of));
}

/**
 * What the eye takes for one character at the start of a name, for the inside of a dot.
 *
 * @param {string} name
 */
function initial(name) {
  const text = name.trim();
  if (!("Segmenter" in Intl)) return [...text][0] ?? "";
  const [first] = new Intl.Segmenter().segment(text);
  return first?.segment ?? "";
}

/**
 * Sets the text if it isn't so already: nothing is redrawn for nothing.
 *
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
