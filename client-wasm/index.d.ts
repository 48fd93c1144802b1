/// <reference lib="esnext.disposable" />

/** Presence for any web page: who else is looking at it right now. */

/**
 * Enters a key and stays in it until {@link Here.leave} or until the page is closed.
 *
 * Resolves once the module is loaded and the options are found good; the relay is dialed after that. A
 * relay that can't be reached is no error but a {@link State}, and is dialed again until it can.
 *
 * Calls with the same `url` and the same `token` (the same string, or the very same function) share one
 * connection; those with the same key besides share one presence, whose meta is merged, and which goes
 * when the last of them has left.
 *
 * On a server there is no page to be present in: importing does nothing there, and this rejects.
 *
 * @example
 * const here = await connect({
 *   url: "wss://relay.example/v1/presence",
 *   key: "document:{doc_id}",
 *   params: { doc_id: 42 },
 *   token: async () => {
 *     const response = await fetch("/presence-token");
 *     if (!response.ok) throw new Error(`the answer is ${response.status}`);
 *     return response.text();
 *   },
 * });
 * here.bar("#presence");
 * here.flash("#flash-area");
 *
 * @throws {PresenceError} with a code of {@link OptionErrorCode}, or `load_failed`.
 */
export function connect(options: ConnectOptions): Promise<Here>;

/**
 * Loads the module ahead of time, or from somewhere else than beside this file.
 *
 * `connect` does this by itself; call it before only to say where `whoshere_bg.wasm` is. Through a bundler
 * the module is a JavaScript chunk unless this has been called with an address.
 *
 * @param source an address, a response, the bytes, or a compiled module
 * @throws {PresenceError} with the code `load_failed`; may be called again.
 */
export function init(
  source?: string | URL | Request | Response | BufferSource | WebAssembly.Module,
): Promise<void>;

/** Passed to {@link connect}. A name that isn't one of these is an error. */
export interface ConnectOptions {
  /**
   * The relay's endpoint, for example `wss://relay.example/v1/presence`. `https:` and `http:` mean the
   * same as `wss:` and `ws:`; what has neither is relative to the page.
   */
  url: string | URL;

  /**
   * What is looked at, for example `document:42`: 1 to 128 letters, digits and `:_-./@`. Names in braces
   * are filled in from `params`.
   */
  key: string;

  /** The values of the key's placeholders. One that is missing or empty is an error that names it. */
  params?: { readonly [name: string]: string | number };

  /**
   * Who this is, signed by your server: the token, or a function that fetches one. The function is called
   * before the first dial and whenever a new token is needed; when it throws, gives what doesn't look like a
   * token, as a page about an error, or takes longer than 10 s, it is called again, ever more slowly.
   */
  token: string | (() => string | Promise<string>);

  /**
   * What the others see of this page from the start: plain JSON, at most 4096 bytes and 16 levels deep.
   *
   * @defaultValue {}
   */
  meta?: Meta;

  /**
   * `user`: all tabs of a user are one member. `none`: each tab is its own.
   *
   * @defaultValue "user"
   */
  dedupe?: "user" | "none";

  /**
   * The texts that readers see and hear, in another language or other words. Entries that are missing are
   * English ones. `whoshere/locales/` has German, Japanese and Arabic.
   *
   * @example
   * import { connect } from "whoshere";
   * import messages from "whoshere/locales/de.js";
   *
   * const here = await connect({
   *   url: "wss://relay.example/v1/presence",
   *   key: "document:42",
   *   token: async () => {
   *     const response = await fetch("/presence-token");
   *     if (!response.ok) throw new Error(`the answer is ${response.status}`);
   *     return response.text();
   *   },
   *   messages: { ...messages, here: "{n} lesen mit" },
   * });
   */
  messages?: Partial<Messages>;

  /**
   * When the others see this page as away: at once while its tab is hidden, and after `idle` milliseconds
   * without an input (1000 to 86400000). `false`: never.
   *
   * @defaultValue { idle: 300000 }
   */
  away?: boolean | { idle?: number };

  /**
   * As what this page is in the key, see {@link Here.mode}.
   *
   * @defaultValue "join"
   */
  mode?: Mode;
}

