// @ts-check
//
// Builds the browser SDK with wasm-pack, unless it is built already.
//
//   node scripts/build-client.mjs             optimised, into client-wasm/pkg
//   node scripts/build-client.mjs --dev       quick and with debug information, into client-wasm/pkg
//   node scripts/build-client.mjs --smallest  what is published, into client-wasm/pkg-release
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { deflateRawSync } from "node:zlib";
import { minifyNames } from "./minify-names.mjs";
import { withLock } from "./setup/cache.mjs";
import { isMain, Refusal, runMain, say, secondsSince } from "./setup/log.mjs";
import { collectOrRefuse } from "./setup/run.mjs";
import { repoRoot } from "./setup/versions.mjs";
import { ensure } from "./setup.mjs";

/**
 * @typedef {"dev" | "release" | "smallest"} Profile
 *
 * @typedef {object} Build
 * @property {Profile} profile which may be another than asked for: see `smallest` below
 * @property {string} folder that has the package now
 * @property {boolean} isNew false if there was nothing to do
 */

const CRATE = join(repoRoot, "client-wasm");
/** The test kit's crate, in a folder of the same name as what it is compiled into. */
const TESTING = "testing";
const STAMP = ".built-from";

/** The files of the package that no compiler makes, besides its styles. */
const ENTRIES = [
  "index.js",
  "index.d.ts",
  "element.js",
  "element.d.ts",
  "testing.js",
  "testing.d.ts",
  "react.js",
  "react.d.ts",
  "vue.js",
  "vue.d.ts",
  "svelte.js",
  "svelte.d.ts",
  "standalone.d.ts",
  "js",
  "locales",
];

/** The folder of what bundlers get: the same modules, with the compiled one inside of JavaScript. */
const BUNDLER = "bundler";

const EXPORTS = {
  ".": { types: "./index.d.ts", default: `./${BUNDLER}/index.js` },
  "./element": { types: "./element.d.ts", default: `./${BUNDLER}/element.js` },
  "./testing": { types: "./testing.d.ts", default: `./${BUNDLER}/testing.js` },
  "./react": { types: "./react.d.ts", default: `./${BUNDLER}/react.js` },
  "./vue": { types: "./vue.d.ts", default: `./${BUNDLER}/vue.js` },
  "./svelte": { types: "./svelte.d.ts", default: `./${BUNDLER}/svelte.js` },
  "./locales/*.js": { types: "./locales/*.d.ts", default: "./locales/*.js" },
  // For pages without a bundler, and for those who host the compiled module themselves.
  "./web": { types: "./index.d.ts", default: "./index.js" },
  "./web/element": { types: "./element.d.ts", default: "./element.js" },
  "./standalone": { types: "./standalone.d.ts", default: "./dist/whoshere.js" },
  "./whoshere_bg.wasm": "./whoshere_bg.wasm",
  "./whoshere.css": "./whoshere.css",
  "./package.json": "./package.json",
};

/** What the bindings need, of which a page has one or none. */
const PEERS = { react: ">=18", vue: ">=3.3" };

/** Everything that the package is made of. */
const INPUTS = [
  "Cargo.toml",
  "Cargo.lock",
  "rust-toolchain.toml",
  "package-lock.json", // for the version of wasm-opt
  "scripts/build-client.mjs",
  "scripts/minify-names.mjs",
  "scripts/glue.mjs",
  "presence-protocol",
  "presence-core",
  "client-wasm",
];
const NOT_INPUTS = /^(target|tests|pkg.*|node_modules)$/;

/** @type {Record<Profile, { folder: string, args: string[], cargoArgs: string[], env: NodeJS.ProcessEnv }>} */
const PROFILES = {
  dev: { folder: "pkg", args: ["--dev"], cargoArgs: [], env: {} },
  // The profile "wasm" of Cargo.toml: wasm-pack's own --release would be the relay's profile.
  release: { folder: "pkg", args: ["--profile", "wasm"], cargoArgs: [], env: {} },
  smallest: {
    folder: "pkg-release",
    args: ["--profile", "wasm"],
    cargoArgs: ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"],
    env: {
      // These flags are not stable yet; that the compiler is the pinned one makes them safe to use.
      RUSTC_BOOTSTRAP: "1",
      RUSTFLAGS: [
        // A panic poisons the instance anyway, and its texts are a tenth of the module.
        "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none",
        // Simplifies before LLVM sees it, std included.
        "-Zmir-opt-level=3",
        // Without them wasm-bindgen keeps JavaScript's objects in a list of its own, which takes less.
        "-Ctarget-feature=-reference-types,-multivalue",
      ].join(" "),
      // Other flags for std would make the two kinds of build evict each other's results.
      CARGO_TARGET_DIR: join(process.env.CARGO_TARGET_DIR ?? join(repoRoot, "target"), "smallest"),
    },
  },
};

