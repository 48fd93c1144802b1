// @ts-check
//
// Where in the page people say they are, and pages that follow somebody. Loaded on first use.
import { anchorOf, isPlace, placeAt } from "./anchor.js";

/**
 * @typedef {import("./here.js").Here} Here
 * @typedef {import("./here.js").Member} Member
 */

/** Which part of the window's height a reader is taken to look at. */
const READING_LINE = 1 / 3;

/** How fast a follower's page moves: after this many milliseconds a third of the way is left. */
const GLIDE_MS = 90;

/** What follows somebody, on each page at most one. @type {WeakMap<Here, AbortController>} */
const followers = new WeakMap();

/** For how long somebody who left may come back, as after a reload. */
const RETURN_MS = 5000;

/** Keys that scroll. */
const SCROLL_KEYS = ["ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End", " ", "Tab"];

/**
 * Tells of each member whose place has changed, or who has come with one or left with one.
 *
 * @param {Here} here
 * @param {AbortController} controller ends it
 * @param {readonly Member[]} before who was here when it was asked for
 * @param {(member: Member, location: string | null, before: string | null) => void} tell
 */
export function watch(here, { signal }, before, tell) {
  let known = placesOf(before);
  const look = () => {
    const before = known;
    known = placesOf(here.members);
    for (const [id, [member, place]] of known) {
      const old = before.get(id)?.[1] ?? null;
      if (place !== old) tell(member, place, old);
    }
    for (const [id, [member, place]] of before) {
      if (place !== null && !known.has(id)) tell(member, null, place);
    }
  };
  signal.addEventListener("abort", here.on("change", look));
  look();
}

/**
 * Scrolls with somebody, until the reader moves or they leave.
 *
 * @param {Here} here
 * @param {AbortController} controller ends it
 * @param {string} userId
 */
export function follow(here, controller, userId) {
  const { signal } = controller;
  const end = () => controller.abort();
  // Two would pull the page to and fro.
  followers.get(here)?.abort();
  followers.set(here, controller);
  const stillness = matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {import("./anchor.js").Place | null} */
  let goal = null;
  let last = 0;
  let frame = 0;
  /** How near it has come. */
  let nearest = Number.POSITIVE_INFINITY;
  /** What is scrolled to get there, the innermost first. @type {Element[]} */
  let scrollers = [];
  const move = (/** @type {number} */ now) => {
    frame = 0;
    const anchor = goal && anchorOf(document.body, goal[0]);
    if (!goal || !anchor || signal.aborted) return;
    const rect = anchor.getBoundingClientRect();
    const distance = rect.top + goal[2] * rect.height - window.innerHeight * READING_LINE;
    // What is hidden is nowhere, and what is fixed to the window never comes nearer.
    const isFar = (rect.width === 0 && rect.height === 0) || Math.abs(distance) >= nearest;
    nearest = Math.abs(distance);
    if (isFar) {
      last = 0;
      return;
    }
    const passed = last === 0 ? 1000 / 60 : Math.min(now - last, 1000 / 15);
    last = now;
    const share = stillness.matches ? 1 : 1 - Math.exp(-passed / GLIDE_MS);
    const step = Math.abs(distance) < 2 ? distance : distance * share;
    // Whole pixels: a browser may round what is less to nothing.
    const top = Math.abs(step) < 1 ? Math.round(step) : step;
    scrollers = scrollersAround(anchor);
    const hasMoved = scrollers.some((it) => {
      const before = it.scrollTop;
      it.scrollBy({ top, behavior: "instant" });
      return Math.abs(it.scrollTop - before) >= 0.5;
    });
    // It is there, or nothing can be scrolled that far.
    if (hasMoved) frame = requestAnimationFrame(move);
    else last = 0;
  };
  const take = (/** @type {import("./here.js").Pulse} */ { member, name, value }) => {
    if (name !== "scroll" || member.userId !== userId || !isPlace(value)) return;
    goal = value;
    nearest = Number.POSITIVE_INFINITY;
    if (frame === 0) frame = requestAnimationFrame(move);
  };

  here.update({ following: userId });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let gone;
  const offs = [
    here.on("pulse", take),
    here.on("leave", ({ member }) => {
      if (member.userId === userId) gone = setTimeout(end, RETURN_MS);
    }),
    here.on("join", ({ member }) => member.userId === userId && clearTimeout(gone)),
  ];
  for (const pulse of here.pulses("scroll")) take(pulse);
  const options = { signal, passive: true, capture: true };
  // The last one is a link to another part of the page.
  for (const type of ["wheel", "touchmove", "hashchange"]) {
    window.addEventListener(type, end, options);
  }
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (SCROLL_KEYS.includes(event.key) && !isField(event.composedPath()[0])) end();
  };
  window.addEventListener("keydown", onKey, options);
  const onPress = (/** @type {PointerEvent} */ { target, offsetX, button }) => {
    const it = /** @type {Element} */ (target);
    const isBeside = offsetX < 0 || offsetX >= it.clientWidth;
    const isBar = it === document.documentElement || (scrollers.includes(it) && isBeside);
    // The middle button scrolls, too.
    if (isBar || button === 1) end();
  };
  window.addEventListener("pointerdown", onPress, options);
  signal.addEventListener("abort", () => {
    for (const off of offs) off();
    clearTimeout(gone);
    cancelAnimationFrame(frame);
    // Not what the meta says: that is the relay's echo, and may come later than the end.
    if (followers.get(here) === controller) {
      followers.delete(here);
      here.update({ following: null });
    }
  });
}

