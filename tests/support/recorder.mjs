// @ts-check
//
// What runs inside of a page under test, before the page's own scripts: it writes down what a reader of the
// page would have seen, so that a test can tell afterwards that something did not happen.

/**
 * @typedef {object} Flash that one person joined or left, perhaps in one sentence with others
 * @property {string} text
 * @property {string} tags the elements in it, each once
 * @property {number} shownAt by `Date.now()`, like all times here
 * @property {number} [goneAt]
 *
 * @typedef {object} DotChange
 * @property {"added" | "removed"} what
 * @property {string} name
 * @property {number} at
 *
 * @typedef {object} Seen
 * @property {Flash[]} flashes
 * @property {string[]} said what was read out
 * @property {DotChange[]} dots
 * @property {number} nBarChanges nodes that were put into, moved in or taken out of a bar, texts included
 * @property {string[]} violations of the content security policy
 * @property {boolean[]} shows `persisted` of each `pageshow`
 */

/** Runs in the page, so it can't use anything from outside of itself. */
export function record() {
  /** @type {Seen} */
  const seen = { flashes: [], said: [], dots: [], nBarChanges: 0, violations: [], shows: [] };
  Object.assign(window, { seen });
  /** By name, of each flash in the page. @type {Map<Element, Map<string, Flash>>} */
  const flashes = new Map();

  /** @param {Element} element @param {boolean} isShown @param {number} at */
  const readFlash = (element, isShown, at) => {
    const spans = isShown ? [...element.querySelectorAll(".presence-flash-name")] : [];
    // Several may have the same name.
    /** @type {string[]} */
    const names = [];
    for (const { textContent } of spans) {
      const nSame = names.filter((it) => it.split("\0")[0] === textContent).length;
      names.push(`${textContent}\0${nSame}`);
    }
    const known = flashes.get(element) ?? new Map();
    flashes.set(element, known);
    for (const name of names.filter((it) => !known.has(it))) {
      const tags = [...new Set([...element.querySelectorAll("*")].map((it) => it.tagName))].join();
      const kind = element.getAttribute("data-kind");
      const one = `${name.split("\0")[0]} ${kind}`;
      const text = names.length === 1 ? (element.textContent ?? "") : one;
      const flash = { text, tags, shownAt: at };
      known.set(name, flash);
      seen.flashes.push(flash);
    }
    for (const [name, flash] of known) {
      if (names.includes(name)) continue;
      flash.goneAt = at;
      known.delete(name);
    }
  };

  /** @param {Node} node @param {"added" | "removed"} what @param {Element} parent @param {number} at */
  const look = (node, what, parent, at) => {
    if (!(node instanceof Element)) return;
    if (node.matches(".presence-flash")) readFlash(node, what === "added", at);
    if (parent.matches(".presence-said") && what === "added")
      seen.said.push(node.textContent ?? "");
    const dot = parent.matches(".presence-dots") && node.querySelector(".presence-dot");
    if (dot instanceof HTMLElement) seen.dots.push({ what, name: dot.dataset.name ?? "", at });
  };

  new MutationObserver((changes) => {
    const at = Date.now();
    for (const { target, addedNodes, removedNodes } of changes) {
      if (!(target instanceof Element)) continue;
      if (target.closest(".presence")) seen.nBarChanges += 1;
      const changed = target.closest(".presence-flash");
      if (changed?.isConnected) readFlash(changed, true, at);
      for (const node of addedNodes) look(node, "added", target, at);
      for (const node of removedNodes) look(node, "removed", target, at);
    }
  }).observe(document, { subtree: true, childList: true });

  document.addEventListener("securitypolicyviolation", (event) => {
    seen.violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
  });
  window.addEventListener("pageshow", (event) => seen.shows.push(event.persisted));
}
