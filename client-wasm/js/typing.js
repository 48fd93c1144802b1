// @ts-check
//
// Who is typing in a field. Loaded when the first field is bound.
import { adopt } from "./style.js";

/**
 * @typedef {import("./here.js").Here} Here
 * @typedef {import("./here.js").Member} Member
 * @typedef {Pick<typeof import("./messages.js"), "say" | "template">} Words given rather than imported: a
 *   module that both import would be a file of its own
 */

/** So long without a key is a pause. */
const PAUSE_MS = 4000;

/**
 * While a word is being composed, the same: a keyboard on a screen composes all the time, and another shows a
 * list of words to choose from, which takes longer.
 */
const COMPOSING_PAUSE_MS = 15_000;

/** What doesn't last this long isn't worth being read out. */
const CALM_MS = 2000;

/** Longer names of fields would leave no room in a pulse. */
const MAX_FIELD = 64;

/** Inputs that nobody types in. */
const NO_TEXT = "checkbox color file hidden image radio range reset submit button".split(" ");

const CSS = `@layer presence {
  .presence-typing {
    display: flex;
    min-block-size: 1.5em;
    line-height: 1.5;
    overflow: hidden;
    color: var(--presence-typing, inherit);
  }
  .presence-typing-text {
    display: flex;
    min-inline-size: 0;
    white-space: pre;
  }
  .presence-typing-name {
    min-inline-size: 0;
    overflow: hidden;
    font-weight: 600;
    text-overflow: ellipsis;
  }
  .presence-typing-status {
    position: absolute;
    inline-size: 1px;
    block-size: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
}`;

/**
 * @param {Here} here
 * @param {AbortController} controller ends it
 * @param {HTMLElement} target
 * @param {HTMLElement | null} show
 * @param {string | undefined} name of the field
 * @param {Words} words
 */
export function start(here, controller, target, show, name, words) {
  const { signal } = controller;
  const field = (name ?? (target.id || target.getAttribute("name") || "")).slice(0, MAX_FIELD);
  tell(here, signal, target, field);
  display(here, signal, target, field, show, words);
}

/**
 * Tells the others of one's own typing.
 *
 * @param {Here} here
 * @param {AbortSignal} signal
 * @param {HTMLElement} target
 * @param {string} field
 */
function tell(here, signal, target, field) {
  let isTyping = false;
  let isComposing = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let pause;
  const stop = () => {
    clearTimeout(pause);
    // Another field may have begun.
    if (isTyping) here.tell("typing", null);
    isTyping = false;
  };
  const type = (/** @type {Event} */ event) => {
    const it = fieldOf(event);
    // What a script or the browser fills in isn't typed.
    if (it === null || !target.matches(":focus-within")) return;
    // Who has deleted everything, or has given up composing it, writes nothing.
    if (["input", "compositionend"].includes(event.type) && isEmpty(it)) return stop();
    clearTimeout(pause);
    pause = setTimeout(stop, isComposing ? COMPOSING_PAUSE_MS : PAUSE_MS);
    if (!isTyping) here.tell("typing", field);
    isTyping = true;
  };

  target.addEventListener("input", type, { signal });
  for (const phase of ["start", "update", "end"]) {
    const listener = (/** @type {Event} */ event) => {
      isComposing = phase !== "end";
      type(event);
    };
    target.addEventListener(`composition${phase}`, listener, { signal });
  }
  const onBlur = () => {
    isComposing = false;
    stop();
  };
  target.addEventListener("focusout", onBlur, { signal });
  // What is sent is written. The form needn't be around the field, and the page may keep the event to itself.
  const onSubmit = (/** @type {Event} */ event) => {
    const form = /** @type {Node} */ (event.target);
    const own = /** @type {Partial<HTMLInputElement>} */ (target).form;
    if (form === own || form.contains(target) || target.contains(form)) stop();
  };
  target.getRootNode().addEventListener("submit", onSubmit, { signal, capture: true });
  // Pages without a form send by this key, and clear the field.
  const onEnter = (/** @type {Event} */ event) => {
    const it = fieldOf(event);
    const isEnter = /** @type {KeyboardEvent} */ (event).key === "Enter";
    if (it !== null && isEnter) setTimeout(() => isEmpty(it) && stop());
  };
  target.addEventListener("keydown", onEnter, { signal, capture: true });
  const onHide = () => document.hidden && stop();
  document.addEventListener("visibilitychange", onHide, { signal });
  signal.addEventListener("abort", stop);
}

