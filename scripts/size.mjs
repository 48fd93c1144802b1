// @ts-check
//
// Measures what two kinds of page download, and fails if it is more than the budgets in package.json: a page
// that calls `bar` and `flash` and has its styles in a link, and one that has `<whos-here>`.
// kB are 1000 bytes; gzip -9 is what counts, since every server can do it.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { buildClient } from "./build-client.mjs";
import { isMain, Refusal, runMain, say } from "./setup/log.mjs";
import { projectSettings, repoRoot } from "./setup/versions.mjs";
import { ensure } from "./setup.mjs";

/** @typedef {{ name: string, raw: number, gzip: number, brotli: number }} Size */

export async function size() {
  await ensure(["npm"]);
  const { folder, profile } = await buildClient("smallest");
  const script = await shippedFiles(folder, "index.js");
  const tag = await shippedFiles(folder, "element.js");
  const sizes = script.first.map(measure);
  const isCode = (/** @type {Size} */ { name }) => !name.endsWith(".css");
  const code = sum("wasm + js", sizes.filter(isCode));
  // Its styles are in its module.
  const tagSizes = tag.first.map(measure).filter(isCode);
  const whole = sum("wasm + js + css", tagSizes);
  say("A page that calls bar() and flash():");
  printTable([...sizes, code]);
  say("A page with <whos-here>:");
  printTable([...tagSizes, whole]);
  say("Loaded when a page first asks for it:");
  printTable([...tag.later, ...(await bindings(folder))].map(measure));

  const { budget, elementBudget } = projectSettings();
  check("The SDK", code, budget, profile);
  check("The SDK with <whos-here>", whole, elementBudget, profile);
  const readme = readFileSync(join(repoRoot, "README.md"), "utf8");
  for (const it of [budget, elementBudget].map(kilobytes)) {
    if (!readme.includes(it)) throw new Refusal(`README.md doesn't name the budget of ${it}.`);
  }
}

/**
 * @param {string} what
 * @param {Size} size
 * @param {number} budget
 * @param {import("./build-client.mjs").Profile} profile
 */
function check(what, { gzip }, budget, profile) {
  const verdict = `${what} is ${kilobytes(gzip)} gzipped, the budget is ${kilobytes(budget)}`;
  if (profile !== "smallest") {
    say(`${verdict}; not enforced, because this is the ${profile} build.`);
  } else if (gzip > budget) {
    throw new Refusal(`Too large: ${verdict}.`);
  } else {
    say(`${verdict}.`);
  }
}

/**
 * The package as a bundler would ship it: a minified module, the wasm and the styles first, and later what
 * a page asks for.
 *
 * @param {string} folder
 * @param {string} main the module that a page loads
 * @returns {Promise<Record<"first" | "later", { name: string, content: Uint8Array }[]>>}
 */
async function shippedFiles(folder, main) {
  const { build, transform } = await import("esbuild");
  const bundle = await build({
    entryPoints: [join(folder, main)],
    outdir: folder,
    bundle: true,
    splitting: true,
    metafile: true,
    format: "esm",
    minify: true,
    write: false,
    logLevel: "error",
  });
  const others = readdirSync(folder).filter((name) => /\.(wasm|css)$/.test(name));
  const chunks = bundle.outputFiles.map(({ path, contents }) => ({
    name: relative(folder, path),
    content: contents,
  }));
  const outputs = Object.entries(bundle.metafile.outputs);
  const nameOf = (/** @type {string} */ path) => relative(folder, resolve(path));
  const isFirst = new Set([main]);
  // What the entry imports in any way but by `import()`, and what that imports.
  for (const name of isFirst) {
    const imports = outputs.find(([path]) => nameOf(path) === name)?.[1].imports ?? [];
    for (const { path, kind } of imports) if (kind !== "dynamic-import") isFirst.add(nameOf(path));
  }
  const later = chunks.filter(({ name }) => !isFirst.has(name));
  const first = [
    ...chunks.filter(({ name }) => isFirst.has(name)),
    ...(await Promise.all(
      others.map(async (name) => {
        const content = readFileSync(join(folder, name));
        if (name.endsWith(".wasm")) return { name, content };
        const { code } = await transform(content.toString("utf8"), { loader: "css", minify: true });
        return { name, content: Buffer.from(code) };
      }),
    )),
  ];
  return { first, later };
}

/**
 * What a binding adds to the SDK and its framework.
 *
 * @param {string} folder
 */
async function bindings(folder) {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: ["react.js", "vue.js", "svelte.js"].map((name) => join(folder, name)),
    outdir: folder,
    bundle: true,
    external: [join(folder, "index.js"), "react", "vue"],
    format: "esm",
    minify: true,
    write: false,
    logLevel: "error",
  });
  return outputFiles.map(({ path, contents }) => ({
    name: relative(folder, path),
    content: contents,
  }));
}

/**
 * @param {{ name: string, content: Uint8Array }} file
 * @returns {Size}
 */
function measure({ name, content }) {
  return {
    name,
    raw: content.length,
    gzip: gzipSync(content, { level: 9 }).length,
    brotli: brotliCompressSync(content).length,
  };
}

/**
 * @param {string} name
 * @param {Size[]} sizes
 * @returns {Size}
 */
function sum(name, sizes) {
  const total = (/** @type {"raw" | "gzip" | "brotli"} */ field) =>
    sizes.reduce((bytes, it) => bytes + it[field], 0);
  return { name, raw: total("raw"), gzip: total("gzip"), brotli: total("brotli") };
}

/** @param {Size[]} sizes */
function printTable(sizes) {
  const rows = sizes.map(({ name, ...bytes }) => [name, ...Object.values(bytes).map(kilobytes)]);
  for (const [name = "", ...cells] of [["", "raw", "gzip", "brotli"], ...rows]) {
    say(name.padEnd(24) + cells.map((cell) => cell.padStart(10)).join(""));
  }
}

/** @param {number} bytes */
function kilobytes(bytes) {
  return `${(bytes / 1000).toFixed(1)} kB`;
}

if (isMain(import.meta.url)) {
  await runMain(size);
}
