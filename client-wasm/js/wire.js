// @ts-check

/**
 * A frame of this page. What is undefined isn't written.
 *
 * @param {string} name
 * @param {string} [key]
 * @param {string} [token]
 * @param {string} [resume]
 * @param {number} [dial]
 * @param {unknown} [meta]
 * @param {number} [age]
 */
export function frame(name, key, token, resume, dial, meta, age) {
  return JSON.stringify({ [name]: { key, token, resume, dial, meta, age } });
}

/**
 * What a page that is closed while it is disconnected posts to the relay.
 *
 * @param {string} resume
 * @param {number} dial
 * @param {string[]} keys
 */
export function beacon(resume, dial, keys) {
  return JSON.stringify({ resume, dial, keys });
}
