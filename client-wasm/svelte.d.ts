/** Presence for Svelte: who else is looking at this page, as stores and actions. */
import type {
  BarOptions,
  ConnectOptions,
  FlashOptions,
  Here,
  Member,
  PresenceError,
  State,
} from "./index.js";

/**
 * Is in a key as long as a component subscribes to one of its stores or uses one of its actions. Nothing
 * has to be ended. Those that begin with the very same `token` function share one connection.
 *
 * On a server nobody is here, and nothing is done.
 *
 * @example
 * <script>
 *   import { presence } from "whoshere/svelte";
 *
 *   const { members, bar, flash } = presence({
 *     url: "wss://relay.example/v1/presence",
 *     key: "document:42",
 *     token: async () => {
 *       const response = await fetch("/presence-token");
 *       if (!response.ok) throw new Error(`the answer is ${response.status}`);
 *       return response.text();
 *     },
 *   });
 * </script>
 *
 * <div use:bar={{ max: 3 }}></div>
 * <div use:flash></div>
 * {#each $members as { id, name } (id)}<p>{name}</p>{/each}
 *
 * @param options those of `connect`
 * @param onError is told what goes wrong, instead of the console
 */
export function presence(
  options: ConnectOptions,
  onError?: (error: PresenceError) => void,
): PresenceStores;

/** What is known of a presence, and what shows it. */
export interface PresenceStores {
  /** What `connect` gave; null before that, and on a server. */
  readonly here: Readable<Here | null>;
  /** Everybody who is here, oneself included, oldest first. */
  readonly members: Readable<readonly Member[]>;
  /** The member that the reader of this page is. */
  readonly self: Readable<Member | null>;
  /** The others who are typing: who has said so with the pulse `typing`. */
  readonly typing: Readable<readonly Member[]>;
  /** How the connection is. */
  readonly state: Readable<State>;
  /** What went wrong last; null once it is live again. */
  readonly error: Readable<PresenceError | null>;
  /** Puts the avatar bar into an element. Its styles are in `whoshere/whoshere.css`. */
  readonly bar: Action<BarOptions | undefined>;
  /** Makes an element the place where "bob joined" and "bob left" are shown. */
  readonly flash: Action<FlashOptions | undefined>;
  /**
   * Takes over other options. Those that say another relay, key or token string leave the one and enter the
   * other; another `meta` is told to the others, and another `mode` taken over. Another token function is used
   * from the next token on, so it has to speak for the same person: for somebody else, call {@link presence}
   * again with another function.
   */
  set(options: ConnectOptions): void;
}

/** A store, as Svelte's `$` takes it. */
export interface Readable<Value> {
  subscribe(run: (value: Value) => void): () => void;
}

/** An action, as Svelte's `use:` takes it. */
export type Action<Options> = (
  element: HTMLElement,
  options?: Options,
) => { update(options: Options): void; destroy(): void };
