// @ts-check
//
// Who has viewed a key and when, and the sentence about it in a bar. Loaded on first use.
import { adopt } from "./style.js";

/**
 * @typedef {import("./here.js").Here} Here
 * @typedef {import("../index.js").Seen} Seen
 * @typedef {import("./messages.js").Messages} Messages
 */

/** So long an answer may take, until it is asked for again. */
const PATIENCE_MS = 5000;
const MINUTE_MS = 60_000;

/** The longest first: how many minutes one of them has. @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ["year", 525_600],
  ["month", 43_200],
  ["day", 1440],
  ["hour", 60],
  ["minute", 1],
];

/** Stands for the name, which has a direction of its own. */
const NAME = "\u0000";

const CSS = `@layer presence {
  .presence-last-seen {
    min-inline-size: 0;
    font-size: 0.875rem;
    overflow-wrap: anywhere;
  }
}`;

/**
 * @param {Here} here
 * @param {() => void} send asks the relay, if it can be reached
 * @param {AbortSignal} [signal] ends it: nothing is answered then
 * @returns {Promise<readonly Seen[] | null>} null if the presence ends before it is answered
 */
export function ask(here, send, signal) {
  return new Promise((resolve) => {
    /** @type {(() => void)[]} */
    const ends = [];
    const end = () => {
      for (const it of ends) it();
    };
    const look = () => {
      if (here.state === "live") return send();
      if (here.state !== "stopped") return;
      end();
      resolve(null);
    };
    const timer = setInterval(look, PATIENCE_MS);
    const take = (/** @type {unknown[]} */ [text, me]) => {
      const seen = seenOf(text, me);
      if (seen === null) return;
      end();
      resolve(seen);
    };
    const on = /** @type {any} */ (here).on.bind(here);
    ends.push(() => clearInterval(timer), on("seen", take), on("state", look));
    signal?.addEventListener("abort", end);
    // Not before it is in the key.
    here.ready.then(look, look);
  });
}

/**
 * Says in a bar who was here last, while nobody else is.
 *
 * @param {Here} here
 * @param {AbortController} controller ends it
 * @param {HTMLElement} root the bar
 * @param {Set<import("./here.js").BarPart>} bars what is told of changes
 * @param {() => void} send
 * @param {typeof import("./messages.js").say} say given rather than imported: a module that both import
 *   would be a file of its own
 */
export function show(here, controller, root, bars, send, say) {
  const { signal } = controller;
  const line = document.createElement("span");
  line.className = "presence-last-seen";
  line.setAttribute("part", "last-seen");
  const name = document.createElement("bdi");
  name.lang = "";
  /** @type {Seen | undefined} */
  let last;
  let isKnown = false;
  let [wasAlone, wasLive] = [false, false];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {AbortController | undefined} */
  let asking;

  const draw = () => {
    clearTimeout(timer);
    if (last === undefined || !wasAlone) {
      line.remove();
      return;
    }
    if (line.parentElement !== root) {
      adopt(root, CSS);
      root.append(line);
    }
    const ago = Math.max(0, Date.now() - last.at);
    const time = relative(here.messages, Math.floor(ago / MINUTE_MS));
    const [before = "", after = ""] = say(here.messages, "lastSeen", { name: NAME, time }).split(
      NAME,
    );
    const text = before + last.name + after;
    if (line.textContent !== text) {
      name.textContent = last.name;
      line.replaceChildren(before, name, after);
    }
    // A page that nobody looks at has nothing to do.
    if (!document.hidden) timer = setTimeout(draw, MINUTE_MS - (ago % MINUTE_MS));
  };
  const look = async () => {
    // Also while it reconnects, which nobody needs to notice; and who looks on is alone where nobody is.
    const isAlone = isKnown && here.state !== "stopped" && here.members.every(({ self }) => self);
    const isLive = here.state === "live";
    // Meanwhile somebody may have come and gone. What was said stays until the answer is there.
    const isBack = isAlone && isLive && !wasLive;
    wasLive = isLive;
    if (isAlone === wasAlone && !isBack) return;
    asking?.abort();
    if (isAlone !== wasAlone) {
      wasAlone = isAlone;
      last = undefined;
      draw();
    }
    if (!isAlone) return;
    asking = new AbortController();
    const { signal } = asking;
    const seen = await ask(here, send, signal);
    if (signal.aborted) return;
    last = seen?.find(({ self }) => !self);
    draw();
  };
  const part = { draw: look, again: draw, remove: () => controller.abort() };
  bars.add(part);
  document.addEventListener("visibilitychange", draw, { signal });
  signal.addEventListener("abort", () => {
    bars.delete(part);
    asking?.abort();
    wasAlone = false;
    draw();
  });
  here.ready.then(
    () => {
      isKnown = true;
      if (!signal.aborted) look();
    },
    () => {},
  );
}

/**
 * How long ago that many minutes are, in words.
 *
 * @param {Messages} messages
 * @param {number} minutes
 */
function relative({ language }, minutes) {
  const [unit, size] = UNITS.find(([, size]) => minutes >= size) ?? ["minute", 1];
  // "This minute", rather than "0 minutes ago"; but not "yesterday", which a day ago needn't be.
  const numeric = minutes === 0 ? "auto" : "always";
  const format = new Intl.RelativeTimeFormat(language, { numeric });
  return format.format(-Math.floor(minutes / size), unit);
}

/**
 * @param {unknown} text of the relay's answer
 * @param {unknown} me the reader's id
 * @returns {readonly Seen[] | null} null if it is none
 */
function seenOf(text, me) {
  const now = Date.now();
  try {
    const { seen } = JSON.parse(String(text)).last_seen;
    const one = (/** @type {any} */ { user: { id, name, color, avatar = null }, ago_ms }) => {
      const isText = [id, name, color, avatar ?? ""].every((it) => typeof it === "string");
      if (!isText || !Number.isSafeInteger(ago_ms)) throw new TypeError("this is none");
      return Object.freeze({ userId: id, name, color, avatar, self: id === me, at: now - ago_ms });
    };
    return Object.freeze(seen.map(one));
  } catch {
    return null;
  }
}