/**
 * - `join`: the others see this page.
 * - `observe`: it sees them, and nobody sees it. The token has to allow `observe`, as it does unless it says
 *   otherwise.
 * - `invisible`: the same, for people who join on other days. The token has to allow `invisible`, which it
 *   doesn't unless it says so.
 */
export type Mode = "join" | "observe" | "invisible";

/**
 * A text. What it may fill in, in braces, is said at each entry; `{n}` may stand in any that has a number.
 * Where the grammar asks for more than one text, there is one for each plural category of the language
 * (`Intl.PluralRules`), and `other` for those that are missing.
 */
export type Message =
  | string
  | ({ readonly other: string } & {
      readonly [Plural in "zero" | "one" | "two" | "few" | "many"]?: string;
    });

/** All texts that readers see or hear. */
export interface Messages {
  /** The language's tag, for its plurals, lists and numbers. */
  readonly language: string;
  /** What the bar is, for screen readers. */
  readonly bar: Message;
  /** What the list behind "+N" is, for screen readers. */
  readonly rest: Message;
  /** Beside the bar, until it is known who is here. */
  readonly connecting: Message;
  /** Beside the bar: `{n}`. */
  readonly here: Message;
  /** What the button for those without a dot is called: `{n}`. */
  readonly more: Message;
  /** Behind the reader's own name. */
  readonly you: Message;
  /** Behind the name of somebody who is away. */
  readonly away: Message;
  /** Behind the name of somebody whose connection is lost. */
  readonly reconnecting: Message;
  /** `{names}`, `{n}` in all. */
  readonly joined: Message;
  /** `{names}`, `{n}` in all. */
  readonly left: Message;
  /** Stands last in a list of names for those who aren't named: `{n}`. */
  readonly others: Message;
  /** `{names}`, `{n}` in all. */
  readonly typing: Message;
  /** Instead of `typing` when they are too many to be named. */
  readonly manyTyping: Message;
  /** `{name}`, and `{time}`, which is like "12 minutes ago". */
  readonly lastSeen: Message;
}

/** This page's presence in a key. */
export interface Here {
  /**
   * Resolves once it is known who is here. Rejects with a {@link PresenceError} if the relay refuses this
   * page or this key.
   */
  readonly ready: Promise<void>;

  /** The key, filled in. */
  readonly key: string;

  /**
   * Everybody who is here, oneself included unless one only looks on, oldest first. The array and what is
   * in it never change; there is another one after each `change`. Empty until {@link ready} and after the
   * end.
   */
  readonly members: readonly Member[];

  /** How many they are. */
  readonly count: number;

  /**
   * The member that the reader of this page is; null until {@link ready}. While one only looks on it is
   * their other tab, if one has joined.
   */
  readonly self: Member | null;

  /**
   * As what this page is here. It may be changed at any time: who stops being seen leaves, for the others,
   * and who wants to be seen joins. Members, flashes, bars and what others tell for a moment go on either way.
   *
   * While it isn't `join`, what {@link update} and {@link at} say is kept until it is, and so the others
   * can't be asked to let themselves be followed; pulses, and with them {@link typing} and {@link cursors},
   * say nothing and show the others'. Another tab of the same person that has joined is their own here, too.
   *
   * Several `connect`s of a page with one key have the mode in common; one that begins with another is
   * refused as `bad_options`. A mode that the token doesn't allow ends the presence with the error
   * `key_denied`: who wants to be unseen isn't left in sight.
   *
   * @throws {PresenceError} `bad_options` if it is none of them.
   */
  mode: Mode;

  /** How the connection is. */
  readonly state: State;

  /**
   * The texts in use, all of them. Setting it changes bars that are there at once, and flashes from the
   * next one on; entries that are missing are English ones.
   *
   * @throws {PresenceError} `bad_options` if there is no such entry, or it is none.
   */
  get messages(): Messages;
  set messages(messages: Partial<Messages>);

