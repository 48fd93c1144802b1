// @ts-check
//
// A page with presence. The few lines that make it one are in `enter`; all the rest is the page.
import { connect } from "/sdk/index.js";
import { offerChoices } from "./choices.mjs";
import { element, names, setText } from "./page.mjs";
import { showPeople } from "./people.mjs";

/** @typedef {import("whoshere").Here} Here */

const TITLES = /** @type {Record<string, string>} */ ({
  1: "Quarterly planning",
  2: "Quarterly planning, a copy",
});
const STATES = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  stopped: "Not connected",
};
/** Who has a picture. */
const FACES = ["ada", "alan", "grace"];

const docId = decodeURIComponent(location.pathname.split("/").at(-1) ?? "");
const user = new URLSearchParams(location.search).get("user")?.trim();
const title = TITLES[docId] ?? `Document ${docId}`;
document.title = title;
element("title").textContent = title;
element("doc-name").textContent = title;

if (user) await enter(user);
else element("ask").hidden = false;

/** @param {string} user */
async function enter(user) {
  element("lead").textContent = `You are reading this as ${user}.`;
  element("page").hidden = false;

  const here = await connect({
    url: "/v1/presence",
    key: "document:{doc_id}",
    params: { doc_id: docId },
    token: () => tokenOf(user),
  });
  offerChoices((look) => here.bar("#presence", { look, lastSeen: true }), here);
  here.flash("#flash-area");
  here.cursors("#doc");
  here.typing("#note", { show: "#typing" });
  here.on("state", () => showState(here));
  here.on("error", (error) => showError(error.message));
  here.on("change", () => showReaders(here));

  showState(here);
  showPeople(here);
  tellSection(here);
  tellHand(here);
}

/**
 * A real application signs this on its server, for the user who is signed in there.
 *
 * @param {string} user
 */
async function tokenOf(user) {
  const query = new URLSearchParams({ user, keys: "document:*" });
  if (FACES.includes(user)) query.set("avatar", `/faces/${user}.svg`);
  const response = await fetch(`/dev/token?${query}`);
  if (!response.ok) throw new Error(`no token: ${await response.text()}`);
  return response.text();
}

/** @param {Here} here */
function showState(here) {
  element("status").dataset.state = here.state;
  element("status-text").textContent = STATES[here.state];
}

/** @param {string} message */
function showError(message) {
  element("status-text").textContent = message;
}

/**
 * Who else reads each section, beside its title.
 *
 * @param {Here} here
 */
function showReaders(here) {
  for (const section of sections()) {
    const readers = here.members.filter(({ self, meta }) => !self && meta.at === section.id);
    const mark = /** @type {HTMLElement} */ (section.querySelector(".lookers"));
    mark.hidden = readers.length === 0;
    const verb = readers.length === 1 ? "is" : "are";
    setText(mark, readers.length === 0 ? "" : `${names(readers)} ${verb} here`);
  }
}

/**
 * Tells the others which section is in the middle of the window, or is written in.
 *
 * @param {Here} here
 */
function tellSection(here) {
  here.at("goals");
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) here.at(target.id);
    },
    { rootMargin: "-30% 0px -60% 0px" },
  );
  for (const section of sections()) observer.observe(section);
  element("note").addEventListener("focus", () => here.at("notes"));
}

/**
 * Whatever a page puts into its meta reaches the others.
 *
 * @param {Here} here
 */
function tellHand(here) {
  const button = element("hand");
  button.addEventListener("click", () => {
    const isUp = button.ariaPressed !== "true";
    button.ariaPressed = String(isUp);
    here.update({ hand: isUp });
  });
}

function sections() {
  return /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-section]"));
}
