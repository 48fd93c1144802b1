// @ts-check
//
// What bars and flashes are made of, and how a bar's "+N" button and its names behave. Who and what is
// shown is decided in Rust: people.rs puts the items into the lists and takes them out.

/** Far enough from the window's edge to look as if it were meant. */
const MARGIN = 4;

/** What makes an element a flash area. */
const FLASH_AREA = {
  "data-presence-flash": "",
  role: "status",
  "aria-live": "polite",
  // Each message by itself, not all of them again with each.
  "aria-atomic": "false",
};

/**
 * Puts an empty bar into an element. `onOpen` is called before the list of the rest is shown.
 *
 * @param {HTMLElement} target
 * @param {() => void} onOpen
 * @returns {[root: HTMLElement, dots: HTMLElement, rest: HTMLElement]}
 */
export function bar(target, onOpen) {
  const root = element(target, "div", "presence", { role: "group", "aria-label": "Who is here" });
  // Safari doesn't take a list without bullets for a list.
  const dots = element(root, "ul", "presence-dots", { role: "list" });
  element(root, "span", "presence-count");

  const more = element(null, "li", "presence-more");
  const button = element(more, "button", "presence-more-button", { type: "button" });
  element(button, "span", "");
  element(button, "span", "presence-hidden").textContent = " more";
  // A list that scrolls must be within the keyboard's reach.
  const label = { role: "list", "aria-label": "Others who are here", tabindex: "0" };
  const rest = element(more, "ul", "presence-list", label);
  disclose(more, button, rest, onOpen);

  root.addEventListener("pointerover", showName);
  root.addEventListener("focusin", showName);
  // Who has faded in won't do so again, not even if the page hides and shows the bar.
  root.addEventListener("animationend", ({ target }) => {
    if (target instanceof Element) target.classList.remove("presence-entering");
  });
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
  const words = { connecting: "Connecting…", stopped: "" };
  setText(count, words[/** @type {keyof words} */ (standing)] ?? `${nMembers} here`);

  const more = /** @type {HTMLElement} */ (rest.parentElement);
  const button = /** @type {HTMLElement} */ (more.firstElementChild);
  setText(/** @type {HTMLElement} */ (button.firstElementChild), `+${nMore}`);
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
 * @param {boolean} isDot
 */
export function person(isDot) {
  const item = element(null, "li", isDot ? "presence-item" : "presence-person");
  const dot = element(item, "span", isDot ? "presence-dot" : "presence-mark");
  element(dot, "span", "presence-initial", { "aria-hidden": "true" });
  const label = element(isDot ? dot : item, "span", "presence-label");
  element(label, "span", "presence-name");
  element(label, "span", "presence-note");
  // So that the name can be read with the keyboard, too.
  if (isDot) dot.tabIndex = 0;
  return item;
}

/**
 * @param {HTMLElement} item
 * @param {string} name
 * @param {string} color
 * @param {string} ink what can be read on that color
 * @param {string} state
 * @param {boolean} isMe
 * @param {boolean} isEntering
 */
export function drawPerson(item, name, color, ink, state, isMe, isEntering) {
  const dot = /** @type {HTMLElement} */ (item.firstElementChild);
  const label = /** @type {HTMLElement} */ (dot.children[1] ?? item.children[1]);
  paint(dot, color, ink);
  if (dot.dataset.name !== name) dot.dataset.name = name;
  if (dot.dataset.state !== state) dot.dataset.state = state;
  setText(/** @type {HTMLElement} */ (dot.firstElementChild), initial(name));
  const note = state !== "active" ? `, ${state}` : isMe ? " (you)" : "";
  setText(/** @type {HTMLElement} */ (label.firstElementChild), name);
  setText(/** @type {HTMLElement} */ (label.lastElementChild), note);
  if (isEntering) dot.classList.add("presence-entering");
}

/**
 * Makes an element a flash area. It must be one before its first message comes, or screen readers don't
 * read that.
 *
 * @param {HTMLElement} area
 * @returns {string[]} the attributes that it hadn't
 */
export function flashArea(area) {
  const missing = Object.entries(FLASH_AREA).filter(([name]) => !area.hasAttribute(name));
  for (const [name, value] of missing) area.setAttribute(name, value);
  return missing.map(([name]) => name);
}

/**
 * @param {HTMLElement} area
 * @param {string} name
 * @param {string} kind
 * @param {string} color
 * @param {string} ink
 */
export function flash(area, name, kind, color, ink) {
  const flash = element(null, "div", "presence-flash", { "data-kind": kind });
  element(flash, "span", "presence-flash-name").textContent = name;
  flash.append(` ${kind}`);
  paint(flash, color, ink);
  // Whole, so that it is read as one.
  area.append(flash);
  return flash;
}

/**
 * @param {HTMLElement} area
 * @param {string[]} attributes what {@link flashArea} has set
 */
export function undo(area, attributes) {
  for (const name of attributes) area.removeAttribute(name);
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
    if (event.key !== "Escape" || list.hidden) return;
    // It was meant for this list, not for a dialog around it.
    event.stopPropagation();
    close(button, list);
    button.focus();
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
 * Brings the name that pointer or focus has brought up into the window.
 *
 * @param {Event} event
 */
function showName({ target }) {
  const dot = target instanceof Element ? target.closest(".presence-dot") : null;
  if (dot !== null) keepInView(/** @type {HTMLElement} */ (dot.lastElementChild));
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