  /**
   * Calls a function at each event from now on. What it throws is reported like any uncaught error and
   * keeps nobody else from being called.
   *
   * @param options for `flash` only: what is worth one
   * @returns a function that ends it
   * @throws {PresenceError} `bad_options` if there is no such event, or an option is wrong.
   */
  on<Name extends keyof PresenceEvents>(
    event: Name,
    listener: (event: PresenceEvents[Name]) => void,
    options?: Name extends "flash" ? FlashOptions : never,
  ): () => void;

  /**
   * Changes what the others see of this page, field by field; a field that is null is removed. Sent at
   * most 20 times a second, the last value of each field winning, and again after each reconnect. Means
   * nothing after {@link leave}.
   *
   * @example
   * here.update({ is_typing: true });
   *
   * @throws {PresenceError} `bad_meta` if what comes out is too large, too deep or not JSON; nothing has
   *   changed then.
   */
  update(patch: Meta): void;

  /**
   * Tells the others something that is true for a moment only, and changes often: where the pointer is, that
   * somebody is typing. It isn't part of the meta, and what is lost on the way isn't sent again: the latest
   * value wins.
   *
   * Sent at most 20 times a second, and more rarely in a crowd. As long as it holds it is sent again every
   * 3 seconds, so that those who come get it. Nothing is sent while nobody else is here. A tab that is hidden
   * ends its pulses; what it says meanwhile is ignored.
   *
   * @example
   * here.pulse("progress", { page: 7 });
   *
   * @param name 1 to 16 lower-case letters, at most 8 names at a time. `typing`, `cursor` and `scroll` are
   *   what this package says itself.
   * @param value plain JSON, at most 512 bytes; null ends it
   * @throws {PresenceError} `bad_pulse` if it isn't such a name or such a value, or there are too many.
   */
  pulse(name: string, value: Json): void;

  /** What the others say by that name right now. */
  pulses(name: string): readonly Pulse[];

  /**
   * Who has viewed this key, the latest first: at most 50 people, those who are here and oneself included.
   * Empty unless the relay was started with `--last-seen` for this key. Waits for the connection if there is
   * none. Loaded on first use.
   *
   * @returns rejects with a {@link PresenceError} `left` if this presence ends before the answer
   */
  lastSeen(): Promise<readonly Seen[]>;

  /**
   * Has the token function called now, because it has another token than before: somebody has logged in
   * without a reload, or may enter other keys. Everything stays in place: the others see the former person
   * leave and the new one join, or another name, and keys that the new token doesn't allow end with
   * `key_denied`. A token that merely runs out is renewed without this.
   *
   * It is about the connection, so about all keys of this page that share it.
   */
  renewToken(): void;

  /**
   * Puts an avatar bar into an element: a dot for each person, and "N here".
   *
   * The styles are in `whoshere.css`.
   *
   * @param target an element, or a selector whose first match is meant
   * @returns a function that takes it away
   * @throws {PresenceError} `bad_target` if there is no such element.
   */
  bar(target: string | HTMLElement, options?: BarOptions): () => void;

  /**
   * Makes an element the place where "bob joined" and "bob left" are shown, for 4 seconds each, or for as
   * long as the pointer or the focus is on one. Those of one second are one sentence: "alice, bob and 3
   * others joined". Whoever is back within 5 seconds has only reloaded the page, and "left" is taken back.
   *
   * The element becomes a polite live region, so it should be in the page from the start. Screen readers
   * read each sentence once, when it is certain: a join after a second, a leave after five.
   *
   * @param target an element, or a selector whose first match is meant
   * @returns a function that ends it
   * @throws {PresenceError} `bad_target` if there is no such element, `bad_options` if an option is wrong.
   */
  flash(target: string | HTMLElement, options?: FlashOptions): () => void;

  /**
   * Shows for developers what the connection does, who is here and why, and the last 100 events, of which a
   * pulse that goes on is one. Of more than 100 people the first 100 have a row. Errors are in the console as
   * well, also if the page listens to them. Its code is loaded at the first call.
   *
   * @param target an element, or a selector whose first match is meant; a panel in the window's corner
   *   unless given
   * @returns a function that takes it away
   * @throws {PresenceError} `bad_target` if there is no such element.
   */
  inspect(target?: string | HTMLElement): () => void;

