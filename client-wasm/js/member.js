// @ts-check

/** @typedef {import("./meta.js").Meta} Meta */

/**
 * A member as the page gets to see it. Nobody can change it, and least of all what the roster holds.
 *
 * @param {string} id
 * @param {string} userId
 * @param {string} name
 * @param {string} color
 * @param {boolean} self
 * @param {string} state
 * @param {number} since
 * @param {Meta[]} metas those of its sessions, newest first
 */
export function member(id, userId, name, color, self, state, since, metas) {
  const sessions = metas.length;
  const meta = Object.freeze(merged(metas));
  return Object.freeze({ id, userId, name, color, self, state, since, sessions, meta });
}

/**
 * The metas as one, by top-level field: the newest that has it wins. A copy.
 *
 * @param {Meta[]} metas
 */
function merged(metas) {
  const entries = metas.reverse().flatMap(Object.entries);
  return JSON.parse(JSON.stringify(Object.fromEntries(entries)));
}
