// @ts-check
import { mount as mountComponent, unmount } from "svelte";
import { writable } from "svelte/store";
import { presence } from "whoshere/svelte";
import App from "./App.svelte";

/** @typedef {{ options: import("whoshere").ConnectOptions, max?: number }} Props */

/** @param {HTMLElement} target @param {Props} props */
export function mount(target, { options, max = 5 }) {
  const [stores, maxStore] = [presence(options), writable(max)];
  const app = mountComponent(App, { target, props: { presence: stores, max: maxStore } });
  const set = (/** @type {Props} */ { options, max = 5 }) => {
    stores.set(options);
    maxStore.set(max);
  };
  return { set, unmount: () => unmount(app) };
}
