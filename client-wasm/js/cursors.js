// @ts-check
//
// Where the others point, and what they have selected. Loaded when the first surface is bound.
import { anchorAround, anchorOf, idOf, isPlace, placeAt } from "./anchor.js";
import { adopt } from "./style.js";

/**
 * @typedef {import("./here.js").Here} Here
 * @typedef {import("./here.js").Member} Member
 * @typedef {import("./here.js").Pulse} Pulse
 * @typedef {import("./anchor.js").Place} Place
 *
 * @typedef {typeof import("./bar.js").paint} Paint given rather than imported: a module that both import would be
 *   a file of its own
 *
 * @typedef {readonly [anchor: string, offset: number, anchor: string, offset: number]} Selected where a
 *   selection begins and ends, in characters after the beginning of an anchor
 *
 * @typedef {object} Value what the pulse `cursor` says
 * @property {Place} [at]
 * @property {Selected} [selected]
 */

/** A cursor that has kept still for so long is softened. */
const IDLE_MS = 5000;

/** How fast a cursor follows: after this many milliseconds it has caught up with a third of the way. */
const GLIDE_MS = 40;

/** So often selections are looked up in the page at most, and for so long: others may change them all the time. */
const HIGHLIGHT_MS = 100;
const HIGHLIGHT_FOR_MS = 4;

const OVERLAY = "presence-cursors";

/** Nobody sees a cursor move that is nearer than this many pixels. */
const NEAR = 0.25;

const SVG = "http://www.w3.org/2000/svg";

const CSS_TEXT = `@layer presence {
  .presence-cursors {
    position: absolute;
    z-index: 4;
    inset: auto;
    margin: 0;
    padding: 0;
    overflow: hidden;
    overflow: clip;
    contain: strict;
    pointer-events: none;
    user-select: none;
  }
  .presence-cursor {
    position: absolute;
    left: 0;
    top: 0;
    direction: ltr;
    will-change: transform;
    animation: presence-cursor-enter 150ms ease-out;
    transition: opacity 600ms;
  }
  .presence-cursor[hidden] {
    display: none;
  }
  .presence-cursor-idle {
    opacity: 0.45;
  }
  .presence-cursor-arrow {
    position: absolute;
    left: -2px;
    top: -2px;
    inline-size: 20px;
    block-size: 20px;
    overflow: visible;
    fill: var(--presence-color);
    stroke: var(--presence-ink);
    stroke-width: 1.5px;
    filter: drop-shadow(0 1px 1px rgb(0 0 0 / 35%));
  }
  .presence-cursor-label {
    position: absolute;
    left: 12px;
    top: 15px;
    box-sizing: border-box;
    inline-size: max-content;
    max-inline-size: 10rem;
    padding: 0.1875rem 0.5rem;
    overflow: hidden;
    border-radius: 0.25rem 0.75rem 0.75rem;
    color: var(--presence-ink);
    background: var(--presence-color);
    font: 600 0.75rem / 1.3 system-ui, sans-serif;
    text-overflow: ellipsis;
    unicode-bidi: plaintext;
    white-space: nowrap;
  }
  .presence-cursor[data-side~="left"] > .presence-cursor-label {
    left: auto;
    right: 2px;
    border-radius: 0.75rem 0.25rem 0.75rem 0.75rem;
  }
  .presence-cursor[data-side~="up"] > .presence-cursor-label {
    top: auto;
    bottom: 4px;
  }
  @media (prefers-reduced-motion: reduce) {
    .presence-cursor {
      animation: none;
      transition: none;
    }
  }
  @media (forced-colors: active) {
    .presence-cursor-arrow {
      fill: CanvasText;
      stroke: Canvas;
    }
    .presence-cursor-label {
      border: 1px solid CanvasText;
      color: CanvasText;
      background: Canvas;
    }
  }
  @media print {
    .presence-cursors {
      display: none;
    }
  }
  @keyframes presence-cursor-enter {
    from {
      opacity: 0;
    }
  }
}`;

