/** Presence for React 18 and newer: who else is looking at this page, as hooks and components. */
import type { HTMLAttributes, ReactElement, ReactNode } from "react";
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
 * Is in a key as long as it is mounted, for all that is inside. In strict mode it joins once, too.
 *
 * Options that say another relay, key or token string leave the one and enter the other; another `meta` is told
 * to the others, and another `mode` taken over. Another token function is used from the next token on, so it
 * has to speak for the same person: for somebody else, mount another provider (`key={userId}`) with another
 * function. Providers that begin with the very same `token` function share one connection.
 *
 * On a server nobody is here, and nothing is done.
 *
 * @example
 * import { AvatarBar, FlashArea, PresenceProvider } from "whoshere/react";
 *
 * const options = {
 *   url: "wss://relay.example/v1/presence",
 *   key: "document:42",
 *   token: async () => {
 *     const response = await fetch("/presence-token");
 *     if (!response.ok) throw new Error(`the answer is ${response.status}`);
 *     return response.text();
 *   },
 * };
 *
 * export default function Page() {
 *   return (
 *     <PresenceProvider options={options}>
 *       <AvatarBar max={3} />
 *       <FlashArea />
 *     </PresenceProvider>
 *   );
 * }
 */
export function PresenceProvider(props: PresenceProviderProps): ReactElement;

export interface PresenceProviderProps {
  /** Those of `connect`. */
  options: ConnectOptions;
  /** Is told what goes wrong, instead of the console. */
  onError?: (error: PresenceError) => void;
  children?: ReactNode;
}

/** All that is known. There is another object after each change. */
export function usePresence(): Presence;

/** Everybody who is here, oneself included, oldest first. */
export function useMembers(): readonly Member[];

/** The member that the reader of this page is; null until it is known who is here. */
export function useSelf(): Member | null;

/** The others who are typing: who has said so with the pulse `typing`. */
export function useTyping(): readonly Member[];

/** A `<div>` with the avatar bar. Its styles are in `whoshere/whoshere.css`. */
export function AvatarBar(props: AvatarBarProps): ReactElement;

export interface AvatarBarProps
  extends BarOptions,
    Omit<HTMLAttributes<HTMLDivElement>, keyof BarOptions | "children"> {}

/** A `<div>` where "bob joined" and "bob left" are shown. */
export function FlashArea(props: FlashAreaProps): ReactElement;

export interface FlashAreaProps
  extends FlashOptions,
    Omit<HTMLAttributes<HTMLDivElement>, keyof FlashOptions | "children"> {}

/** What is known of a presence. */
export interface Presence {
  /** What `connect` gave; null before that, and on a server. */
  readonly here: Here | null;
  /** Everybody who is here, oneself included, oldest first. */
  readonly members: readonly Member[];
  /** The member that the reader of this page is. */
  readonly self: Member | null;
  /** The others who are typing: who has said so with the pulse `typing`. */
  readonly typing: readonly Member[];
  /** How the connection is. */
  readonly state: State;
  /** What went wrong last; null once it is live again. */
  readonly error: PresenceError | null;
}
