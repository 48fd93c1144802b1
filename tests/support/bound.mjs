// @ts-check
//
// A page with a document to point at and a field to type in, bound in tests of what is told in pulses.
import { mintToken } from "./relay.mjs";

/**
 * @typedef {import("./browser.mjs").Stage} Stage
 * @typedef {import("./browser.mjs").Viewer} Viewer
 */

const TEXT = "The importer reads what people really have, and nobody has to explain why. ";

/**
 * Opens the page and enters the test's key.
 *
 * @param {Stage} stage
 * @param {import("node:test").TestContext} t
 * @param {string} name
 * @param {import("./browser.mjs").VisitOptions} [options]
 * @returns {Promise<Viewer>}
 */
export async function enterBound(stage, t, name, options) {
  const viewer = await stage.blank(t, name, options);
  await viewer.page.evaluate((text) => {
    const make = (/** @type {string} */ tag, /** @type {object} */ more) =>
      Object.assign(document.createElement(tag), more);
    const article = make("article", { id: "article" });
    const above = make("p", { id: "above", textContent: "A first sentence." });
    const paragraphs = [...Array(12)].map((_, i) =>
      make("p", { id: `p${i}`, textContent: `${i}. ${text.repeat(5)}` }),
    );
    article.append(above, ...paragraphs);
    const fields = [make("textarea", { id: "note" }), make("input", { id: "title" })];
    document.querySelector("main")?.replaceChildren(article, ...fields);
  }, TEXT);
  await viewer.enter({ key: stage.key(t), token: mintToken(name) });
  return viewer;
}

/**
 * A point of an element in the window.
 *
 * @param {Viewer} viewer
 * @param {string} id
 * @param {number} x a fraction of its width
 * @param {number} y a fraction of its height
 */
export async function pointOf(viewer, id, x, y) {
  const box = await viewer.page.evaluate((id) => {
    const { left, top, width, height } = /** @type {Element} */ (
      document.getElementById(id)
    ).getBoundingClientRect();
    return { left, top, width, height };
  }, id);
  return { x: box.left + x * box.width, y: box.top + y * box.height };
}