  /**
   * Tells the others while the reader types in a field, and shows who of them does: "alice is typing…".
   * It begins with the first real input, and ends when the field is sent (by its form, or by Enter) or
   * emptied, when it loses the focus, when the page is hidden or left, after 4 seconds without input (15 while a word is being composed), and after 5 seconds
   * without a sign of the page. Loaded on first use.
   *
   * @param target an input, a textarea, something editable, or an element around some of them; or a
   *   selector whose first match is meant
   * @returns a function that ends it
   * @throws {PresenceError} `bad_target` if there is no such element, `bad_options`.
   */
  typing(target: string | HTMLElement, options?: TypingOptions): () => void;

  /**
   * Shows where the others point on an element and what they have selected there, and tells them the
   * same of the reader. Positions are fractions of the nearest element with an id, so that they are right
   * on every screen: give your paragraphs ids, the same on everybody's page, and give the element itself
   * one if there are several. Nothing is sent while nobody else is here. Loaded on first use.
   *
   * @param target an element, or a selector whose first match is meant; a layer is put behind it in the
   *   document, never into it
   * @returns a function that ends it
   * @throws {PresenceError} `bad_target` if there is no such element, `bad_options`.
   */
  cursors(target: string | HTMLElement, options?: CursorsOptions): () => void;

  /**
   * Scrolls the window with somebody, until the reader scrolls or goes to another part of the page, or they
   * have left for 5 s: a reload is no leave. Their page tells where it is for as long as somebody follows,
   * which is in the field `following` of the follower's meta. Who follows isn't followed at the same time.
   * Loaded on first use.
   *
   * @param userId whom, for example a {@link Member.userId}
   * @returns a function that ends it
   * @throws {PresenceError} `bad_options`
   */
  follow(userId: string, options?: FollowOptions): () => void;

  /**
   * Tells the others where in the page the reader is, in words of your own. It is the field `at` of the
   * meta, so those who come later know it, too; `null` removes it.
   *
   * @example
   * here.at("cell:B7");
   *
   * @returns a function that removes it, unless it is another one by then
   * @throws {PresenceError} `bad_options` if it isn't a string or null, `bad_meta` if it is too long.
   */
  at(place: string | null): () => void;

  /**
   * Leaves at once. Bars and flash areas are taken away, listeners aren't called any more. May be called
   * twice. A page that is closed leaves by itself.
   */
  leave(): void;

  /** {@link leave}, for `using`. */
  [Symbol.dispose](): void;
}

/** Passed to {@link Here.bar}. */
export interface BarOptions {
  /**
   * Most dots, 1 to 1000; the others go behind a "+N" button.
   *
   * @defaultValue 5
   */
  max?: number;

  /**
   * What is in a dot. `avatars`: the person's picture, and the initial of those who have none. `initials`:
   * no pictures. `dots`: nothing but the color, and the initial where the reader's system takes colors away.
   *
   * @defaultValue "avatars"
   */
  look?: "avatars" | "initials" | "dots";

  /**
   * Where the reader's own dot is. `age`: among the others, who are there from the oldest on. `first`, or
   * `last` of all dots: never behind the "+N" button. `hidden`: nowhere, but counted.
   *
   * @defaultValue "age"
   */
  self?: "age" | "first" | "last" | "hidden";

  /**
   * Whether it says who was here last while nobody else is: "Last viewed by alice 12 minutes ago", in a
   * `.presence-last-seen`. The relay must have been started with `--last-seen` for this key. Loaded on first
   * use.
   *
   * @defaultValue false
   */
  lastSeen?: boolean;
}

/** When somebody has viewed a key. */
export interface Seen {
  readonly userId: string;
  readonly name: string;
  /** `#rrggbb` */
  readonly color: string;
  /** Where a picture of them is, or null. */
  readonly avatar: string | null;
  /** True if it is the reader of this page. */
  readonly self: boolean;
  /**
   * When they last did, in milliseconds since 1970 by this page's clock, which may be wrong as that is. For
   * one who is here it may be a minute behind.
   */
  readonly at: number;
}

