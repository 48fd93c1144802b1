// @ts-check
//
// The avatar bar: a dot for each person, a "+N" button with a list of the rest, and "N here". Who is here,
// and in which order, is decided in Rust. Each person has one element, which stays the same one as long as
// the person stays: that is why nothing flickers and no animation is replayed.
import { disclose, undisclose } from "./disclose.js";
import { element, setText } from "./dom.js";
import { ink } from "./ink.js";
import { say } from "./messages.js";
import { showNames } from "./names.js";
import { isHidden } from "./shell.js";

/**
 * @typedef {import("./messages.js").Messages} Messages
 * @typedef {import("../index.js").Member} Member
 * @typedef {"connecting" | "live" | "stale" | "stopped"} Standing what a bar is worth: nothing is known yet,
 *   up to date, out of reach for longer than the grace, or ended
 * @typedef {{ item: HTMLElement, drawn: Member | null }} Person
 * @typedef {{ list: HTMLElement, people: Map<string, Person>, drawn: readonly Member[] }} Row a list, who is in
 *   it, and in which order
 */

/** A bar in the page. */
export class Bar {
  /** @type {Row} */
  #dots;
  /** Those without a dot: nobody sees them until the list is opened. @type {Row} */
  #rest;
  /** @type {readonly Member[]} */
  #shown = [];
  /** What the count was drawn of. */
  #counted = "";
  /** False until the first snapshot: nobody in that is entering. */
  #isKnown = false;
  #isDrawing = false;
  #messages;
  #look;
  #max;
  #place;
  #count;
  #more;
  #button;

