// @ts-check
//
// `<whos-here>`: a bar and flashes for a page without a line of script. Nothing here throws into the page:
// what goes wrong is an event, and a warning in the console.
import { connect, PresenceError } from "./index.js";
import { bindHelpers, release } from "./js/helpers.js";
import { BAR_OPTIONS, wrong } from "./js/options.js";
import css from "./js/styles.js";

/** @typedef {import("./index.js").Here} Here */
/** @typedef {{ url: string, key: string, dedupe: string, token: unknown, mode: string, away: string | null }} Wish */

const EVENTS = /** @type {const} */ ([
  "join",
  "leave",
  "update",
  "pulse",
  "location",
  "state",
  "change",
]);

const LOCALES = /** @type {Record<string, () => Promise<{ default: object }>>} */ ({
  ar: () => import("./locales/ar.js"),
  de: () => import("./locales/de.js"),
  ja: () => import("./locales/ja.js"),
});

/** How long something may be missing until somebody must have forgotten it. */
const PATIENCE_MS = 1000;

/** So that all elements with the same address share one connection. @type {Map<string, () => Promise<string>>} */
const tokenSources = new Map();

/** @type {CSSStyleSheet | undefined} */
let sheet;

// On a server there is nothing to extend, and nothing to do.
const Base = globalThis.HTMLElement ?? Object;

export class WhosHereElement extends Base {
  /** @type {Here | null} */
  #here = null;
  /** What `#here` was made of, or is being made of. @type {Wish | undefined} */
  #wish;
  #root = /** @type {HTMLElement | undefined} */ (undefined);
  /** @type {unknown} */
  #token;
  /** @type {object | undefined} */
  #messages;
  /** The language and the property that the texts in use come from. @type {unknown[]} */
  #spoken = [];
  /** @type {Record<string, unknown>} */
  #meta = {};
  /** What ends the bar and the flashes, and what each was made of. @type {Map<string, { made: string, end: () => void }>} */
  #parts = new Map();
  #isDue = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #complaint;
  #observer = globalThis.MutationObserver && new MutationObserver(() => this.#updateSoon());

  connectedCallback() {
    // Set before the tag was known, they stand before its own ones.
    for (const name of /** @type {const} */ (["token", "messages", "meta", "mode"])) {
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete (/** @type {any} */ (this)[name]);
      /** @type {any} */ (this)[name] = value;
    }
    this.#observer.observe(this, { attributes: true });
    // The page's script may have more to set.
    this.#updateSoon();
  }

  disconnectedCallback() {
    // Later, since whoever moves it puts it in again at once.
    setTimeout(() => this.#updateSoon());
  }

  /** This page's presence; null while there is none. */
  get here() {
    return this.#here;
  }

  get token() {
    return this.#token;
  }

  set token(token) {
    this.#token = token;
    this.#updateSoon();
  }

  get messages() {
    return this.#messages;
  }

  set messages(messages) {
    this.#messages = messages;
    // What was wrong about them may be right now.
    if (this.#here === null) this.#end();
    this.#updateSoon();
  }

  get meta() {
    return this.#meta;
  }

  set meta(meta) {
    const before = Object.keys(this.#meta).map((name) => [name, null]);
    this.#meta = meta ?? {};
    this.#try(() => this.#here?.update({ ...Object.fromEntries(before), ...this.#meta }));
  }

  get mode() {
    return this.getAttribute("mode") ?? "join";
  }

  set mode(mode) {
    this.setAttribute("mode", mode);
  }

  /** Does once what several changes of this moment ask for. */
  #updateSoon() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.#try(() => this.#update());
    });
  }