/** Passed to {@link Here.flash}, and to {@link Here.on} for `flash`. */
export interface FlashOptions {
  /**
   * Whether it flashes when somebody joins.
   *
   * @defaultValue true
   */
  joins?: boolean;
  /**
   * Whether it flashes when somebody leaves.
   *
   * @defaultValue true
   */
  leaves?: boolean;
  /**
   * Nothing flashes while more than these are here, 0 to 1000000.
   *
   * @defaultValue 50
   */
  muteAbove?: number;
}

/** Passed to {@link Here.typing}. */
export interface TypingOptions {
  /**
   * Where it is shown: an element, or a selector. Unless given, a `.presence-typing` is put behind the
   * field, as high as a line so that nothing jumps.
   */
  show?: string | HTMLElement;

  /**
   * What tells this field from others of the page, the same on everybody's page; 64 characters count.
   *
   * @defaultValue the element's id, else its `name`, else `""`
   */
  name?: string;
}

/** Passed to {@link Here.cursors}. */
export interface CursorsOptions {
  /**
   * A selector for the elements that positions are relative to. Those without an id never are, nor those
   * whose id is longer than 64 characters.
   *
   * @defaultValue "[id]"
   */
  anchors?: string;

  /**
   * Whether the others see what the reader selects. Whatever it is, the others' selections are shown
   * where the browser can highlight ranges.
   *
   * @defaultValue true
   */
  selections?: boolean;
}

/** Passed to {@link Here.follow}. */
export interface FollowOptions {
  /** Called when it has ended, for whatever reason. */
  onEnd?: () => void;
}

/** One person who is here, or one tab with `dedupe: "none"`. */
export interface Member {
  /** Tells members apart: the user's id, or the session's with `dedupe: "none"`. */
  readonly id: string;
  /** The user's id. */
  readonly userId: string;
  /** The user's name. */
  readonly name: string;
  /** The user's color on every page, `#rrggbb`. */
  readonly color: string;
  /**
   * Where the user's picture is, as the token says: an `https:` URL, a `http:` one on this machine, or a
   * path on this site.
   */
  readonly avatar: string | null;
  /** What else the token says of the user, such as a role; no page can change it. */
  readonly info: Readonly<Record<string, unknown>> | null;
  /** True for the reader of this page, in all of its tabs. */
  readonly self: boolean;
  /**
   * The best of its tabs. `away`: hidden, or without an input for some minutes. `reconnecting`: not heard
   * of for some seconds, and held for some more.
   */
  readonly state: "active" | "away" | "reconnecting";
  /** When it came, in milliseconds since 1970 by this page's clock. */
  readonly since: number;
  /** How many tabs it has open on this key. */
  readonly sessions: number;
  /**
   * What its pages put in. The fields `at` and `following` are set by {@link Here.at} and
   * {@link Here.follow}. With several tabs, each field is from the newest tab that has it.
   */
  readonly meta: Meta;
}

/** What somebody else says for the moment: see {@link Here.pulse}. */
export interface Pulse {
  /**
   * Who says it. Other tabs of the reader's own are told, too, and are `self`.
   */
  readonly member: Member;
  /** In which of their tabs: 16 hexadecimal digits. */
  readonly session: string;
  readonly name: string;
  /**
   * Null if it has ended: they ended it, have left, or weren't heard of for 5 seconds.
   */
  readonly value: Json;
}

/** Plain JSON. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [name: string]: Json };

/** What a page puts into its presence. */
export type Meta = { readonly [name: string]: Json };

/**
 * `connecting`: not live yet. `live`. `reconnecting`: was live and is being taken up again; the others
 * see nothing of it for 30 seconds. `stopped`: has ended and will not come back by itself.
 */
export type State = "connecting" | "live" | "reconnecting" | "stopped";

