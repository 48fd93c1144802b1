// @ts-check
//
// `whoshere/react`: a presence for the components inside of a provider.
"use client";
import {
  createContext,
  createElement,
  useContext,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { BAR_OPTIONS, FLASH_OPTIONS } from "./js/options.js";
import { NOTHING, PresenceStore, textOf } from "./js/store.js";

/** @typedef {import("./react.js").Presence} Presence */

const Context = createContext(/** @type {PresenceStore | null} */ (null));

/** @param {import("./react.js").PresenceProviderProps} props */
export function PresenceProvider({ options, onError, children }) {
  const [store] = useState(() => new PresenceStore(options, onError));
  useEffect(() => store.set(options, onError));
  useEffect(() => store.hold(), [store]);
  return createElement(Context.Provider, { value: store }, children);
}

export function usePresence() {
  return useField((it) => it);
}

export function useMembers() {
  return useField(({ members }) => members);
}

export function useSelf() {
  return useField(({ self }) => self);
}

export function useTyping() {
  return useField(({ typing }) => typing);
}

/** @param {import("./react.js").AvatarBarProps} props */
export function AvatarBar(props) {
  return usePart(props, BAR_OPTIONS, (here, element, options) => here.bar(element, options));
}

/** @param {import("./react.js").FlashAreaProps} props */
export function FlashArea(props) {
  const all = { "data-presence-flash": "", ...props };
  return usePart(all, FLASH_OPTIONS, (here, element, options) => here.flash(element, options));
}

/**
 * A `<div>` with something of the SDK in it, and its attributes: what is no option is one of those.
 *
 * @param {object} props
 * @param {string[]} names of the options
 * @param {(here: import("./index.js").Here, element: HTMLElement, options: object) => () => void} start
 */
function usePart(props, names, start) {
  const here = useField((it) => it.here);
  const ref = useRef(null);
  const isOption = (/** @type {[string, unknown]} */ [name]) => names.includes(name);
  const entries = Object.entries(props);
  const options = Object.fromEntries(entries.filter(isOption));
  const others = Object.fromEntries(entries.filter((it) => !isOption(it)));
  // biome-ignore lint/correctness/useExhaustiveDependencies: another object each time, with the same in it
  useEffect(() => {
    if (here !== null && ref.current !== null) return start(here, ref.current, options);
  }, [here, textOf(options)]);
  return createElement("div", { ...others, ref });
}

/**
 * @template T
 * @param {(presence: Presence) => T} field
 */
function useField(field) {
  const store = useContext(Context);
  if (store === null) throw new Error("whoshere: there is no <PresenceProvider> around this");
  return useSyncExternalStore(
    store.subscribe,
    () => field(store.snapshot),
    () => field(NOTHING),
  );
}
