// @ts-check
import { createApp, createSSRApp, defineComponent, h, shallowRef } from "vue";
import { renderToString } from "vue/server-renderer";
import { AvatarBar, FlashArea, useMembers, usePresence, useSelf, useTyping } from "whoshere/vue";

/** @typedef {{ options: import("whoshere").ConnectOptions, max?: number }} Props */

const People = defineComponent(() => {
  const { state } = usePresence();
  const members = useMembers();
  const self = useSelf();
  const typing = useTyping();
  return () =>
    h(
      "p",
      {
        id: "people",
        "data-state": state.value,
        "data-self": self.value?.name,
        "data-typing": typing.value.map(({ name }) => name).join() || null,
      },
      members.value.map(({ name }) => name).join(),
    );
});

/** @param {import("vue").ShallowRef<Props>} props */
const App = (props) =>
  defineComponent(() => {
    usePresence(() => props.value.options);
    return () => [
      h(AvatarBar, { max: props.value.max, class: "bar" }),
      h(FlashArea, { leaves: false, class: "flashes" }),
      h(People),
    ];
  });

/** @param {HTMLElement} target @param {Props} first */
export function mount(target, first) {
  const props = shallowRef(first);
  const app = createApp(App(props));
  app.mount(target);
  const set = (/** @type {Props} */ it) => {
    props.value = it;
  };
  return { set, unmount: () => app.unmount() };
}

/** @param {Props} props */
export async function render(props) {
  return renderToString(createSSRApp(App(shallowRef(props))));
}