/**
 * @param {Here} here
 * @param {AbortController} controller ends it
 * @param {HTMLElement} surface
 * @param {string} anchors
 * @param {boolean} tellsSelections
 * @param {Paint} paint
 */
export function start(here, { signal }, surface, anchors, tellsSelections, paint) {
  tellPointer(here, signal, surface, anchors);
  if (tellsSelections) tellSelection(here, signal, surface, anchors);
  const overlay = new Overlay(surface, signal, paint);
  const offs = [
    here.on("pulse", (pulse) => {
      if (pulse.name === "cursor") overlay.take(pulse);
    }),
  ];
  for (const pulse of here.pulses("cursor")) overlay.take(pulse);
  signal.addEventListener("abort", () => {
    for (const off of offs) off();
    overlay.remove();
  });
}

/** What a page tells of itself: its surfaces share one pulse. @type {WeakMap<Here, Telling>} */
const tellings = new WeakMap();

class Telling {
  /** @type {Map<keyof Value, HTMLElement>} */
  #owners = new Map();
  /** @type {Value} */
  #value = {};
  #here;

  /** @param {Here} here */
  static of(here) {
    const telling = tellings.get(here) ?? new Telling(here);
    tellings.set(here, telling);
    return telling;
  }

  /** @param {Here} here */
  constructor(here) {
    this.#here = here;
  }