  /**
   * @param {Messages} messages
   * @param {{ max: number, place: string, look: string }} options
   */
  constructor(messages, { max, place, look }) {
    this.#look = look;
    this.#max = max;
    this.#place = place;
    this.root = element(null, "div", "presence", { role: "group", "data-look": look });
    // Safari doesn't take a list without bullets for a list.
    this.#dots = rowOf(element(this.root, "ul", "presence-dots", { role: "list" }));
    this.#count = element(this.root, "span", "presence-count");

    this.#more = element(null, "li", "presence-more");
    this.#button = element(this.#more, "button", "presence-more-button", { type: "button" });
    // Not the button itself, so that "+7" can be kept from turning round.
    element(this.#button, "span", "");
    // A list that scrolls must be within the keyboard's reach.
    const list = { role: "list", tabindex: "0", popover: "manual" };
    this.#rest = rowOf(element(this.#more, "ul", "presence-list", list));
    this.#messages = messages;
    this.speak(messages);
    disclose(this.#more, this.#button, this.#rest.list, () => this.#drawRest());

    showNames(this.root);
    for (const type of ["animationend", "animationcancel"]) {
      this.root.addEventListener(type, ({ target }) => {
        if (!(target instanceof Element)) return;
        // Who has faded in won't do so again, not even if the page hides and shows the bar.
        target.classList.remove("presence-entering");
        if (target.classList.contains("presence-leaving")) target.remove();
      });
    }
  }

  /**
   * Says everything in these texts from the next drawing on, and leaves every element where it is.
   *
   * @param {Messages} messages
   */
  speak(messages) {
    this.#messages = messages;
    this.root.lang = messages.language;
    this.root.setAttribute("aria-label", say(messages, "bar"));
    this.#rest.list.setAttribute("aria-label", say(messages, "rest"));
    this.#counted = "";
    for (const row of [this.#dots, this.#rest]) {
      row.drawn = [];
      for (const it of row.people.values()) it.drawn = null;
    }
  }

  /**
   * Shows these people.
   *
   * @param {readonly Member[]} members oldest first
   * @param {Standing} standing
   */
  draw(members, standing) {
    // Removing an element can run the page's own code, which may come back to here.
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    try {
      this.#draw(members, standing);
    } finally {
      this.#isDrawing = false;
    }
  }

  /**
   * @param {readonly Member[]} members
   * @param {Standing} standing
   */
  #draw(members, standing) {
    const before = this.#shown;
    const shown = arranged(members, this.#place, this.#max);
    this.#shown = shown;
    const isNew = (/** @type {string} */ id) =>
      this.#isKnown && !before.some((member) => member.id === id);
    this.#drawPeople(this.#dots, shown.slice(0, this.#max), isNew);
    this.#isKnown = standing === "live" || standing === "stale";
    this.#drawCount(standing, members.length, Math.max(shown.length - this.#max, 0));
    if (!this.#rest.list.hidden) this.#drawRest();
  }

  #drawRest() {
    this.#drawPeople(this.#rest, this.#shown.slice(this.#max), () => false);
  }

  /**
   * @param {Standing} standing
   * @param {number} nMembers
   * @param {number} nMore
   */
  #drawCount(standing, nMembers, nMore) {
    const counted = [standing, nMembers, nMore].join();
    if (counted === this.#counted) return;
    this.#counted = counted;
    const { root } = this;
    const messages = this.#messages;
    root.dataset.state = standing;
    const here = () => say(messages, "here", { n: nMembers });
    const stopped = standing === "stopped" ? "" : here();
    setText(this.#count, standing === "connecting" ? say(messages, "connecting") : stopped);
    const [more, button] = [this.#more, this.#button];
    if (nMore > 0) {
      const name = say(messages, "more", { n: nMore });
      button.setAttribute("aria-label", name);
      const text = `+${nMore.toLocaleString(messages.language)}`;
      setText(/** @type {HTMLElement} */ (button.firstElementChild), text);
      if (more.parentElement === null) this.#dots.list.append(more);
    } else {
      undisclose(button, this.#rest.list);
      more.remove();
    }
  }

  /**
   * Makes a list show these people, in this order. What else is in the list stays at its end. Whoever hasn't
   * changed isn't touched.
   *
   * @param {Row} row
   * @param {readonly Member[]} members
   * @param {(id: string) => boolean} isEntering
   */
  #drawPeople(row, members, isEntering) {
    const { list, people, drawn } = row;
    row.drawn = members;
    let isSettled = drawn.length === members.length;
    members.forEach((member, at) => {
      if (member === drawn[at]) return;
      const { id } = member;
      isSettled &&= id === drawn[at]?.id;
      const known = people.get(id);
      if (known?.drawn === member) return;
      const item = known?.item ?? this.#person(list, member);
      this.#drawPerson(item, member);
      if (known === undefined && isEntering(id)) {
        item.firstElementChild?.classList.add("presence-entering");
      }
      people.set(id, { item, drawn: member });
    });
    if (isSettled) return;
    // Those who are gone go first, so that nobody who stays has to move out of their way.
    const staying = new Set(members.map(({ id }) => id));
    for (const [id, { item }] of people) {
      if (staying.has(id)) continue;
      people.delete(id);
      leave(item);
    }
    let next = list.firstChild;
    for (const { id } of members) {
      const item = /** @type {HTMLElement} */ (people.get(id)?.item);
      if (item === next) next = next.nextSibling;
      else list.insertBefore(item, next);
    }
  }

  /**
   * A person's item: a dot with the name as its tooltip, or with the name beside it.
   *
   * @param {HTMLElement} list
   * @param {Member} member
   */
  #person(list, { self }) {
    const isDot = list === this.#dots.list;
    const item = element(null, "li", isDot ? "presence-item" : "presence-person");
    const dot = element(item, "span", isDot ? "presence-dot" : "presence-mark");
    // There the page can put something of its own in.
    const isSlot = isDot && self && this.root.getRootNode() instanceof ShadowRoot;
    const inside = isSlot ? element(dot, "slot", "", { name: "self" }) : dot;
    element(inside, "span", "presence-initial", { "aria-hidden": "true" });
    const label = element(isDot ? dot : item, "span", "presence-label");
    element(label, "span", "presence-name", { lang: "" });
    element(label, "span", "presence-note");
    // So that the name can be read with the keyboard, too; within the list, by its arrow keys.
    (isDot ? dot : item).tabIndex = isDot ? 0 : -1;
    return item;
  }

  /**
   * @param {HTMLElement} item
   * @param {Member} member
   */
  #drawPerson(item, { name, color, avatar, state, self }) {
    const dot = /** @type {HTMLElement} */ (item.firstElementChild);
    const label = /** @type {HTMLElement} */ (item.querySelector(".presence-label"));
    paint(dot, color);
    const letter = /** @type {HTMLElement} */ (dot.querySelector(".presence-initial"));
    if (dot.dataset.name !== name) {
      dot.dataset.name = name;
      setText(letter, initial(name));
    }
    if (dot.dataset.state !== state) dot.dataset.state = state;
    // Hidden by the styles it could be shown by the page's, and loaded.
    if (this.#look === "avatars") drawAvatar(dot, letter, avatar ?? "");
    const messages = this.#messages;
    const note =
      (self ? say(messages, "you") : "") + (state === "active" ? "" : say(messages, state));
    setText(/** @type {HTMLElement} */ (label.firstElementChild), name);
    setText(/** @type {HTMLElement} */ (label.lastElementChild), note);
  }
}

/**
 * @param {HTMLElement} list
 * @returns {Row}
 */
function rowOf(list) {
  return { list, people: new Map(), drawn: [] };
}

/**
 * Who is shown, in order. The others keep theirs among each other.
 *
 * @param {readonly Member[]} members
 * @param {string} place where oneself stands
 * @param {number} max
 */
function arranged(members, place, max) {
  if (place === "age") return members;
  // Without `dedupe` oneself is several.
  const own = place === "hidden" ? [] : members.filter(({ self }) => self);
  const shown = members.filter(({ self }) => !self);
  // In the last dot: never behind the button.
  shown.splice(place === "last" ? Math.max(max - own.length, 0) : 0, 0, ...own);
  return shown;
}

/**
 * Takes a person's item out, at once. What fades where a dot was is there for the eye alone.
 *
 * @param {HTMLElement} item
 */
function leave(item) {
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

/**
 * Strict content security policies allow this, unlike a `style` attribute.
 *
 * @param {HTMLElement} element
 * @param {string} color
 */
export function paint({ style }, color) {
  if (style.getPropertyValue("--presence-color") === color) return;
  style.setProperty("--presence-color", color);
  style.setProperty("--presence-ink", ink(color));
}

/**
 * Puts a picture over the initial, which is seen until that is there, and stays if it never is.
 *
 * @param {HTMLElement} dot
 * @param {HTMLElement} letter
 * @param {string} avatar
 */
function drawAvatar(dot, letter, avatar) {
  if ((dot.dataset.avatar ?? "") === avatar) return;
  dot.dataset.avatar = avatar;
  dot.querySelector("img")?.remove();
  if (avatar === "") return;
  const image = element(null, "img", "presence-avatar", {
    alt: "",
    loading: "lazy",
    referrerpolicy: "no-referrer",
    draggable: "false",
  });
  image.addEventListener("error", () => image.remove(), { once: true });
  // Last: it is fetched by the rules that are set by then.
  image.setAttribute("src", avatar);
  letter.after(image);
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
