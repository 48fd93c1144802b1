/**
 * A test kit for pages that use whoshere: a whole relay, other people and a clock inside of the page, so
 * that "bob drops for 20 s" is a line in a test that needs no network and takes no time.
 *
 * The relay is the real one, compiled, and so are the pages of the other people; only sockets and time
 * are not real. Load it in tests only: nothing of it is part of what a normal page downloads.
 *
 * It needs a page. A real browser has all of it: Playwright, or Vitest's browser mode. Vitest with jsdom, which
 * lays nothing out, does for members, events, bars, flashes and typing; what measures the page, which is
 * cursors, the names on dots, the list behind "+N" and following, needs a real one.
 *
 * @packageDocumentation
 */
import type { ConnectOptions, Here, Json, Member, Meta, Mode, State } from "./index.js";

/**
 * Puts a relay and a clock into this page, in place of its network and its time.
 *
 * From then on WebSockets of whoshere lead to the kit's relay, whatever their URL, and `setTimeout`,
 * `setInterval`, `requestAnimationFrame`, `Date` and `performance.now` stand still until {@link Kit.tick}.
 * There is one kit at a time: {@link Kit.close} it before the next.
 *
 * @example
 * const kit = await createKit();
 * const here = await kit.connect({ key: "document:42", user: "alice" });
 * const bob = kit.user("bob").opens("document:42");
 * await kit.tick();
 * console.assert(here.count === 2);
 * bob.drops();
 * await kit.tick(20_000);
 * console.assert(here.count === 2);
 * kit.close();
 *
 * @throws {PresenceError} `bad_options`, or `load_failed`
 */
export function createKit(options?: KitOptions): Promise<Kit>;

/** Passed to {@link createKit}. */
export interface KitOptions {
  /**
   * Ids of sessions and waits before redials depend on it; the same seed gives the same run.
   *
   * @defaultValue 1
   */
  seed?: number;
  /**
   * The time that `Date.now()` begins with.
   *
   * @defaultValue the time that it is
   */
  now?: number | Date;
  /** Where `testing/whoshere_testing_bg.wasm` is, or its bytes; beside the kit's own file unless given. */
  wasm?: string | URL | Request | Response | BufferSource | WebAssembly.Module;
}

/** A relay, other people and a clock. */
export interface Kit {
  /** The relay's URL. Any other does as well. */
  readonly url: string;

  /** What `Date.now()` says. */
  readonly now: number;

  /**
   * `connect` of whoshere, as a user: the page under test. A page that calls `connect` itself is served
   * as well.
   *
   * Everything that `connect` takes can be given besides. Resolves after a {@link tick}, so that whoever
   * is here has been seen.
   *
   * @throws {PresenceError} what `connect` throws
   */
  connect(options: KitConnectOptions): Promise<Here>;

  /** A token for a user, for pages that call `connect` themselves. Not signed: the kit takes any. */
  token(user: KitUser, options?: TokenOptions): string;

  /** Somebody else. The same user as the page's own is that user's other tab. */
  user(user: KitUser): Somebody;

  /**
   * Lets time pass, with all that falls into it: timers of the page, beats, graces. Nothing moves but in
   * here, so what somebody does shows after the next `tick` only. What the SDK loads when a page first asks
   * for it, as `typing` and `cursors`, is there as well.
   *
   * @param milliseconds 100 unless given: enough for what is on its way
   */
  tick(milliseconds?: number): Promise<void>;

  /** The network and the tab of the page under test. */
  readonly page: Page;

  /** The relay, and what the application's servers have it do. */
  readonly relay: Relay;

  /** Leaves, takes the clock and the relay away, and gives the page its own back. */
  close(): void;
}

/** Passed to {@link Kit.connect}. */
export interface KitConnectOptions extends Partial<ConnectOptions> {
  key: string;
  /** Who the page's reader is. */
  user: KitUser;
  /**
   * The keys that the token allows.
   *
   * @defaultValue all of them
   */
  keys?: readonly string[];
  /** What it allows there, see {@link TokenOptions}. */
  can?: readonly string[];
}

/** A user's id, which is the name as well, or the claims of a token. */
export type KitUser =
  | string
  | { id: string; name?: string; color?: string; avatar?: string; info?: Record<string, unknown> };

/** Passed to {@link Kit.token}. */
export interface TokenOptions {
  /**
   * The keys that may be entered: `document:42`, or a beginning with a star, `project:7:*`.
   *
   * @defaultValue ["*"]
   */
  keys?: readonly string[];
  /**
   * What may be done with them.
   *
   * @defaultValue ["join", "observe", "pulse"]
   */
  can?: readonly string[];
  /**
   * For how many seconds it is good.
   *
   * @defaultValue 3600
   */
  ttl?: number;
}

