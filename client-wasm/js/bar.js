// @ts-check
//
// The avatar bar: a dot for each person, a "+N" button with a list of the rest, and "N here". Who is here,
// and in which order, is decided in Rust. Each person has one element, which stays the same one as long as
// the person stays: that is why nothing flickers and no animation is replayed.
import { element, setText } from "./dom.js";
import { ink } from "./ink.js";
import { say } from "./messages.js";
import { isHidden } from "./shell.js";

/**
 * @typedef {import("./messages.js").Messages} Messages
 * @typedef {import("../index.js").Member} Member
 * @typedef {"connecting" | "live" | "stale" | "stopped"} Standing what a bar is worth: nothing is known yet,
 *   up to date, out of reach for longer than the grace, or ended
 * @typedef {{ list: HTMLElement, people: Map<string, HTMLElement> }} Row a list, and who is in it
 */

/** What people do in a bar. */
const TOUCHES = ["pointerover", "pointerleave", "focusin", "focusout", "click", "keydown"];

/** A bar in the page. */
export class Bar {
  /** @type {Row} */
  #dots;
  /** Those without a dot: nobody sees them until the list is opened. @type {Row} */
  #rest;
  /** @type {readonly Member[]} */
  #members = [];
  /** How many of them have no dot. */
  #nMore = 0;
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
   * @param {(start: (touch: typeof import("./touch.js")) => void, again: () => void) => void} load what heeds
   *   those who touch it, or calls back if that can't be had, or no longer
   */
  constructor(messages, { max, place, look }, load) {
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
    const list = { role: "list", tabindex: "0", hidden: "" };
    this.#rest = rowOf(element(this.#more, "ul", "presence-list", list));
    this.#messages = messages;
    this.speak(messages);
    this.#listen(load);
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
   * Passes on what is done in it. What is done before there is anybody to heed it is heeded later.
   *
   * @param {ConstructorParameters<typeof Bar>[2]} load
   */
  #listen(load) {
    /** @type {Parameters<import("./touch.js").Heed>[]} */
    let early = [];
    /** @type {import("./touch.js").Heed} */
    let heed = (...it) => {
      // It opens the list, and doesn't scroll the page.
      if (it[0].key === "ArrowDown" && it[1][0] === this.#button) it[0].preventDefault();
      if (early.push(it) > 1) return;
      load(
        ({ heedOf }) => {
          heed = heedOf(this.root, this.#button, this.#rest.list, () => this.#drawRest());
          for (const it of early.splice(0)) heed(...it);
        },
        // Without a network each move would ask for it anew.
        () => setTimeout(() => (early = []), 1000),
      );
    };
    for (const type of TOUCHES) {
      this.root.addEventListener(type, (/** @type {any} */ event) =>
        heed(event, event.composedPath(), event.relatedTarget),
      );
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
  }

  /**
   * Shows these people.
   *
   * @param {readonly Member[]} members oldest first
   * @param {Standing} standing
   * @param {readonly Member[]} [changed] those of them who have changed since the last time
   * @param {unknown} [hasMoved] false if each is the same person as then, in the same place
   */
  draw(members, standing, changed = members, hasMoved = true) {
    // Removing an element can run the page's own code, which may come back to here.
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    try {
      const before = this.#isKnown ? this.#members : undefined;
      this.#members = members;
      for (const { people } of [this.#dots, this.#rest]) {
        for (const member of changed) {
          const item = people.get(member.id);
          if (item) this.#drawPerson(item, member);
        }
      }
      if (hasMoved) {
        const shown = this.#shown();
        this.#drawPeople(this.#dots, shown.slice(0, this.#max), before);
        this.#nMore = Math.max(shown.length - this.#max, 0);
        if (!this.#rest.list.hidden) this.#drawRest();
      }
      this.#isKnown = standing === "live" || standing === "stale";
      this.#drawCount(standing);
    } finally {
      this.#isDrawing = false;
    }
  }

  #drawRest() {
    this.#drawPeople(this.#rest, this.#shown().slice(this.#max));
  }

  /** Who is shown, in order. The others keep theirs among each other. */
  #shown() {
    const [members, place] = [this.#members, this.#place];
    if (place === "age") return members;
    // Without `dedupe` oneself is several.
    /** @type {Member[]} */
    const own = [];
    /** @type {Member[]} */
    const shown = [];
    for (const it of members) (it.self ? own : shown).push(it);
    // In the last dot: never behind the button.
    const at = place === "last" ? Math.max(this.#max - own.length, 0) : 0;
    if (place !== "hidden") shown.splice(at, 0, ...own);
    return shown;
  }

  /** @param {Standing} standing */
  #drawCount(standing) {
    const nMembers = this.#members.length;
    const nMore = this.#nMore;
    const counted = [standing, nMembers, nMore].join();
    if (counted === this.#counted) return;
    this.#counted = counted;
    const messages = this.#messages;
    this.root.dataset.state = standing;
    const here = standing === "stopped" ? "" : say(messages, "here", { n: nMembers });
    setText(this.#count, standing === "connecting" ? say(messages, "connecting") : here);
    const [more, button] = [this.#more, this.#button];
    if (nMore > 0) {
      const name = say(messages, "more", { n: nMore });
      button.setAttribute("aria-label", name);
      const text = `+${nMore.toLocaleString(messages.language)}`;
      setText(/** @type {HTMLElement} */ (button.firstElementChild), text);
      if (!more.parentElement) {
        button.setAttribute("aria-expanded", "false");
        this.#rest.list.hidden = true;
        this.#dots.list.append(more);
      }
    } else {
      more.remove();
    }
  }

  /**
   * Makes a list show these people, in this order. What else is in the list stays at its end. Whoever is in it
   * already isn't touched.
   *
   * @param {Row} row
   * @param {readonly Member[]} members
   * @param {readonly Member[]} [before] who was here: the others are entering
   */
  #drawPeople({ list, people }, members, before) {
    for (const member of members) {
      const { id } = member;
      if (people.has(id)) continue;
      const item = this.#person(list, member);
      people.set(id, item);
      this.#drawPerson(item, member);
      if (before?.every((it) => it.id !== id)) {
        item.firstElementChild?.classList.add("presence-entering");
      }
    }
    // Those who are gone go first, so that nobody who stays has to move out of their way.
    if (people.size > members.length) {
      const stay = new Set(members.map((it) => it.id));
      const gone = [...people].filter(([id]) => !stay.has(id) && people.delete(id));
      leave(
        list,
        gone.map(([, item]) => item),
      );
    }
    let next = list.firstChild;
    for (const { id } of members) {
      const item = /** @type {HTMLElement} */ (people.get(id));
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
  return { list, people: new Map() };
}

/**
 * Takes people's items out, at once. What fades where a dot was is there for the eye alone. Whatever is read is
 * read of all of them together: each time that follows a change lays out the page.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement[]} items
 */
function leave(list, items) {
  const seen = list.matches(".presence-dots") && !isHidden() ? items : [];
  const places = seen.map((it) => it.getBoundingClientRect());
  const { activeElement } = /** @type {Document} */ (list.getRootNode());
  const focused = items.find((it) => it === activeElement);
  for (const it of items) if (it !== focused) it.remove();
  if (focused) {
    // Or it would be lost.
    const next = focused.nextElementSibling ?? focused.previousElementSibling ?? list;
    /** @type {HTMLElement} */ (next).focus();
    focused.remove();
  }
  const dots = seen.map((it) => {
    const before = /** @type {HTMLElement} */ (it.firstElementChild);
    const dot = /** @type {HTMLElement} */ (before.cloneNode(true));
    dot.lastElementChild?.remove();
    for (const name of ["tabindex", "data-name", "data-named"]) dot.removeAttribute(name);
    dot.className = "presence-mark presence-leaving";
    dot.setAttribute("part", "mark leaving");
    dot.setAttribute("aria-hidden", "true");
    return dot;
  });
  list.after(...dots);
  if (!seen[0]) return;
  // A bar at the right edge has become narrower by the dots.
  const bar = /** @type {HTMLElement} */ (list.parentElement).getBoundingClientRect();
  dots.forEach(({ style }, at) => {
    const { left, top } = /** @type {DOMRect} */ (places[at]);
    style.setProperty("left", `${left - bar.left}px`);
    style.setProperty("top", `${top - bar.top}px`);
  });
  // Nothing would end what doesn't begin.
  const still = dots.filter((it) => it.getAnimations().length === 0);
  for (const it of still) it.remove();
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
  letter.style.removeProperty("visibility");
  if (!avatar) return;
  const image = element(null, "img", "presence-avatar", {
    alt: "",
    loading: "lazy",
    referrerpolicy: "no-referrer",
    draggable: "false",
  });
  image.addEventListener("error", () => image.remove(), { once: true });
  // Or it would be seen through one that is away, or transparent.
  image.addEventListener("load", () => letter.style.setProperty("visibility", "hidden"));
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
