// @ts-check
//
// `whoshere/vue`: a presence for a component and all that are inside of it.
import {
  computed,
  defineComponent,
  h,
  inject,
  onMounted,
  onUnmounted,
  provide,
  shallowRef,
  toValue,
  watch,
} from "vue";
import { BAR_OPTIONS, FLASH_OPTIONS } from "./js/options.js";
import { NOTHING, PresenceStore } from "./js/store.js";

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
  let release = () => {};
  // Never called on a server.
  onMounted(() => {
    const store = new PresenceStore(toValue(options), onError);
    store.subscribe(() => {
      snapshot.value = store.snapshot;
    });
    release = store.hold();
    watch(
      () => toValue(options),
      (it) => store.set(it, onError),
      { deep: true },
    );
  });
  onUnmounted(() => release());
  const presence = {
    here: computed(() => snapshot.value.here),
    members: computed(() => snapshot.value.members),
    self: computed(() => snapshot.value.self),
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

export const AvatarBar = defineComponent({
  name: "AvatarBar",
  props: BAR_OPTIONS,
  setup(props) {
    const { here } = usePresence();
    const element = shallowRef(/** @type {HTMLElement | null} */ (null));
    watch(
      // Before Vue 3.4 a shallow ref as it is would make this run at each change of anything.
      [here, () => element.value, () => JSON.stringify(props)],
      ([here, element], _, onCleanup) => {
        if (here !== null && element !== null) onCleanup(here.bar(element, { ...props }));
      },
      { flush: "post" },
    );
    return () => h("div", { ref: element });
  },
});

export const FlashArea = defineComponent({
  name: "FlashArea",
  props: FLASH_OPTIONS,
  setup(props) {
    const { here } = usePresence();
    const element = shallowRef(/** @type {HTMLElement | null} */ (null));
    watch(
      [here, () => element.value, () => JSON.stringify(props)],
      ([here, element], _, onCleanup) => {
        if (here !== null && element !== null) onCleanup(here.flash(element, { ...props }));
      },
      { flush: "post" },
    );
    return () => h("div", { ref: element, "data-presence-flash": "" });
  },
});