/** Somebody else, who can open pages. */
export interface Somebody {
  /**
   * Opens a page on a key, in a browser of its own.
   *
   * @throws {PresenceError} `bad_key`, `bad_meta`, or `bad_options`
   */
  opens(key: string, options?: OpenOptions): Tab;
}

/** Passed to {@link Somebody.opens}. */
export interface OpenOptions {
  /**
   * What `connect` of that page is given.
   *
   * @defaultValue {}
   */
  meta?: Meta;
  /**
   * As what that page is there. Its token allows all of them.
   *
   * @defaultValue "join"
   */
  mode?: Mode;
}

/** A relay's process. It keeps of every key who viewed it, also while it is stopped. */
export interface Relay {
  /** It stops. Pages are told, as they are in a deploy, and take up again when it {@link starts}. */
  stops(): void;
  /** It starts again. Whom it has kept out may come back, as with a real one. */
  starts(): void;
  /**
   * An application's server puts somebody out, as it does through the HTTP API. Their pages stop with the
   * error `kicked`, the page under test as well if it is theirs; the others are told that they left, with
   * the reason `kicked`.
   *
   * @example
   * const kit = await createKit();
   * const here = await kit.connect({ key: "document:42", user: "alice" });
   * here.on("error", ({ code }) => console.assert(code === "kicked"));
   * kit.relay.kicks("alice", { key: "document:42" });
   * await kit.tick();
   * console.assert(here.state === "stopped");
   * kit.close();
   *
   * @throws {PresenceError} `bad_key`, or `bad_options`, also while the relay is stopped
   */
  kicks(user: KitUser, options?: KickOptions): void;
}

/** Passed to {@link Relay.kicks}. */
export interface KickOptions {
  /**
   * Out of this key only.
   *
   * @defaultValue all keys
   */
  key?: string;
  /**
   * For how many seconds they are kept out: 0 to 86,400.
   *
   * @defaultValue 300
   */
  seconds?: number;
}

/** A network. */
export interface Connection {
  /**
   * The network goes. Unless it is a `reset`, which both ends learn of, it is silent: nobody is told, and
   * what has not arrived arrives when it is back.
   */
  drops(options?: { reset?: boolean }): void;
  /** The network is back. */
  returns(): void;
}

/** The page under test. */
export interface Page extends Connection {
  /**
   * Its tab goes behind others: `document.hidden` is true, and the page is told by `visibilitychange`. Others
   * see its reader as away, unless `away` of `connect` says otherwise. No timer is slowed down.
   */
  hides(): void;
  /** Its tab is in front again, as it is at first and after {@link Kit.close}. */
  shows(): void;
}

/** A page of somebody else. */
export interface Tab extends Connection {
  /** The tab is closed. */
  closes(): void;
  /**
   * `update` on that page.
   *
   * @throws {PresenceError} `bad_meta`
   */
  updates(patch: Meta): void;
  /**
   * `pulse` on that page: what is true for a moment only. It holds until another, until null ends it, and
   * until the tab is {@link away}; a page that only looks on, or is away, says nothing.
   *
   * What the package says itself: `typing` with a field's name, `cursor` with `{ at: [id, x, y] }`, where `x`
   * and `y` are 0 to 1 across the element that has that id, and `selected: [id, from, id, to]`, in characters
   * after its beginning; and `scroll` with `[id, x, y]`.
   *
   * @example
   * const kit = await createKit();
   * const here = await kit.connect({ key: "document:42", user: "alice" });
   * const field = document.body.appendChild(document.createElement("input"));
   * here.typing(field, { name: "note" });
   * const bob = kit.user("bob").opens("document:42");
   * await kit.tick();
   * bob.pulses("typing", "note");
   * await kit.tick(); // "bob is typing…"
   * kit.close();
   *
   * @param name 1 to 16 lower-case letters, at most 8 names at a time
   * @param value plain JSON, at most 512 bytes; null ends it
   * @throws {PresenceError} `bad_pulse`
   */
  pulses(name: string, value: Json): void;
  /** The tab goes behind others: the others see it as away, unless another tab of that user isn't. */
  away(): void;
  /** The tab is looked at again. */
  back(): void;
  /** Whom that page sees: what the others get of what the page under test does. */
  readonly members: readonly Member[];
  /** How its connection is. */
  readonly state: State;
}
