// @ts-check
//
// Installs what building and testing need, each thing once, and says what it does and why.
// `npm start` and `npm test` call it by themselves. By hand: node scripts/setup.mjs [WHAT…]
import { delimiter } from "node:path";
import { ensureBrowser, ensureWebdriver } from "./setup/browser.mjs";
import { ensureWasmPack } from "./setup/cargo-tools.mjs";
import { isMain, Refusal, runMain, say } from "./setup/log.mjs";
import { ensureNpmPackages, npmBin } from "./setup/npm-packages.mjs";
import { ensureRuntimes } from "./setup/runtimes.mjs";
import { ensureRust } from "./setup/rust.mjs";
import { ensureStdSource, ensureWasmToolchain } from "./setup/wasm-toolchain.mjs";

/**
 * @typedef {"rust" | "npm" | "wasm" | "std-source" | "wasm-pack" | "wasm-opt" | "browser" | "webdriver" | "python" | "runtimes"} Need
 *
 * @typedef {object} Tools what was asked for; the rest is `undefined`
 * @property {NodeJS.ProcessEnv} wasmEnv the whole environment for commands that compile to wasm
 * @property {"rustup" | "debian"} [wasmToolchain] where the compiler to wasm comes from
 * @property {boolean} [hasStdSource] whether the smallest build can compile its own std
 * @property {string} [chromium] path of a Chromium or Chrome
 * @property {string} [chromedriver] path of its driver
 */

/** What the words of the command line stand for. @type {Record<string, Need[]>} */
const WORDS = {
  rust: ["rust"],
  npm: ["npm"],
  wasm: ["wasm", "std-source", "wasm-pack", "wasm-opt"],
  browser: ["browser"],
  webdriver: ["webdriver"],
  runtimes: ["runtimes"],
};

/**
 * Makes sure that tools are there, and tells where they are.
 *
 * @param {Need[]} needs
 * @returns {Promise<Tools>}
 */
export async function ensure(needs) {
  const isNeeded = (/** @type {Need} */ need) => needs.includes(need);
  /** @type {Tools} */
  const tools = { wasmEnv: { ...process.env } };
  /** @type {string[]} */
  const folders = [];

  if (isNeeded("rust") || isNeeded("wasm")) await ensureRust();
  if (isNeeded("npm") || isNeeded("wasm-opt")) {
    await ensureNpmPackages();
    folders.push(npmBin);
  }
  if (isNeeded("wasm") || isNeeded("std-source")) {
    const toolchain = await ensureWasmToolchain();
    Object.assign(tools.wasmEnv, toolchain.env);
    tools.wasmToolchain = toolchain.origin;
    if (isNeeded("std-source")) tools.hasStdSource = await ensureStdSource(toolchain);
  }
  if (isNeeded("wasm-pack")) folders.push(...(await ensureWasmPack()));
  if (isNeeded("browser")) tools.chromium = await ensureBrowser();
  if (isNeeded("python")) await ensureRuntimes(["python3"]);
  if (isNeeded("runtimes")) await ensureRuntimes(["python3", "rails", "php", "go"]);
  if (isNeeded("webdriver")) tools.chromedriver = await ensureWebdriver();

  tools.wasmEnv.PATH = [...folders, process.env.PATH].join(delimiter);
  return tools;
}

/** @param {string[]} words */
function needsOf(words) {
  if (words.length === 0 || words.includes("all")) return Object.values(WORDS).flat();
  return words.flatMap((word) => {
    const needs = WORDS[word];
    if (needs !== undefined) return needs;
    throw new Refusal(`"${word}" is not one of ${[...Object.keys(WORDS), "all"].join(", ")}.`);
  });
}

if (isMain(import.meta.url)) {
  await runMain(async () => {
    const tools = await ensure(needsOf(process.argv.slice(2)));
    if (tools.hasStdSource === false) {
      say("The standard library's source is not to be had; the smallest build won't be possible.");
    }
    say("Everything is in place.");
  });
}
