// @ts-check
//
// `whoshere/svelte`: a presence as stores and actions. Both are plain contracts, so nothing of Svelte is
// needed here.
import { PresenceStore, textOf } from "./js/store.js";

/** @typedef {import("./index.js").Here} Here */
/** @typedef {import("./react.js").Presence} Presence */

/**
 * @param {import("./index.js").ConnectOptions} options
 * @param {import("./js/store.js").OnError} [onError]
 */
export function presence(options, onError) {
  const store = new PresenceStore(options, onError);
  return {
    here: readable(store, "here"),
    members: readable(store, "members"),
    self: readable(store, "self"),
    typing: readable(store, "typing"),
    state: readable(store, "state"),
    error: readable(store, "error"),
    bar: action(store, (here, element, options) => here.bar(element, options)),
    flash: action(store, (here, element, options) => here.flash(element, options)),
    set: (/** @type {import("./index.js").ConnectOptions} */ it) => store.set(it, onError),
  };
}

/**
 * One of the things that are known. Who subscribes to it holds the presence.
 *
 * @template {keyof Presence} Name
 * @param {PresenceStore} store
 * @param {Name} name
 */
function readable(store, name) {
  return {
    /** @param {(value: Presence[Name]) => void} run */
    subscribe(run) {
      let last = store.snapshot[name];
      const unsubscribe = store.subscribe(() => {
        const value = store.snapshot[name];
        if (value === last) return;
        last = value;
        run(value);
      });
      const release = store.hold();
      run(last);
      return () => {
        unsubscribe();
        release();
      };
    },
  };
}

/**
 * Puts something into an element as long as that is there, and anew when its options change.
 *
 * @template Options
 * @param {PresenceStore} store
 * @param {(here: Here, element: HTMLElement, options: Options) => () => void} start
 */
function action(store, start) {
  return (/** @type {HTMLElement} */ element, /** @type {Options} */ options) => {
    /** @type {Here | null} */
    let shownOf = null;
    let end = () => {};
    let text = textOf(options);
    const show = () => {
      const { here } = store.snapshot;
      if (here === shownOf) return;
      end();
      shownOf = here;
      end = here === null ? () => {} : start(here, element, options);
    };
    // First, since nothing would ever be let go if this throws.
    show();
    const unsubscribe = store.subscribe(show);
    const release = store.hold();
    return {
      update(/** @type {Options} */ it) {
        const before = text;
        text = textOf(it);
        if (text === before) return;
        options = it;
        shownOf = null;
        show();
      },
      destroy() {
        unsubscribe();
        end();
        release();
      },
    };
  };
}