  /** Does what the attributes and properties say now. */
  #update() {
    clearTimeout(this.#complaint);
    if (!this.isConnected) {
      this.#observer.disconnect();
      return this.#end();
    }
    /** @type {Wish | undefined} */
    let wish;
    try {
      wish = this.#wished();
    } finally {
      // Also when the new key makes no sense.
      const { state = "stopped" } = this.#here ?? {};
      if (!isSame(wish, this.#wish, state !== "stopped")) this.#end();
    }
    if (this.#here !== null) {
      this.#show(this.#here);
      this.#speak(this.#here);
      if (wish && this.#wish && this.#wish.mode !== wish.mode) {
        this.#wish.mode = wish.mode;
        this.#here.mode = wish.mode;
      }
    } else if (wish !== undefined && this.#wish === undefined) {
      this.#wish = wish;
      this.#enter(wish);
    }
  }

  /** @returns {Wish | undefined} none if something is still missing */
  #wished() {
    const names = ["url", "key", "data-key", "token-url", "away"];
    const [url, plainKey, dataKey, tokenUrl, away = null] = names.map((it) =>
      this.getAttribute(it),
    );
    // Frameworks keep `key` to themselves.
    const key = plainKey ?? dataKey;
    const token = this.#token ?? (tokenUrl ? tokenSource(tokenUrl) : undefined);
    if (url && key && token) {
      const dedupe = this.getAttribute("dedupe") ?? "user";
      return { url, key: this.#filledIn(key), dedupe, token, mode: this.mode, away };
    }
    const missing = url ? (key ? "token-url" : "key") : "url";
    // The page's script may be about to set it.
    this.#complaint = setTimeout(() => this.#fail(wrong(missing, "is missing")), PATIENCE_MS);
  }

  /**
   * The key with the values of `data-*` in place of its placeholders, whose names HTML has made lower-case.
   *
   * @param {string} key
   */
  #filledIn(key) {
    const plain = (/** @type {string} */ name) => name.replace(/[-_]/g, "").toLowerCase();
    return key.replace(/\{([^{}]+)\}/g, (_, name) => {
      const found = Object.entries(this.dataset).find(([it]) => plain(it) === plain(name));
      if (found?.[1]) return found[1];
      const message = `data-${name} is missing or empty, and key needs it`;
      throw new PresenceError("missing_param", message);
    });
  }

  /** @param {Wish} wish */
  async #enter(wish) {
    try {
      const messages = await this.#texts();
      const away = awayOf(wish.away);
      const all = /** @type {any} */ ({ ...wish, away, meta: this.#meta, messages });
      const here = await connect(all);
      if (this.#wish !== wish) return here.leave();
      this.#here = here;
      for (const name of EVENTS) here.on(name, (event) => this.#tell(name, event));
      here.on("error", (error) => this.#fail(error));
      this.#show(here);
      this.#speak(here);
      bindHelpers(/** @type {CSSStyleSheet} */ (sheet));
      await here.ready;
      if (this.#here === here) this.#tell("ready", { members: here.members });
    } catch (error) {
      // What stops it while it enters, `error` has told.
      if (this.#wish === wish && this.#here === null) this.#fail(error);
    }
  }

  /**
   * Changes the texts, if others are asked for by now.
   *
   * @param {Here} here
   */
  async #speak(here) {
    const [locale, messages] = this.#spoken;
    if (locale === this.getAttribute("locale") && messages === this.#messages) return;
    const loading = this.#texts();
    const asked = this.#spoken;
    const texts = await loading;
    this.#try(() => {
      if (this.#here === here && this.#spoken === asked) here.messages = texts;
    });
  }

  /** The texts that attribute and property ask for. A language that there isn't is an error, and English. */
  async #texts() {
    const locale = this.getAttribute("locale");
    const messages = this.#messages;
    this.#spoken = [locale, messages];
    let texts = {};
    try {
      texts = await messagesOf(locale ?? "en");
    } catch (error) {
      this.#fail(error);
    }
    return { ...texts, ...messages };
  }

  /**
   * Puts the bar and the flash area in, or makes one anew if it is to be another.
   *
   * @param {Here} here
   */
  #show(here) {
    const flash = this.getAttribute("flash");
    const bar = BAR_OPTIONS.flatMap((name) => {
      const isLastSeen = name === "lastSeen";
      const value = this.getAttribute(isLastSeen ? "last-seen" : name);
      if (value === null) return [];
      if (isLastSeen) return [[name, value !== "false"]];
      return [[name, name === "max" ? Number(value) : value]];
    });
    const root = this.#shadow();
    this.#part("bar", bar, (ends) => {
      ends.push(here.bar(root, Object.fromEntries(bar)));
      // The flashes may be there already.
      root.prepend(/** @type {Element} */ (root.lastElementChild));
    });
    this.#part("flash", flash, (ends) => {
      const options = optionsOf(flash);
      ends.push(here.on("flash", (event) => this.#tell("flash", event), options));
      if (flash === null || flash === "false") return;
      const area = document.createElement("div");
      area.setAttribute("part", "flashes");
      root.append(area);
      ends.push(() => area.remove(), here.flash(area, options));
    });
  }

  /**
   * @param {string} name
   * @param {unknown} of what makes it another one
   * @param {(ends: (() => void)[]) => void} make adds what ends it
   */
  #part(name, of, make) {
    const made = JSON.stringify(of);
    const former = this.#parts.get(name);
    if (made === former?.made) return;
    former?.end();
    /** @type {(() => void)[]} */
    const ends = [];
    this.#parts.set(name, { made, end: () => ends.forEach((end) => void end()) });
    this.#try(() => make(ends));
  }

  /** Its content, in a tree of its own that the page's rules don't reach. */
  #shadow() {
    if (!this.#root) {
      sheet ??= new CSSStyleSheet();
      if (sheet.cssRules.length === 0) sheet.replaceSync(css);
      const shadow = this.shadowRoot ?? this.attachShadow({ mode: "open" });
      shadow.adoptedStyleSheets = [sheet];
      this.#root = document.createElement("div");
      this.#root.className = "presence-element";
      shadow.append(this.#root);
    }
    return this.#root;
  }

  #end() {
    const here = this.#here;
    this.#wish = undefined;
    this.#here = null;
    for (const { end } of this.#parts.values()) end();
    this.#parts.clear();
    if (here === null) return;
    release(here);
    here.leave();
  }

  /** @param {() => unknown} act */
  #try(act) {
    try {
      act();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** @param {unknown} error */
  #fail(error) {
    // Who handles it prevents that a developer looks for it in the console.
    if (this.#tell("error", error)) console.warn(error);
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #tell(name, detail) {
    const cancelable = name === "error";
    const options = { bubbles: true, composed: true, cancelable, detail };
    return this.dispatchEvent(new CustomEvent(`whoshere-${name}`, options));
  }
}

/**
 * @param {Wish | undefined} one
 * @param {Wish | undefined} other
 * @param {boolean} isLive then its mode can be changed
 */
function isSame(one, other, isLive) {
  const names = /** @type {const} */ (["url", "key", "dedupe", "token", "mode", "away"]);
  return names.every((name) => one?.[name] === other?.[name] || (isLive && name === "mode"));
}

/**
 * The texts of a language, as far as they aren't English.
 *
 * @param {string} locale for example `de` or `de-AT`
 */
async function messagesOf(locale) {
  const [language = ""] = locale.toLowerCase().split("-");
  if (language === "en") return {};
  if (!Object.hasOwn(LOCALES, language)) throw wrong("locale", `there are no texts in "${locale}"`);
  return (await LOCALES[language]?.())?.default;
}

/**
 * What the attribute `away` says: nothing, whether it is ever away, or after how many milliseconds.
 *
 * @param {string | null} text
 */
function awayOf(text) {
  const it = text || "true";
  return it === "true" || (it !== "false" && { idle: Number(it) });
}

/** @param {string} address */
function tokenSource(address) {
  const url = new URL(address, document.baseURI).href;
  const known = tokenSources.get(url);
  if (known !== undefined) return known;
  const source = async () => {
    const response = await fetch(url, { credentials: "same-origin" });
    if (!response.ok) throw new Error(`${url} answers ${response.status}`);
    const text = (await response.text()).trim();
    return text.startsWith("{") ? JSON.parse(text).token : text;
  };
  tokenSources.set(url, source);
  return source;
}

/**
 * What the attribute `flash` says: nothing, or options as JSON.
 *
 * @param {string | null} text
 * @returns {import("./index.js").FlashOptions}
 */
function optionsOf(text) {
  if (text === null || ["", "true", "false"].includes(text)) return {};
  try {
    return JSON.parse(text);
  } catch {
    throw wrong("flash", "must be empty, or options as JSON");
  }
}

if (globalThis.customElements && !customElements.get("whos-here")) {
  customElements.define("whos-here", WhosHereElement);
}
