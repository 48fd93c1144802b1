// @ts-check
//
// `whoshere/vue`: a presence for a component and all that are inside of it.
import {
  computed,
  defineComponent,
  h,
  inject,
  onActivated,
  onDeactivated,
  onMounted,
  onUnmounted,
  provide,
  shallowRef,
  toValue,
  watch,
} from "vue";
import { BAR_OPTIONS, FLASH_OPTIONS } from "./js/options.js";
import { NOTHING, PresenceStore, textOf } from "./js/store.js";

/** @typedef {import("./vue.js").PresenceRefs} PresenceRefs */

/** @type {import("vue").InjectionKey<PresenceRefs>} */
const KEY = Symbol("whoshere");

/**
 * @param {import("vue").MaybeRefOrGetter<import("./index.js").ConnectOptions>} [options]
 * @param {import("./js/store.js").OnError} [onError]
 */
export function usePresence(options, onError) {
  if (options === undefined) {
    const presence = inject(KEY, null);
    if (presence !== null) return presence;
    throw new Error("whoshere: no component around this one has called usePresence(options)");
  }
  const snapshot = shallowRef(NOTHING);
  /** @type {PresenceStore | undefined} */
  let store;
  let release = () => {};
  const hold = () => {
    release();
    if (store !== undefined) release = store.hold();
  };
  // Never called on a server.
  onMounted(() => {
    store = new PresenceStore(toValue(options), onError);
    store.subscribe(() => {
      snapshot.value = store.snapshot;
    });
    hold();
    watch(
      () => toValue(options),
      (it) => store.set(it, onError),
      { deep: true },
    );
  });
  // Inside of <KeepAlive> a page that isn't shown stays mounted.
  onActivated(hold);
  onDeactivated(() => release());
  onUnmounted(() => release());
  const presence = {
    here: computed(() => snapshot.value.here),
    members: computed(() => snapshot.value.members),
    self: computed(() => snapshot.value.self),
    typing: computed(() => snapshot.value.typing),
    state: computed(() => snapshot.value.state),
    error: computed(() => snapshot.value.error),
  };
  provide(KEY, presence);
  return presence;
}

export function useMembers() {
  return usePresence().members;
}

export function useSelf() {
  return usePresence().self;
}

export function useTyping() {
  return usePresence().typing;
}

/** Written without a value it is true, and not written what the SDK takes. */
const FLAG = { type: Boolean, default: undefined };
const FLAGS = ["lastSeen", "joins", "leaves"];

export const AvatarBar = part("AvatarBar", BAR_OPTIONS, {}, (here, element, options) =>
  here.bar(element, options),
);

const FLASHES = { "data-presence-flash": "" };

export const FlashArea = part("FlashArea", FLASH_OPTIONS, FLASHES, (here, element, options) =>
  here.flash(element, options),
);

/**
 * A `<div>` with something of the SDK in it.
 *
 * @param {string} name
 * @param {string[]} names those of the options
 * @param {object} attributes
 * @param {(here: import("./index.js").Here, element: HTMLElement, options: object) => () => void} start
 */
function part(name, names, attributes, start) {
  return defineComponent({
    name,
    props: Object.fromEntries(names.map((it) => [it, FLAGS.includes(it) ? FLAG : null])),
    setup(props) {
      const { here } = usePresence();
      const element = shallowRef(/** @type {HTMLElement | null} */ (null));
      watch(
        // Before Vue 3.4 a shallow ref as it is would make this run at each change of anything.
        [here, () => element.value, () => textOf(props)],
        ([here, element], _, onCleanup) => {
          if (here !== null && element !== null) onCleanup(start(here, element, { ...props }));
        },
        { flush: "post" },
      );
      return () => h("div", { ref: element, ...attributes });
    },
  });
}