/** What {@link Here.on} can listen to, and what listeners are given. */
export interface PresenceEvents {
  /** Somebody who wasn't here is. Never of oneself, and never of those who were here first. */
  join: JoinEvent;
  /** Somebody is gone. Never of oneself. */
  leave: LeaveEvent;
  /** Somebody's meta, state or number of tabs changed. */
  update: UpdateEvent;
  /** Somebody says something else for the moment, or no longer: see {@link Here.pulse}. */
  pulse: Pulse;
  /** Somebody is elsewhere in the page: see {@link Here.at}. */
  location: LocationEvent;
  /**
   * What a flash area would say, for pages that show it their own way: those of one second in one, a join
   * after that second, a leave after the five in which it could be a reload.
   */
  flash: FlashEvent;
  /** The connection's state changed. */
  state: StateEvent;
  /** `members` changed in any way. Comes after the others. */
  change: ChangeEvent;
  /**
   * Something went wrong. Unless `state` says `stopped`, it goes on. An error that nobody listens to is
   * shown as a warning in the console.
   */
  error: PresenceError;
}

export interface JoinEvent {
  readonly member: Member;
  /** True if it is no news: found after an own reconnect, or back after a restart of the relay. */
  readonly quiet: boolean;
}

export interface LeaveEvent {
  /** As it was. */
  readonly member: Member;
  /** `left`: the page was left or closed. `timeout`: it was lost and did not come back. */
  readonly reason: "left" | "timeout" | "kicked";
  /** True if it is no news: found after an own reconnect. */
  readonly quiet: boolean;
}

export interface UpdateEvent {
  readonly member: Member;
  /** As it was. */
  readonly before: Member;
}

export interface LocationEvent {
  readonly member: Member;
  /** What they gave to {@link Here.at}; null for nowhere, or gone. */
  readonly location: string | null;
  /** Where they were before. */
  readonly before: string | null;
}

export interface FlashEvent {
  readonly kind: "joined" | "left";
  /** Who, in the order in which it happened; those who left as they were. */
  readonly members: readonly Member[];
  /** The sentence, in the language of the page. */
  readonly text: string;
}

export type StateEvent =
  | { readonly state: "connecting" | "live" | "reconnecting" }
  | { readonly state: "stopped"; readonly reason: StopErrorCode };

export interface ChangeEvent {
  readonly count: number;
  readonly members: readonly Member[];
}

/** What goes wrong. */
export class PresenceError extends Error {
  constructor(code: ErrorCode, message: string);
  readonly code: ErrorCode;
}

/** What is wrong about options. */
export type OptionErrorCode =
  /** An option is unknown, missing, or of the wrong type; the message names it. */
  | "bad_options"
  /** The url can't be a relay's. */
  | "bad_url"
  /** The key isn't one. */
  | "bad_key"
  /** A placeholder of the key has no value. */
  | "missing_param"
  /** The meta is not a JSON object, too large or too deep. */
  | "bad_meta"
  /** The pulse's name or value isn't one, or there are too many. */
  | "bad_pulse"
  /** There is no such element. */
  | "bad_target";

/** Why a key or the whole connection has ended. */
export type StopErrorCode =
  /** The token is malformed, signed by somebody else, or not meant for this relay. */
  | "denied"
  /** The relay doesn't serve pages of this origin. */
  | "origin_denied"
  /** The token doesn't allow the key. */
  | "key_denied"
  /** The connection is in as many keys as it may be. */
  | "too_many_keys"
  /** This page and the relay don't understand each other: one of them is too old. */
  | "bad_frame"
  /** A message was too large. */
  | "too_large"
  /** The application has put this user out, of this key or of all. */
  | "kicked"
  /** The page left. */
  | "left";

/** What went wrong. New codes may come. */
export type ErrorCode =
  | OptionErrorCode
  | StopErrorCode
  /** The module could not be loaded. */
  | "load_failed"
  /** The token function threw, or gave no token. It is called again. */
  | "token_failed"
  /** The relay refuses the token that was to take the former one's place; the page goes on with that one. */
  | "token_denied"
  /** The key is full. It is tried again. */
  | "key_full"
  /** The token for this key has expired. The token function is called again. */
  | "key_expired"
  /** The relay heard of a key that this page isn't in. Nothing is lost. */
  | "not_joined"
  /** The token doesn't allow this, for example pulses. Nothing of the kind is sent any more. */
  | "not_allowed"
  /** The relay can't look up who was here for the moment. */
  | "unavailable";
