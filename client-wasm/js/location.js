// @ts-check
//
// Where in the page people say they are. Loaded on first use.

/**
 * @typedef {import("./here.js").Here} Here
 * @typedef {import("./here.js").Member} Member
 */

/**
 * Tells of each member whose place has changed, or who has come with one or left with one.
 *
 * @param {Here} here
 * @param {AbortController} controller ends it
 * @param {readonly Member[]} before who was here when it was asked for
 * @param {(member: Member, location: string | null, before: string | null) => void} tell
 */
export function watch(here, { signal }, before, tell) {
  let known = placesOf(before);
  const look = () => {
    const before = known;
    known = placesOf(here.members);
    for (const [id, [member, place]] of known) {
      const old = before.get(id)?.[1] ?? null;
      if (place !== old) tell(member, place, old);
    }
    for (const [id, [member, place]] of before) {
      if (place !== null && !known.has(id)) tell(member, null, place);
    }
  };
  signal.addEventListener("abort", here.on("change", look));
  look();
}

/**
 * @param {readonly Member[]} members
 * @returns {Map<string, [Member, string | null]>}
 */
function placesOf(members) {
  return new Map(
    members.map((member) => {
      const { at } = member.meta;
      return [member.id, [member, typeof at === "string" ? at : null]];
    }),
  );
}