/**
 * What around an element can be scrolled, the innermost first and the page last.
 *
 * @param {Element} element
 */
function scrollersAround(element) {
  const found = [];
  for (let it = element.parentElement; it !== null; it = it.parentElement) {
    const isPage = it === document.body || it === document.documentElement;
    const { overflowY } = getComputedStyle(it);
    if (!isPage && /auto|scroll/.test(overflowY) && it.scrollHeight > it.clientHeight) {
      found.push(it);
    }
  }
  return [...found, document.scrollingElement ?? document.documentElement];
}

/**
 * True where keys write and don't scroll.
 *
 * @param {EventTarget | undefined} target
 */
function isField(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches("input, textarea, select");
}

/**
 * Tells where this page is scrolled to while somebody follows it. Who follows others doesn't lead: two who
 * follow each other would never come to rest.
 *
 * @param {Here} here
 * @param {AbortController} controller ends it
 */
export function lead(here, { signal }) {
  let isFollowed = false;
  let isDue = false;
  const tell = () => {
    isDue = false;
    if (!isFollowed || document.hidden || signal.aborted) return;
    const [x, y] = [document.documentElement.clientWidth / 2, window.innerHeight * READING_LINE];
    const place = placeAt(document.body, "[id]", x, y);
    if (place !== null) here.tell("scroll", place);
  };
  const flush = () => {
    if (isFollowed && !isDue) requestAnimationFrame(tell);
    isDue = isFollowed;
  };
  const look = () => {
    const me = here.self;
    const wasFollowed = isFollowed;
    isFollowed =
      me !== null &&
      !me.meta.following &&
      here.members.some(({ self, meta }) => !self && meta.following === me.userId);
    if (wasFollowed && !isFollowed) here.tell("scroll", null);
    else if (!wasFollowed) flush();
  };
  const off = here.on("change", look);
  // By capture: an element that is scrolled tells nobody around it.
  window.addEventListener("scroll", flush, { signal, passive: true, capture: true });
  window.addEventListener("resize", flush, { signal });
  // What was told ended when the tab was hidden.
  document.addEventListener("visibilitychange", flush, { signal });
  signal.addEventListener("abort", off);
  look();
}

/**
 * @param {readonly Member[]} members
 * @returns {Map<string, [Member, string | null]>}
 */
function placesOf(members) {
  return new Map(
    members.map((member) => {
      const { at } = member.meta;
      return [member.id, [member, typeof at === "string" ? at : null]];
    }),
  );
}