/**
 * What the text is in that an event is about: boxes are ticked with an `input`, too.
 *
 * @param {Event} event
 */
function fieldOf(event) {
  const [it] = event.composedPath();
  const isText =
    it instanceof HTMLInputElement
      ? !NO_TEXT.includes(it.type)
      : it instanceof HTMLTextAreaElement || (it instanceof HTMLElement && it.isContentEditable);
  return isText ? it : null;
}

/** @param {HTMLElement} field */
function isEmpty(field) {
  const { value, textContent } = /** @type {Partial<HTMLInputElement>} */ (field);
  return (value ?? textContent) === "";
}

/**
 * Shows who of the others is typing.
 *
 * @param {Here} here
 * @param {AbortSignal} signal
 * @param {HTMLElement} target
 * @param {string} field
 * @param {HTMLElement | null} show
 * @param {Words} words
 */
function display(here, signal, target, field, show, { say, template }) {
  const parts = [document.createElement("span"), document.createElement("span")];
  const [text, status] = /** @type {[HTMLElement, HTMLElement]} */ (parts);
  text.className = "presence-typing-text";
  // That of its words, which needn't be the page's.
  text.dir = "auto";
  // Those who can't see it are told calmly, below.
  text.setAttribute("aria-hidden", "true");
  status.className = "presence-typing-status";
  status.setAttribute("role", "status");
  const own = show ?? document.createElement("div");
  const hadClass = own.classList.contains("presence-typing");
  own.classList.add("presence-typing");
  own.append(...parts);
  if (show === null) target.after(own);
  adopt(own, CSS);

  /** @type {string | undefined} */
  let shown;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let calm;
  const draw = () => {
    const typists = typistsOf(here, field);
    const names = typists.map(({ name }) => name);
    const entry = names.length > 2 ? "manyTyping" : "typing";
    const told = names.length > 0 ? say(here.messages, entry, { names, n: names.length }) : "";
    if (told === shown) return;
    shown = told;
    for (const part of parts) part.lang = here.messages.language;
    text.replaceChildren(
      ...(told === "" ? [] : nodesOf(here, template(here.messages, entry, names.length), names)),
    );
    clearTimeout(calm);
    // That nobody is typing any more is no news.
    if (told === "") status.textContent = "";
    else calm = setTimeout(() => status.replaceChildren(told), CALM_MS);
  };
  const offs = [
    here.on("pulse", ({ name }) => name === "typing" && draw()),
    // A name may have changed.
    here.on("update", draw),
  ];
  draw();
  signal.addEventListener("abort", () => {
    for (const off of offs) off();
    clearTimeout(calm);
    for (const part of parts) part.remove();
    if (show === null) own.remove();
    else if (!hadClass) own.classList.remove("presence-typing");
  });
}

/**
 * Others who are typing in a field, each once.
 *
 * @param {Here} here
 * @param {string} field
 * @returns {Member[]}
 */
function typistsOf(here, field) {
  const theirs = here.pulses("typing").filter((it) => it.value === field && !it.member.self);
  return [...new Map(theirs.map(({ member }) => [member.id, member])).values()];
}

/**
 * A sentence in which no name turns the direction of the rest.
 *
 * @param {Here} here
 * @param {string} sentence
 * @param {readonly string[]} names
 */
function nodesOf({ messages }, sentence, names) {
  const list = new Intl.ListFormat(messages.language).formatToParts(names);
  return sentence
    .split(/(\{names\})/)
    .flatMap((part) => (part === "{names}" ? list.map(nodeOf) : [part]));
}

/** @param {{ type: string, value: string }} part of a list */
function nodeOf({ type, value }) {
  if (type === "literal") return value;
  const name = document.createElement("bdi");
  name.className = "presence-typing-name";
  name.lang = "";
  name.textContent = value;
  return name;
}