  /**
   * @template {keyof Value} Field
   * @param {HTMLElement} surface
   * @param {Field} field
   * @param {Value[Field] | null} value null if there is nothing on this surface
   */
  set(surface, field, value) {
    // Where nothing is any more, there may be something on another surface.
    if (value === null && this.#owners.get(field) !== surface) return;
    const { [field]: before, ...others } = this.#value;
    if (JSON.stringify(before) === JSON.stringify(value)) return;
    if (value === null) this.#owners.delete(field);
    else this.#owners.set(field, surface);
    this.#value = value === null ? others : { ...others, [field]: value };
    this.#here.tell("cursor", Object.keys(this.#value).length > 0 ? this.#value : null);
  }
}

/**
 * @param {Here} here
 * @param {AbortSignal} signal
 * @param {HTMLElement} surface
 * @param {string} anchors
 */
function tellPointer(here, signal, surface, anchors) {
  const telling = Telling.of(here);
  /** Where the pointer is in the window. @type {{ x: number, y: number } | null} */
  let point = null;
  const tell = () => {
    if (point === null || document.hidden || signal.aborted) return;
    // Nobody would see it; when somebody comes it is told.
    if (here.members.every(({ self }) => self)) return;
    telling.set(surface, "at", placeAt(surface, anchors, point.x, point.y));
  };
  const flush = oncePerFrame(tell);
  const move = (/** @type {PointerEvent} */ { clientX, clientY }) => {
    point = { x: clientX, y: clientY };
    flush();
  };
  const end = () => {
    point = null;
    telling.set(surface, "at", null);
  };
  surface.addEventListener("pointermove", move, { signal, passive: true });
  surface.addEventListener("pointerdown", move, { signal, passive: true });
  const onLeave = (/** @type {PointerEvent} */ { pointerType }) => {
    // A finger that is lifted was here last; its owner hasn't gone anywhere.
    if (pointerType !== "touch") return end();
    // A tap is over before the next frame.
    tell();
    point = null;
  };
  surface.addEventListener("pointerleave", onLeave, { signal });
  // Under a pointer that keeps still, the page moves.
  document.addEventListener("scroll", flush, { signal, passive: true, capture: true });
  document.addEventListener("visibilitychange", () => document.hidden && end(), { signal });
  const off = here.on("join", flush);
  signal.addEventListener("abort", () => {
    off();
    end();
  });
}

/**
 * @param {Here} here
 * @param {AbortSignal} signal
 * @param {HTMLElement} surface
 * @param {string} anchors
 */
function tellSelection(here, signal, surface, anchors) {
  const telling = Telling.of(here);
  const flush = oncePerFrame(() => {
    if (!signal.aborted) telling.set(surface, "selected", selectedIn(surface, anchors));
  });
  document.addEventListener("selectionchange", flush, { signal });
  const end = () => telling.set(surface, "selected", null);
  const onVisibility = () => (document.hidden ? end() : flush());
  document.addEventListener("visibilitychange", onVisibility, { signal });
  signal.addEventListener("abort", end);
}

/**
 * @param {HTMLElement} surface
 * @param {string} anchors
 * @returns {Selected | null} null if nothing is selected, or not only what is on the surface
 */
function selectedIn(surface, anchors) {
  const selection = document.getSelection();
  if (selection === null || selection.isCollapsed || selection.rangeCount === 0) return null;
  const range = selection.getRangeAt(0);
  if (!surface.contains(range.commonAncestorContainer)) return null;
  return [
    ...positionOf(surface, anchors, range.startContainer, range.startOffset),
    ...positionOf(surface, anchors, range.endContainer, range.endOffset),
  ];
}

/**
 * @param {HTMLElement} surface
 * @param {string} anchors
 * @param {Node} node
 * @param {number} offset
 * @returns {[anchor: string, offset: number]}
 */
function positionOf(surface, anchors, node, offset) {
  const element = node instanceof Element ? node : (node.parentElement ?? surface);
  const anchor = anchorAround(surface, anchors, element);
  const before = document.createRange();
  before.setStart(anchor, 0);
  before.setEnd(node, offset);
  return [idOf(surface, anchor), before.toString().length];
}

/**
 * @param {unknown} value
 * @returns {value is Selected}
 */
function isSelected(value) {
  if (!Array.isArray(value) || value.length !== 4) return false;
  const isRight = (/** @type {unknown} */ it, /** @type {number} */ at) =>
    at % 2 === 0 ? typeof it === "string" : Number.isInteger(it);
  return value.every(isRight);
}

/**
 * @param {HTMLElement} surface
 * @param {Selected} selected
 * @returns {Range | null} null if there is no such text here
 */
function rangeOf(surface, selected) {
  const start = pointOf(surface, selected[0], selected[1]);
  const end = pointOf(surface, selected[2], selected[3]);
  if (start === null || end === null) return null;
  const range = document.createRange();
  range.setStart(...start);
  range.setEnd(...end);
  return range;
}

/**
 * @param {HTMLElement} surface
 * @param {string} id
 * @param {number} offset
 * @returns {[node: Node, offset: number] | null}
 */
function pointOf(surface, id, offset) {
  const anchor = anchorOf(surface, id);
  if (anchor === null) return null;
  let left = offset;
  const texts = document.createTreeWalker(anchor, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text !== null; text = texts.nextNode()) {
    const { length } = /** @type {Text} */ (text);
    if (left <= length) return [text, Math.max(left, 0)];
    left -= length;
  }
  return [anchor, anchor.childNodes.length];
}

/** What the others' cursors on a surface are drawn on. */
class Overlay {
  /** @type {Map<string, Cursor>} by session */
  #cursors = new Map();
  #element = document.createElement("div");
  #surface;
  #isPlaced = false;
  /** What the overlay is moved by, so that it covers the surface. */
  #shift = { x: 0, y: 0 };
  #style = "";
  #lastFrame = 0;
  #draw = oncePerFrame((now) => this.#frame(now));
  #sizes = new ResizeObserver(() => this.#draw());
  #changes = new MutationObserver((changes) => {
    // Overlays would see themselves, and each other.
    const isOwn = (/** @type {Node} */ it) => it instanceof Element && it.closest(`.${OVERLAY}`);
    if (changes.every(({ target }) => isOwn(target))) return;
    this.#draw();
    this.#highlightSoon();
  });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #highlighting;
  #stillness = matchMedia("(prefers-reduced-motion: reduce)");
  #paint;

  /**
   * @param {HTMLElement} surface
   * @param {AbortSignal} signal
   * @param {Paint} paint
   */
  constructor(surface, signal, paint) {
    this.#surface = surface;
    this.#paint = paint;
    this.#element.className = OVERLAY;
    this.#element.setAttribute("aria-hidden", "true");
    adopt(surface, CSS_TEXT);
    window.addEventListener("resize", this.#draw, { signal });
    const onScroll = (/** @type {Event} */ { target }) => {
      // The window takes everything with it.
      if (target !== document) this.#draw();
    };
    document.addEventListener("scroll", onScroll, { signal, passive: true, capture: true });
  }

  /** @param {Pulse} pulse */
  take({ session, member, value }) {
    // Nobody needs to see where they point in another window.
    if (member.self) return;
    const { at, selected } = /** @type {Value} */ (isObject(value) ? value : {});
    // What they are in may be in the page later.
    const place = isPlace(at) ? at : null;
    const selection = isSelected(selected) ? selected : null;
    const known = this.#cursors.get(session);
    if (place === null && selection === null) {
      known?.remove();
      this.#cursors.delete(session);
      if (this.#cursors.size === 0) this.#rest();
      return;
    }
    const cursor = known ?? new Cursor();
    this.#cursors.set(session, cursor);
    cursor.draw(member, this.#paint);
    cursor.select(selection);
    cursor.point(place);
    if (!this.#isPlaced) this.#place();
    if (cursor.element.parentElement === null) this.#element.append(cursor.element);
    this.#draw();
    this.#highlightSoon();
  }

  remove() {
    for (const cursor of this.#cursors.values()) cursor.remove();
    this.#cursors.clear();
    this.#rest();
  }

  /** Beside the surface and not in it, where it would be in an editor's way, and scroll along with it. */
  #place() {
    this.#isPlaced = true;
    if (this.#surface === document.body) document.body.append(this.#element);
    else this.#surface.after(this.#element);
    this.#sizes.observe(this.#surface);
    this.#sizes.observe(document.body);
    const all = { subtree: true, childList: true, characterData: true, attributes: true };
    this.#changes.observe(this.#surface, all);
  }

  /** Nobody points here. */
  #rest() {
    this.#isPlaced = false;
    this.#element.remove();
    this.#sizes.disconnect();
    this.#changes.disconnect();
    clearTimeout(this.#highlighting);
    this.#highlighting = undefined;
  }

  #highlightSoon() {
    this.#highlighting ??= setTimeout(() => {
      this.#highlighting = undefined;
      const deadline = performance.now() + HIGHLIGHT_FOR_MS;
      for (const [session, cursor] of [...this.#cursors]) {
        if (!cursor.isOutdated()) continue;
        if (performance.now() > deadline) return this.#highlightSoon();
        cursor.highlight(this.#surface);
        // Next time it is the others' turn.
        this.#cursors.delete(session);
        this.#cursors.set(session, cursor);
      }
    }, HIGHLIGHT_MS);
  }

  /** @param {number} now */
  #frame(now) {
    if (!this.#isPlaced) return;
    // What begins to move after a rest does so from now on.
    const passed = this.#lastFrame === 0 ? 1000 / 60 : Math.min(now - this.#lastFrame, 1000 / 15);

    // First everything is measured, then everything is moved: the page is laid out once.
    const surface = this.#surface;
    const box = surface.getBoundingClientRect();
    const origin = this.#element.getBoundingClientRect();
    const scale = (surface.offsetWidth && box.width / surface.offsetWidth) || 1;
    /** @type {Map<string, DOMRect | null>} */
    const rects = new Map();
    const pixels = (/** @type {Place} */ [id, x, y]) => {
      if (!rects.has(id)) rects.set(id, anchorOf(surface, id)?.getBoundingClientRect() ?? null);
      const rect = rects.get(id);
      if (!rect || rect.width === 0) return null;
      const left = rect.left + x * rect.width - box.left;
      const top = rect.top + y * rect.height - box.top;
      return { x: left / scale, y: top / scale };
    };
    const moves = [];
    for (const cursor of this.#cursors.values()) moves.push(cursor.measure(pixels));

    this.#shift.x += (box.left - origin.left) / scale;
    this.#shift.y += (box.top - origin.top) / scale;
    const [width, height] = [box.width / scale, box.height / scale];
    this.#cover(width, height);
    let isMoving = false;
    for (const move of moves) {
      if (move(width, height, this.#stillness.matches ? null : passed)) isMoving = true;
    }
    this.#lastFrame = isMoving ? now : 0;
    if (isMoving) this.#draw();
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  #cover(width, height) {
    const [x, y] = [round(this.#shift.x), round(this.#shift.y)];
    const style = [round(width), round(height), x, y].join();
    if (style === this.#style) return;
    this.#style = style;
    this.#element.style.setProperty("width", `${round(width)}px`);
    this.#element.style.setProperty("height", `${round(height)}px`);
    this.#element.style.setProperty("transform", `translate(${x}px, ${y}px)`);
  }
}

let nCursors = 0;

/** Somebody's cursor, and what they have selected. */
class Cursor {
  element = document.createElement("div");
  #label = document.createElement("span");
  /** @type {Place | null} */
  #place = null;
  /** Where it was told to be next. @type {Place | null} */
  #next = null;
  /** How far it is behind where it should be, and how fast it catches up, in pixels and milliseconds. */
  #behind = { x: 0, y: 0 };
  #speed = { x: 0, y: 0 };
  /** @type {{ width: number, height: number } | null} */
  #labelSize = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #idle;
  /** @type {Selected | null} */
  #selected = null;
  /** What of the page that is. @type {Range | null} */
  #range = null;
  #highlight = `presence-${++nCursors}`;
  #highlightColor = "";
  /** @type {CSSStyleSheet | null} */
  #sheet = null;

  constructor() {
    this.element.className = "presence-cursor";
    const arrow = document.createElementNS(SVG, "svg");
    arrow.setAttribute("class", "presence-cursor-arrow");
    arrow.setAttribute("viewBox", "0 0 20 20");
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", "M2 2 L2 16.5 L6.2 12.6 L9 18.6 L11.9 17.3 L9.1 11.4 L14.8 11.2 Z");
    path.setAttribute("stroke-linejoin", "round");
    arrow.append(path);
    this.#label.className = "presence-cursor-label";
    this.element.append(arrow, this.#label);
  }

  /**
   * @param {Member} member
   * @param {Paint} paint
   */
  draw({ name, color }, paint) {
    if (this.element.dataset.name !== name) {
      this.element.dataset.name = name;
      this.#label.textContent = name;
      this.#labelSize = null;
    }
    paint(this.element, color);
  }

  /** @param {Place | null} place */
  point(place) {
    const isSame = (/** @type {Place | null} */ it) => it?.join() === place?.join();
    if (place === null) this.#place = this.#next = null;
    if (place === null || isSame(this.#next ?? this.#place)) return;
    if (this.#place === null) {
      this.#place = place;
      this.#behind = { x: 0, y: 0 };
      this.#speed = { x: 0, y: 0 };
    } else {
      this.#next = place;
    }
    this.element.classList.remove("presence-cursor-idle");
    clearTimeout(this.#idle);
    const soften = () => this.element.classList.add("presence-cursor-idle");
    this.#idle = setTimeout(soften, IDLE_MS);
  }

  /** @param {Selected | null} selected */
  select(selected) {
    if (selected?.join() === this.#selected?.join()) return;
    this.#selected = selected;
    this.#range = null;
    if (selected !== null) return;
    globalThis.CSS?.highlights?.delete(this.#highlight);
    this.#style(null);
  }

  /** True if what is selected isn't what is highlighted: the page may have been drawn anew. */
  isOutdated() {
    const range = this.#range;
    if (this.#selected === null) return false;
    return range === null || range.collapsed || !range.startContainer.isConnected;
  }

  /** @param {HTMLElement} surface */
  highlight(surface) {
    // A browser that knows no highlights has cursors all the same.
    const highlights = globalThis.CSS?.highlights;
    if (!highlights || this.#selected === null) return;
    this.#range = rangeOf(surface, this.#selected);
    if (this.#range === null) highlights.delete(this.#highlight);
    else highlights.set(this.#highlight, new Highlight(this.#range));
    const color = this.element.style.getPropertyValue("--presence-color");
    if (this.#highlightColor === color) return;
    const sheet = new CSSStyleSheet();
    // On either theme a color that is much like the ground is seen, and the text on it can be read.
    const shade = `color-mix(in srgb, ${color}, CanvasText 30%)`;
    const tint = `color-mix(in srgb, ${shade} 35%, transparent)`;
    sheet.replaceSync(`::highlight(${this.#highlight}) { background-color: ${tint}; }`);
    this.#style(sheet);
    this.#highlightColor = color;
  }

  remove() {
    clearTimeout(this.#idle);
    this.select(null);
    this.element.remove();
  }

  /**
   * Measures, and returns what then moves it; that is true while it isn't where it should be.
   *
   * @param {(place: Place) => { x: number, y: number } | null} pixels
   * @returns {(width: number, height: number, passed: number | null) => boolean}
   */
  measure(pixels) {
    const from = this.#place && pixels(this.#place);
    const goal = this.#next === null ? from : pixels(this.#next);
    // It has none while the cursor is hidden.
    if (!this.#labelSize?.width) {
      this.#labelSize = { width: this.#label.offsetWidth, height: this.#label.offsetHeight };
    }
    if (this.#next !== null) {
      this.#place = this.#next;
      this.#next = null;
      if (from !== null && goal !== null) {
        this.#behind.x += from.x - goal.x;
        this.#behind.y += from.y - goal.y;
      }
    }
    return (width, height, passed) => {
      this.element.hidden = goal === null;
      if (goal === null) return false;
      const isMoving = this.#catchUp(passed);
      const x = goal.x + this.#behind.x;
      const y = goal.y + this.#behind.y;
      this.element.style.setProperty("transform", `translate(${round(x)}px, ${round(y)}px)`);
      this.#turn(x, y, width, height);
      return isMoving;
    };
  }

  /**
   * A spring without a swing, that keeps the speed it has when the goal moves on.
   *
   * @param {number | null} passed milliseconds; null for at once
   */
  #catchUp(passed) {
    let isMoving = false;
    for (const axis of /** @type {const} */ (["x", "y"])) {
      const push = this.#speed[axis] + this.#behind[axis] / GLIDE_MS;
      const left = passed === null ? 0 : Math.exp(-passed / GLIDE_MS);
      this.#behind[axis] = (this.#behind[axis] + push * (passed ?? 0)) * left;
      this.#speed[axis] = (this.#speed[axis] - (push * (passed ?? 0)) / GLIDE_MS) * left;
      const isNear =
        Math.abs(this.#behind[axis]) < NEAR && Math.abs(this.#speed[axis]) * GLIDE_MS < NEAR;
      if (isNear) this.#behind[axis] = this.#speed[axis] = 0;
      else isMoving = true;
    }
    return isMoving;
  }

  /**
   * Keeps the label on the surface.
   *
   * @param {number} x
   * @param {number} y
   * @param {number} width
   * @param {number} height
   */
  #turn(x, y, width, height) {
    const label = this.#labelSize ?? { width: 0, height: 0 };
    const isLeft = x + 12 + label.width > width && x > label.width;
    const isUp = y + 15 + label.height > height && y > label.height;
    const side = `${isLeft ? "left" : "right"} ${isUp ? "up" : "down"}`;
    if (this.element.dataset.side !== side) this.element.dataset.side = side;
  }

  /** @param {CSSStyleSheet | null} sheet */
  #style(sheet) {
    const others = document.adoptedStyleSheets.filter((it) => it !== this.#sheet);
    if (this.#sheet !== null || sheet !== null) {
      document.adoptedStyleSheets = sheet === null ? others : [...others, sheet];
    }
    this.#sheet = sheet;
    this.#highlightColor = "";
  }
}

/**
 * @param {(now: number) => void} act
 * @returns {() => void} calls it in the next frame, once
 */
function oncePerFrame(act) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame((now) => {
      isDue = false;
      act(now);
    });
  };
}

/** @param {number} pixels */
function round(pixels) {
  return Math.round(pixels * 100) / 100;
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
