// @ts-check
//
// What the reader may choose: theme, bar, language, whether to be seen, and to see what goes on inside.
import { element } from "./page.mjs";

/** @typedef {NonNullable<import("whoshere").BarOptions["look"]>} Look */

/**
 * @param {(look: Look) => () => void} showBar
 * @param {import("whoshere").Here} here
 */
export function offerChoices(showBar, here) {
  const looks = /** @type {HTMLDetailsElement} */ (element("looks"));
  // On a phone the document comes first.
  looks.open = matchMedia("(min-width: 60rem)").matches;

  choose("theme", (theme) => {
    document.documentElement.style.setProperty("color-scheme", theme);
  });
  let hideBar = showBar("avatars");
  choose("look", (look) => {
    hideBar();
    hideBar = showBar(/** @type {Look} */ (look));
  });
  choose("language", async (language) => {
    const { default: messages } =
      language === "en" ? { default: {} } : await import(`/sdk/locales/${language}.js`);
    here.messages = messages;
    for (const id of ["presence", "flash-area", "typing"]) {
      element(id).lang = language;
      element(id).dir = language === "ar" ? "rtl" : "";
    }
  });

  choose("mode", (mode) => {
    here.mode = /** @type {import("whoshere").Mode} */ (mode);
  });

  let hideInspector = () => {};
  const inspect = /** @type {HTMLDetailsElement} */ (element("inspect"));
  inspect.addEventListener("toggle", () => {
    hideInspector();
    hideInspector = inspect.open ? here.inspect("#inspector") : () => {};
  });
}

/**
 * Does what a choice says, whenever it changes.
 *
 * @param {string} id
 * @param {(value: string) => unknown} act
 */
function choose(id, act) {
  const select = /** @type {HTMLSelectElement} */ (element(id));
  select.addEventListener("change", () => act(select.value));
}
