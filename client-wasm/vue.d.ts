/** Presence for Vue 3.3 and newer: who else is looking at this page, as a composable and components. */
import type { ComputedRef, DefineComponent, MaybeRefOrGetter } from "vue";
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
 * Is in a key as long as the component is mounted, for it and all that are inside of it.
 *
 * Options that say another relay, key or token string leave the one and enter the other; another `meta` is told
 * to the others, and another `mode` taken over. Another token function is used from the next token on, so it
 * has to speak for the same person: for somebody else, mount the component anew (`:key="userId"`) with another
 * function. Calls that begin with the very same `token` function share one connection. Inside of `<KeepAlive>`
 * it is in the key while it is shown.
 *
 * On a server nobody is here, and nothing is done.
 *
 * @example
 * <script setup>
 * import { AvatarBar, FlashArea, usePresence } from "whoshere/vue";
 *
 * const { members } = usePresence({
 *   url: "wss://relay.example/v1/presence",
 *   key: "document:42",
 *   token: async () => {
 *     const response = await fetch("/presence-token");
 *     if (!response.ok) throw new Error(`the answer is ${response.status}`);
 *     return response.text();
 *   },
 * });
 * </script>
 *
 * <template>
 *   <AvatarBar :max="3" />
 *   <FlashArea />
 *   <p>{{ members.map(({ name }) => name).join(", ") }}</p>
 * </template>
 *
 * @param options those of `connect`
 * @param onError is told what goes wrong, instead of the console
 */
export function usePresence(
  options: MaybeRefOrGetter<ConnectOptions>,
  onError?: (error: PresenceError) => void,
): PresenceRefs;

/** What a component around this one has: it has called {@link usePresence} with options. */
export function usePresence(): PresenceRefs;

/** Everybody who is here, oneself included, oldest first. */
export function useMembers(): ComputedRef<readonly Member[]>;

/** The member that the reader of this page is; null until it is known who is here. */
export function useSelf(): ComputedRef<Member | null>;

/** The others who are typing: who has said so with the pulse `typing`. */
export function useTyping(): ComputedRef<readonly Member[]>;

/** A `<div>` with the avatar bar. Its styles are in `whoshere/whoshere.css`. */
export const AvatarBar: DefineComponent<BarOptions>;

/** A `<div>` where "bob joined" and "bob left" are shown. */
export const FlashArea: DefineComponent<FlashOptions>;

/** What is known of a presence. */
export interface PresenceRefs {
  /** What `connect` gave; null before that, and on a server. */
  readonly here: ComputedRef<Here | null>;
  /** Everybody who is here, oneself included, oldest first. */
  readonly members: ComputedRef<readonly Member[]>;
  /** The member that the reader of this page is. */
  readonly self: ComputedRef<Member | null>;
  /** The others who are typing: who has said so with the pulse `typing`. */
  readonly typing: ComputedRef<readonly Member[]>;
  /** How the connection is. */
  readonly state: ComputedRef<State>;
  /** What went wrong last; null once it is live again. */
  readonly error: ComputedRef<PresenceError | null>;
}
