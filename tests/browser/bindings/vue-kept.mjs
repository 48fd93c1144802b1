// @ts-check
import { createApp, defineComponent, h, KeepAlive, shallowRef } from "vue";
import { AvatarBar, FlashArea, usePresence } from "whoshere/vue";

/** @param {HTMLElement} target @param {{ options: import("whoshere").ConnectOptions }} props */
export function mount(target, { options }) {
  const isShown = shallowRef(true);
  const Page = defineComponent(() => {
    usePresence(options);
    // As templates that say `last-seen`, `joins` and `leaves` do.
    return () => [
      h(AvatarBar, /** @type {any} */ ({ "last-seen": "" })),
      h(FlashArea, /** @type {any} */ ({ joins: "", leaves: "", class: "flashes" })),
    ];
  });
  const Elsewhere = defineComponent(() => () => h("p"));
  const app = createApp(() => h(KeepAlive, null, () => h(isShown.value ? Page : Elsewhere)));
  app.mount(target);
  const show = (/** @type {boolean} */ it) => {
    isShown.value = it;
  };
  return { show, unmount: () => app.unmount() };
}
