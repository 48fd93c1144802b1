// @ts-check
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import {
  AvatarBar,
  FlashArea,
  PresenceProvider,
  useMembers,
  usePresence,
  useSelf,
  useTyping,
} from "whoshere/react";

/** @typedef {{ options: import("whoshere").ConnectOptions, max?: number }} Props */

function People() {
  const { state } = usePresence();
  const members = useMembers();
  const self = useSelf();
  const typing = useTyping().map(({ name }) => name);
  return (
    <p id="people" data-state={state} data-self={self?.name} data-typing={typing.join() || null}>
      {members.map(({ name }) => name).join()}
    </p>
  );
}

/** @param {Props} props */
function App({ options, max }) {
  return (
    <PresenceProvider options={options}>
      <AvatarBar max={max} className="bar" />
      <FlashArea leaves={false} className="flashes" />
      <People />
    </PresenceProvider>
  );
}

/** @param {HTMLElement} target @param {Props} props */
export function mount(target, props) {
  const root = createRoot(target);
  const set = (/** @type {Props} */ it) => {
    root.render(
      <StrictMode>
        <App {...it} />
      </StrictMode>,
    );
  };
  set(props);
  return { set, unmount: () => root.unmount() };
}

/** @param {Props} props */
export async function render(props) {
  return renderToString(<App {...props} />);
}
