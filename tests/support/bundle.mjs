// @ts-check
//
// Bundles what a page, or a server, that uses a binding is written in.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { compile } from "svelte/compiler";
import { compileScript, parse } from "vue/compiler-sfc";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PACKAGE = join(ROOT, "client-wasm/pkg");
const NAMES = ["element", "react", "vue", "svelte"];
const IN_PACKAGE = {
  ...Object.fromEntries(NAMES.map((it) => [`whoshere/${it}`, join(PACKAGE, `bundler/${it}.js`)])),
  "whoshere/whoshere.css": join(PACKAGE, "whoshere.css"),
  whoshere: join(PACKAGE, "bundler/index.js"),
};

/**
 * @param {string} contents a module
 * @param {string} resolveDir the folder that it is thought to be in
 * @param {{ isForServer?: boolean, alias?: Record<string, string> }} [options] other packages than those
 *   that are found
 * @returns {Promise<string>} a module for a page, or a script for Node.js
 */
export async function bundle(contents, resolveDir, { isForServer = false, alias = {} } = {}) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir, loader: "jsx" },
    outdir: resolveDir,
    bundle: true,
    write: false,
    logLevel: "error",
    target: "es2022",
    format: isForServer ? "cjs" : "esm",
    platform: isForServer ? "node" : "browser",
    conditions: ["svelte", isForServer ? "node" : "browser", "development"],
    // React checks in development only that an effect can be ended and begun again.
    define: {
      "process.env.NODE_ENV": '"development"',
      __VUE_OPTIONS_API__: "false",
      __VUE_PROD_DEVTOOLS__: "false",
      __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false",
    },
    jsx: "automatic",
    loader: { ".css": "empty" },
    alias: { ...IN_PACKAGE, ...alias },
    nodePaths: [join(ROOT, "node_modules")],
    plugins: [svelte(isForServer), vue],
  });
  return outputFiles[0]?.text ?? "";
}

/** @param {boolean} isForServer @returns {import("esbuild").Plugin} */
function svelte(isForServer) {
  return {
    name: "svelte",
    setup(build) {
      build.onLoad({ filter: /\.svelte$/ }, ({ path }) => {
        const { js } = compile(readFileSync(path, "utf8"), {
          filename: path,
          generate: isForServer ? "server" : "client",
          css: "external",
        });
        return { contents: js.code, loader: "js" };
      });
    },
  };
}

/** @type {import("esbuild").Plugin} */
const vue = {
  name: "vue",
  setup(build) {
    build.onLoad({ filter: /\.vue$/ }, ({ path }) => {
      const { descriptor } = parse(readFileSync(path, "utf8"), { filename: path });
      const { content } = compileScript(descriptor, { id: basename(path), inlineTemplate: true });
      return { contents: content, loader: "js" };
    });
  },
};