/**
 * Where the standard library's source is not to be had, the smallest build can't be made, and the
 * release build takes its place.
 *
 * @param {Profile} profile
 * @returns {Promise<Build>}
 */
export async function buildClient(profile) {
  const tools = await ensure([
    "wasm",
    "wasm-pack",
    "wasm-opt",
    ...(profile === "smallest" ? [/** @type {const} */ ("std-source")] : []),
  ]);
  if (profile === "smallest" && tools.hasStdSource !== true) {
    say(
      "The smallest build did not run: it compiles its own standard library, whose source " +
        '("rustup component add rust-src") is not to be had here. The release build serves.',
    );
    return buildClient("release");
  }

  const { folder: name, args, cargoArgs, env } = PROFILES[profile];
  const folder = join(CRATE, name);
  const hash = hashInputs(profile, tools.wasmEnv.RUSTUP_TOOLCHAIN);
  if (isBuiltFrom(folder, hash)) return { profile, folder, isNew: false };

  return withLock(async () => {
    if (isBuiltFrom(folder, hash)) return { profile, folder, isNew: false };
    const unfinished = `${name}-unfinished`;
    rmSync(join(CRATE, unfinished), { recursive: true, force: true });
    // In CI a lock file that doesn't fit is a mistake, at a desk it is being changed.
    const locked = process.env.CI ? ["--locked"] : [];
    /** @param {string} crate @param {string} into a folder beside the crate's Cargo.toml */
    const compile = (crate, into) =>
      collectOrRefuse(
        "The browser SDK could not be built, see above.",
        "wasm-pack",
        [
          "build",
          ...args,
          "--target",
          "web",
          "--mode",
          "no-install",
          "--out-dir",
          into,
          ".",
        ].concat(["--", ...locked, ...cargoArgs]),
        { cwd: crate, env: { ...tools.wasmEnv, ...env } },
      );
    await compile(CRATE, unfinished);
    await compile(join(CRATE, TESTING), join("..", unfinished, TESTING));
    if (profile === "smallest") await minifyNames(join(CRATE, unfinished), tools.wasmEnv);
    await addHandWritten(join(CRATE, unfinished));
    writeFileSync(join(CRATE, unfinished, STAMP), hash);
    rmSync(folder, { recursive: true, force: true });
    renameSync(join(CRATE, unfinished), folder);
    return { profile, folder, isNew: true };
  });
}

/**
 * Adds the files of the package that no compiler makes: its entry and types, the modules that the entry
 * and the compiled one import, its styles.
 *
 * @param {string} folder
 */
async function addHandWritten(folder) {
  for (const name of ENTRIES) {
    cpSync(join(CRATE, name), join(folder, name), { recursive: true });
  }
  const styles = filesIn(join(CRATE, "css")).map((path) => basename(path));
  for (const name of styles) cpSync(join(CRATE, "css", name), join(folder, name));

  // npm packs them by their names.
  for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) {
    cpSync(join(repoRoot, name), join(folder, name));
  }
  await inlineStyles(folder);
  // Those of a package of its own.
  for (const name of ["package.json", ".gitignore"]) rmSync(join(folder, TESTING, name));
  const manifestPath = join(folder, "package.json");
  const manifest = JSON.parse(readFileSync(manifestPath, "utf8"));
  manifest.files.push(...ENTRIES, TESTING, ...styles);
  manifest.files.push(BUNDLER, "dist");
  manifest.main = "index.js";
  manifest.types = "index.d.ts";
  manifest.exports = EXPORTS;
  manifest.peerDependencies = PEERS;
  manifest.peerDependenciesMeta = Object.fromEntries(
    Object.keys(PEERS).map((name) => [name, { optional: true }]),
  );
  // Importing it registers the element.
  manifest.sideEffects = ["./element.js", `./${BUNDLER}/element.js`, "./dist/*", "*.css"];
  writeFileSync(manifestPath, `${JSON.stringify(manifest, null, 2)}\n`);
  await addInlined(folder);
}

/**
 * Puts the styles into the module through which `<whos-here>` gets them: a shadow tree has no other way
 * that a strict content security policy allows.
 *
 * @param {string} folder
 */
