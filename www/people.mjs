// @ts-check
//
// The list of those who are in the document: where they are, and what to press to follow them.
import { element, setText } from "./page.mjs";

/**
 * @typedef {import("whoshere").Here} Here
 * @typedef {import("whoshere").Member} Member
 * @typedef {ReturnType<typeof rowOf>} Row
 */

/** What is said of somebody who isn't just reading. */
const NOTES = { active: "", away: "away", reconnecting: "reconnecting" };

/** @param {Here} here */
export function showPeople(here) {
  const list = element("people");
  /** @type {Map<string, Row>} */
  const rows = new Map();
  /** Whom the page scrolls with. @type {string | null} */
  let followed = null;
  let stop = () => {};

  const draw = () => {
    const { members } = here;
    for (const [id, { item }] of rows) {
      if (members.some((it) => it.id === id)) continue;
      item.remove();
      rows.delete(id);
    }
    for (const member of members) {
      const row = rows.get(member.id) ?? rowOf(member, follow);
      if (!rows.has(member.id)) list.append(row.item);
      rows.set(member.id, row);
      fill(row, member, member.userId === followed, member.meta.following === here.self?.userId);
    }
    const whom = members.find(({ userId }) => userId === followed);
    element("following").hidden = whom === undefined;
    document.body.toggleAttribute("data-following", whom !== undefined);
    if (whom === undefined) return;
    document.body.style.setProperty("--followed", whom.color);
    setText(element("following-text"), `You follow ${whom.name}`);
  };
  const follow = (/** @type {string} */ userId) => {
    const isOver = userId === followed;
    stop();
    if (isOver) return;
    followed = userId;
    const onEnd = () => {
      // By then it may be somebody else.
      if (followed === userId) followed = null;
      draw();
    };
    stop = here.follow(userId, { onEnd });
    draw();
  };
  element("unfollow").addEventListener("click", () => stop());
  here.on("change", draw);
  draw();
}

/**
 * @param {Member} member
 * @param {(userId: string) => void} follow
 */
function rowOf({ userId, self }, follow) {
  const [item, person] = [document.createElement("li"), make(self ? "div" : "button", "person")];
  const [face, name] = [make("span", "face"), make("span", "name")];
  const [note, action] = [make("span", "note"), make("span", "action")];
  person.append(face, name, note, action);
  if (!self) person.addEventListener("click", () => follow(userId));
  item.append(person);
  return { item, face, name, note, action };
}

/**
 * @param {Row} row
 * @param {Member} member
 * @param {boolean} isFollowed
 * @param {boolean} follows the reader
 */
function fill(row, { name, color, avatar, self, state, meta }, isFollowed, follows) {
  row.face.style.setProperty("--color", color);
  if (avatar !== null && row.face.childElementCount === 0) {
    row.face.append(Object.assign(document.createElement("img"), { src: avatar, alt: "" }));
  }
  setText(row.name, name);
  const section = document.querySelector(`[data-section][id="${CSS.escape(String(meta.at))}"]`);
  const notes = [
    meta.hand === true && "hand up",
    section?.getAttribute("data-section"),
    NOTES[state],
    follows && "follows you",
  ];
  setText(row.note, notes.filter(Boolean).join(" · "));
  setText(row.action, self ? "you" : isFollowed ? "Stop" : "Follow");
}

/**
 * @param {string} tag
 * @param {string} className
 */
function make(tag, className) {
  return Object.assign(document.createElement(tag), { className });
}
