// @ts-check
//
// Every text that readers see or hear, and how a table in another language takes the place of the English
// one.
import { PresenceError } from "./error.js";

/**
 * A text, or one for each of the language's plural categories. Names in braces are filled in.
 *
 * @typedef {string | Partial<Record<Intl.LDMLPluralRule, string>> & { other: string }} Message
 *
 * @typedef {{ readonly [Entry in keyof typeof ENGLISH]: Entry extends "language" ? string : Message }} Messages
 *
 * @typedef {object} Values what is filled in
 * @property {number} [n] chooses the plural, and is filled in as `{n}`
 * @property {string} [name]
 * @property {readonly string[]} [names] as a list of the language
 * @property {string} [time]
 */

/** The entries that there are, and what each may fill in. */
export const ENGLISH = Object.freeze({
  // British, because American lists have a comma before their "and".
  language: "en-GB",
  bar: "Who is here",
  rest: "Others who are here",
  connecting: "Connecting…",
  here: "{n} here",
  more: "+{n} more",
  you: " (you)",
  away: ", away",
  reconnecting: ", reconnecting",
  joined: "{names} joined",
  left: "{names} left",
  others: { one: "{n} other", other: "{n} others" },
  typing: { one: "{names} is typing…", other: "{names} are typing…" },
  manyTyping: "Several people are typing…",
  lastSeen: "Last viewed by {name} {time}",
});

const PLURALS = ["zero", "one", "two", "few", "many", "other"];
const PLACEHOLDER = /\{(\w*)\}/g;

/** @type {Map<string, Intl.PluralRules>} */
const rules = new Map();

/**
 * A table that has all entries: those that aren't given are the English ones.
 *
 * @param {unknown} [given]
 * @returns {Messages}
 */
export function messagesOf(given = {}) {
  if (typeof given !== "object" || given === null) throw wrong("", "must be an object");
  for (const [entry, message] of Object.entries(given)) {
    if (!Object.hasOwn(ENGLISH, entry)) throw wrong(entry, "there is no such entry");
    if (entry === "language") checkLanguage(message);
    else checkMessage(entry, message);
  }
  return Object.freeze({ ...ENGLISH, ...given });
}

/**
 * An entry's text.
 *
 * @param {Messages} messages
 * @param {Exclude<keyof Messages, "language">} entry
 * @param {Values} [values]
 */
export function say(messages, entry, values = {}) {
  const { language } = messages;
  return template(messages, entry, values.n).replace(PLACEHOLDER, (_, name) => {
    if (name === "n") return (values.n ?? 0).toLocaleString(language);
    if (name === "names") return new Intl.ListFormat(language).format(values.names ?? []);
    return values[/** @type {"name" | "time"} */ (name)] ?? "";
  });
}

/**
 * @param {Messages} messages
 * @param {Exclude<keyof Messages, "language">} entry
 * @param {number} [n]
 */
export function template({ language, ...messages }, entry, n = 0) {
  const message = messages[entry];
  if (typeof message === "string") return message;
  const rule = rules.get(language) ?? new Intl.PluralRules(language);
  rules.set(language, rule);
  return message[rule.select(n)] ?? message.other;
}

/**
 * At most two names, and how many there are besides: `["alice", "bob", "3 others"]`.
 *
 * @param {Messages} messages
 * @param {readonly string[]} names
 */
export function fewNames(messages, names) {
  if (names.length <= 3) return names;
  return [...names.slice(0, 2), say(messages, "others", { n: names.length - 2 })];
}

/** @param {unknown} language */
function checkLanguage(language) {
  try {
    if (typeof language === "string" && Intl.getCanonicalLocales(language).length > 0) return;
  } catch {
    // It isn't one.
  }
  throw wrong("language", 'must be a language tag, like "de" or "pt-BR"');
}

/**
 * @param {string} entry
 * @param {unknown} message
 */
function checkMessage(entry, message) {
  const forms = typeof message === "string" ? { other: message } : message;
  if (typeof forms !== "object" || forms === null || !Object.hasOwn(forms, "other")) {
    throw wrong(entry, 'must be a text, or have a text as its "other"');
  }
  const known = placeholders(/** @type {keyof Messages} */ (entry));
  for (const [plural, text] of Object.entries(forms)) {
    if (!PLURALS.includes(plural)) throw wrong(entry, `there is no plural "${plural}"`);
    if (typeof text !== "string") throw wrong(entry, `"${plural}" must be a text`);
    for (const [whole, name] of text.matchAll(PLACEHOLDER)) {
      if (!known.includes(`{${name}}`)) throw wrong(entry, `it has no ${whole}`);
    }
  }
}

/** @param {keyof Messages} entry */
function placeholders(entry) {
  const message = /** @type {Message} */ (ENGLISH[entry]);
  const text = typeof message === "string" ? message : message.other;
  // Some languages say the number where English doesn't.
  return /** @type {string[]} */ (`${text}{n}`.match(PLACEHOLDER));
}

/**
 * @param {string} entry
 * @param {string} problem
 */
function wrong(entry, problem) {
  const name = entry === "" ? "messages" : `messages.${entry}`;
  return new PresenceError("bad_options", `${name}: ${problem}`);
}