async function inlineStyles(folder) {
  const { transform } = await import("esbuild");
  const css = readFileSync(join(folder, "whoshere.css"), "utf8");
  const { code } = await transform(css, { loader: "css", minify: true });
  writeFileSync(join(folder, "js/styles.js"), `export default ${JSON.stringify(code)};\n`);
}

/**
 * Adds the modules for bundlers, most of which don't know what to do with a file beside a module, and the
 * single file for a script tag, both with the compiled module inside.
 *
 * @param {string} folder
 */
async function addInlined(folder) {
  const into = join(folder, BUNDLER);
  const glue = "whoshere.js";
  mkdirSync(into);
  for (const name of [glue, TESTING, ...ENTRIES.filter((it) => !it.endsWith(".d.ts"))]) {
    const source = join(folder, name);
    const filter = (/** @type {string} */ path) => !/\.(wasm|d\.ts)$/.test(path);
    cpSync(source, join(into, name), { recursive: true, filter });
  }
  inline(into, glue, join(folder, "whoshere_bg.wasm"));
  const testing = join(TESTING, "whoshere_testing");
  inline(into, `${testing}.js`, join(folder, `${testing}_bg.wasm`));

  const { build } = await import("esbuild");
  await build({
    stdin: { contents: 'export * from "./index.js"; import "./element.js";', resolveDir: into },
    outfile: join(folder, "dist/whoshere.js"),
    bundle: true,
    format: "esm",
    minify: true,
    logLevel: "error",
  });
}

/**
 * Lets a compiled module's JavaScript have it from a module beside it. It is deflated before it is made
 * text, so that it takes hardly more than the file. Not by way of a Blob, which in jsdom has no stream.
 *
 * @param {string} folder
 * @param {string} glue
 * @param {string} wasm
 */
function inline(folder, glue, wasm) {
  const path = join(folder, glue);
  const text = readFileSync(path, "utf8");
  const address = `new URL('${basename(wasm)}', import.meta.url)`;
  if (!text.includes(address)) throw new Refusal("The glue doesn't say where its module is.");
  const name = basename(wasm).replace(".wasm", ".js");
  const response = `import("./${name}").then((it) => it.default())`;
  writeFileSync(path, text.replace(address, response));

  const deflated = deflateRawSync(readFileSync(wasm), { level: 9 }).toString("base64");
  writeFileSync(
    join(dirname(path), name),
    `export default () => {
  const bytes = Uint8Array.from(atob("${deflated}"), (it) => it.charCodeAt(0));
  const wasm = new Response(bytes).body.pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(wasm, { headers: { "content-type": "application/wasm" } });
};
`,
  );
}

/**
 * @param {string} folder
 * @param {string} hash
 */
function isBuiltFrom(folder, hash) {
  const stamp = join(folder, STAMP);
  return existsSync(stamp) && readFileSync(stamp, "utf8") === hash;
}

/**
 * @param {Profile} profile
 * @param {string} [toolchain]
 */
function hashInputs(profile, toolchain = "") {
  const hash = createHash("sha256").update(`${profile}\n${toolchain}\n`);
  for (const path of INPUTS.flatMap((input) => filesIn(join(repoRoot, input))).sort()) {
    const content = readFileSync(path);
    hash.update(`${relative(repoRoot, path)}\n${content.length}\n`).update(content);
  }
  return hash.digest("hex");
}

/**
 * @param {string} path
 * @returns {string[]}
 */
function filesIn(path) {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => !NOT_INPUTS.test(entry.name))
      .flatMap((entry) => filesIn(join(path, entry.name)));
  } catch (error) {
    // What can't be listed is a file, or is missing and then no input.
    return /** @type {NodeJS.ErrnoException} */ (error).code === "ENOTDIR" ? [path] : [];
  }
}

/**
 * @param {string[]} args
 * @returns {Profile}
 */
function profileOf(args) {
  if (args.length === 0) return "release";
  if (args.length === 1 && args[0] === "--dev") return "dev";
  if (args.length === 1 && args[0] === "--smallest") return "smallest";
  throw new Refusal("usage: node scripts/build-client.mjs [--dev | --smallest]");
}

if (isMain(import.meta.url)) {
  await runMain(async () => {
    const startedAt = performance.now();
    const build = await buildClient(profileOf(process.argv.slice(2)));
    const folder = relative(repoRoot, build.folder);
    say(
      build.isNew
        ? `Built ${folder} (${build.profile}) in ${secondsSince(startedAt)}.`
        : `${folder} (${build.profile}) is up to date.`,
    );
  });
}
