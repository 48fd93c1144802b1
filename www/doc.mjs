// @ts-check
//
// A page with presence. The few lines that make it one are in `enter`; all the rest is the page.
import { connect } from "/sdk/index.js";

/** @typedef {import("whoshere").Here} Here */
/** @typedef {import("whoshere").Member} Member */

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
  element("doc").hidden = false;

  const here = await connect({
    url: "/v1/presence",
    key: "document:{doc_id}",
    params: { doc_id: docId },
    token: () => tokenOf(user),
    meta: { section: "goals", is_typing: false },
  });
  here.bar("#presence");
  here.flash("#flash-area");
  here.cursors("#doc");

  showState(here);
  here.on("state", () => showState(here));
  here.on("error", (error) => showError(error.message));
  here.on("change", () => showWhatTheyDo(here));
  tellSection(here);
  tellTyping(here);
}

/**
 * A real application signs this on its server, for the user who is signed in there.
 *
 * @param {string} user
 */
async function tokenOf(user) {
  const response = await fetch(`/dev/token?${new URLSearchParams({ user, keys: "document:*" })}`);
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
 * What the others put into their presence, shown where it belongs.
 *
 * @param {Here} here
 */
function showWhatTheyDo(here) {
  const others = here.members.filter((member) => !member.self);

  for (const section of sections()) {
    const lookers = others.filter((member) => member.meta.section === section.id);
    const mark = /** @type {HTMLElement} */ (section.querySelector(".lookers"));
    mark.hidden = lookers.length === 0;
    setText(mark, lookers.length === 0 ? "" : `${names(lookers)} ${be(lookers)} here`);
  }

  const typists = others.filter((member) => member.meta.is_typing === true);
  setText(element("typing"), typists.length ? `${names(typists)} ${be(typists)} typing…` : "");
}

/**
 * Tells the others which section is in the middle of the window.
 *
 * @param {Here} here
 */
function tellSection(here) {
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) here.update({ section: entry.target.id });
      }
    },
    { rootMargin: "-30% 0px -60% 0px" },
  );
  for (const section of sections()) observer.observe(section);
}

/**
 * Tells the others that something is being written, until nothing has been for two seconds.
 *
 * @param {Here} here
 */
function tellTyping(here) {
  const note = element("note");
  let pause = 0;
  const stop = () => {
    clearTimeout(pause);
    here.update({ is_typing: false });
  };
  note.addEventListener("focus", () => here.update({ section: "notes" }));
  note.addEventListener("blur", stop);
  note.addEventListener("input", () => {
    here.update({ is_typing: true });
    clearTimeout(pause);
    pause = setTimeout(stop, 2000);
  });
}

/** @param {readonly Member[]} members */
function names(members) {
  const list = members.map((member) => member.name);
  if (list.length > 3) list.splice(2, list.length - 2, `${list.length - 2} others`);
  return new Intl.ListFormat("en").format(list);
}

/** @param {readonly Member[]} members */
function be(members) {
  return members.length === 1 ? "is" : "are";
}

function sections() {
  return /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-section]"));
}

/**
 * Screen readers would read the same text again.
 *
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {string} id */
function element(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`there is no #${id}`);
  return element;
}
