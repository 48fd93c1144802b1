// @ts-check
//
// What all parts of the page use.

/** @param {string} id */
export function element(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`there is no #${id}`);
  return element;
}

/**
 * Nothing is redrawn for nothing.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {readonly import("whoshere").Member[]} members */
export function names(members) {
  const list = members.map((member) => member.name);
  if (list.length > 3) list.splice(2, list.length - 2, `${list.length - 2} others`);
  return new Intl.ListFormat("en").format(list);
}
