// @ts-check
//
// Everything that has to hold, cheapest first; the first stage that fails ends the run.
// All of it: npm test. Some stages: npm test -- rules size
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Refusal, runMain, say, secondsSince } from "./setup/log.mjs";
import { npmBin } from "./setup/npm-packages.mjs";
import { collect } from "./setup/run.mjs";
import { repoRoot } from "./setup/versions.mjs";
import { ensure } from "./setup.mjs";

/**
 * @typedef {import("./setup.mjs").Need} Need
 * @typedef {import("./setup.mjs").Tools} Tools
 *
 * @typedef {object} Command
 * @property {string[]} run
 * @property {NodeJS.ProcessEnv} [env] on top of this process's own
 *
 * @typedef {object} Stage
 * @property {string} name
 * @property {Need[]} needs
 * @property {(tools: Tools) => Command[]} commands run one after the other
 * @property {RegExp} [shows] the lines of their output that are worth showing when all is well
 */

const buildRelay = ["cargo", "build", "--release", "--locked", "--package=relay-server"];

/** A test that did not run, and why. */
const SKIPPED = /# SKIP /;

/** @type {Stage[]} */
const STAGES = [
  {
    name: "format",
    needs: ["rust", "npm"],
    commands: () => [
      { run: ["cargo", "fmt", "--all", "--check"] },
      { run: [join(npmBin, "biome"), "check", "--linter-enabled=false"] },
    ],
  },
  {
    name: "lint",
    needs: ["rust", "npm", "wasm"],
    commands: (tools) => [
      { run: [join(npmBin, "biome"), "lint", "--error-on-warnings"] },
      ...[".", "www", "tests/sockets", "tests/browser"].map((project) => ({
        run: [join(npmBin, "tsc"), "--project", project],
      })),
      { run: clippy("--workspace", "--exclude=whoshere") },
      // The toolchain composed from Debian's packages has no clippy; most lints need no wasm.
      tools.wasmToolchain === "rustup"
        ? { run: clippy("--package=whoshere", "--target=wasm32-unknown-unknown") }
        : { run: clippy("--package=whoshere") },
    ],
  },
  {
    name: "rules",
    needs: ["rust"],
    commands: () => [
      { run: cargoTest("--package=presence-protocol", "--package=presence-core") },
      { run: cargoTest("--package=relay-server", "--package=load", "--package=whoshere") },
      { run: cargoTest("--package=whoshere-testing") },
      { run: cargoTest("--package=fuzz") },
    ],
  },
  {
    name: "crates",
    needs: ["rust"],
    commands: () => [{ run: [process.execPath, "scripts/deny.mjs"] }],
    shows: /^(licences|advisories)/,
  },
  {
    name: "simulation",
    needs: ["rust"],
    commands: () => [{ run: cargoTest("--package=simulation", "--profile=simulation") }],
  },
  {
    name: "sockets",
    needs: ["rust", "npm", "python"],
    commands: () => [{ run: buildRelay }, { run: nodeTest("sockets") }],
    shows: SKIPPED,
  },
  {
    name: "restart",
    needs: ["rust"],
    commands: () => [{ run: buildRelay }, { run: load("restart", "--sessions=500") }],
    shows: /ALL ARE BACK|JOINS|LEAVES/,
  },
  {
    name: "client",
    needs: ["rust", "wasm", "wasm-pack", "browser", "webdriver"],
    commands: (tools) => [
      {
        run: [
          ...["wasm-pack", "test", "--headless", "--chrome", "--mode", "no-install"],
          ...["--chromedriver", tools.chromedriver ?? ""],
          "client-wasm",
        ],
        env: { ...tools.wasmEnv, WASM_BINDGEN_TEST_WEBDRIVER_JSON: webdriverConfig(tools) },
      },
    ],
  },
  {
    name: "size",
    needs: ["npm"],
    commands: () => [{ run: [process.execPath, "scripts/size.mjs"] }],
    shows: /kB/,
  },
  {
    name: "browser",
    needs: ["rust", "npm", "wasm", "wasm-pack", "browser", "runtimes"],
    commands: (tools) => [
      { run: buildRelay },
      { run: [process.execPath, "scripts/build-client.mjs"] },
      { run: nodeTest("browser"), env: { CHROME_PATH: tools.chromium } },
    ],
    shows: new RegExp(`joins: |leaves: |${SKIPPED.source}`),
  },
];

