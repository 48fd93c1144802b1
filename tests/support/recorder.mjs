// @ts-check
//
// What runs inside of a page under test, before the page's own scripts: it writes down what a reader of the
// page would have seen, so that a test can tell afterwards that something did not happen.

/**
 * @typedef {object} Flash
 * @property {string} text
 * @property {string} tags the elements in it
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
 * @property {DotChange[]} dots
 * @property {number} nBarChanges nodes that were put into, moved in or taken out of a bar, texts included
 * @property {string[]} violations of the content security policy
 * @property {boolean[]} shows `persisted` of each `pageshow`
 */

/** Runs in the page, so it can't use anything from outside of itself. */
export function record() {
  /** @type {Seen} */
  const seen = { flashes: [], dots: [], nBarChanges: 0, violations: [], shows: [] };
  Object.assign(window, { seen });
  /** @type {Map<Node, Flash>} */
  const flashes = new Map();

  /** @param {Node} node @param {"added" | "removed"} what @param {Element} parent @param {number} at */
  const look = (node, what, parent, at) => {
    if (!(node instanceof Element)) return;
    if (node.matches(".presence-flash")) {
      const tags = [...node.querySelectorAll("*")].map((it) => it.tagName).join();
      const flash = flashes.get(node) ?? { text: node.textContent ?? "", tags, shownAt: at };
      if (what === "removed") flash.goneAt = at;
      else {
        flashes.set(node, flash);
        seen.flashes.push(flash);
      }
    }
    const dot = parent.matches(".presence-dots") && node.querySelector(".presence-dot");
    if (dot instanceof HTMLElement) seen.dots.push({ what, name: dot.dataset.name ?? "", at });
  };

  new MutationObserver((changes) => {
    const at = Date.now();
    for (const { target, addedNodes, removedNodes } of changes) {
      if (!(target instanceof Element)) continue;
      if (target.closest(".presence")) seen.nBarChanges += 1;
      for (const node of addedNodes) look(node, "added", target, at);
      for (const node of removedNodes) look(node, "removed", target, at);
    }
  }).observe(document, { subtree: true, childList: true });

  document.addEventListener("securitypolicyviolation", (event) => {
    seen.violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
  });
  window.addEventListener("pageshow", (event) => seen.shows.push(event.persisted));
}