await runMain(async () => {
  const stages = chosenStages(process.argv.slice(2));
  for (const [nPassed, stage] of stages.entries()) {
    const startedAt = performance.now();
    const { failure, shown } = await run(stage);
    if (failure !== undefined) {
      say(`${failure.trimEnd()}\n\n${stage.name} failed after ${secondsSince(startedAt)}`);
      say(`${nPassed} passed, 1 failed`);
      process.exitCode = 1;
      return;
    }
    say(`${stage.name.padEnd(12)}${secondsSince(startedAt).padStart(8)}`);
    for (const line of shown) say(`  ${line}`);
  }
  say(`${stages.length} passed, 0 failed`);
});

/** @param {string[]} names */
function chosenStages(names) {
  const unknown = names.find((name) => !STAGES.some((stage) => stage.name === name));
  if (unknown !== undefined) {
    throw new Refusal(`"${unknown}" is not one of ${STAGES.map(({ name }) => name).join(", ")}.`);
  }
  return names.length === 0 ? STAGES : STAGES.filter(({ name }) => names.includes(name));
}

/**
 * @param {Stage} stage
 * @returns {Promise<{failure?: string, shown: string[]}>} what the failed command has printed, if one
 *   has failed, or what is worth showing
 */
async function run(stage) {
  const tools = await ensure(stage.needs);
  const shown = [];
  for (const { run, env } of stage.commands(tools)) {
    const [command = "", ...args] = run;
    const { ok, output } = await collect(command, args, { env: { ...process.env, ...env } });
    if (!ok) return { failure: `$ ${run.join(" ")}\n${output}`, shown: [] };
    shown.push(...output.split("\n").filter((line) => stage.shows?.test(line)));
  }
  return { shown };
}

/** @param {string} folder in tests */
function nodeTest(folder) {
  const files = readdirSync(join(repoRoot, "tests", folder)).filter((it) =>
    it.endsWith(".test.mjs"),
  );
  const paths = files.map((it) => join("tests", folder, it));
  // Beyond any file's time: one that never ends is to be named, not waited for.
  const options = ["--test-concurrency=2", "--test-timeout=1200000"];
  return [process.execPath, "--test", ...options, ...paths];
}

/** @param {...string} scope */
function clippy(...scope) {
  return ["cargo", "clippy", ...scope, "--all-targets", "--locked", "--", "--deny=warnings"];
}

/** @param {...string} scope */
function cargoTest(...scope) {
  return ["cargo", "test", "--locked", ...scope];
}

/**
 * What `npm run bench` runs, with the relay that the tests have; few people need no optimising.
 *
 * @param {...string} part
 */
function load(...part) {
  const relay = "--relay=target/release/whoshere-relay";
  return ["cargo", "run", "--locked", "--package=load", "--", relay, ...part];
}

/**
 * The crate's webdriver.json, with the browser that was found: chromedriver looks for it in fewer
 * places.
 *
 * @param {Tools} tools
 * @returns {string} the path of a copy
 */
function webdriverConfig(tools) {
  const config = JSON.parse(readFileSync(join(repoRoot, "client-wasm/webdriver.json"), "utf8"));
  config["goog:chromeOptions"].binary = tools.chromium;
  const copy = join(repoRoot, "target", "webdriver.json");
  mkdirSync(dirname(copy), { recursive: true });
  writeFileSync(copy, JSON.stringify(config));
  return copy;
}
