// @ts-check
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { composeDebianToolchain, findDebianToolchain } from "./debian-wasm-toolchain.mjs";
import { Refusal, say } from "./log.mjs";
import { ask, collect, findOnPath } from "./run.mjs";

export const WASM_TARGET = "wasm32-unknown-unknown";

/** The name under which rustup knows the toolchain that is composed where it can't download one. */
const LINKED_NAME = "whoshere-wasm";

/** A server that doesn't answer must not hold up the set-up for longer. */
const RUSTUP_TIMEOUT_MS = 180_000;

/**
 * @typedef {object} WasmToolchain
 * @property {"rustup" | "debian"} origin
 * @property {NodeJS.ProcessEnv} env what a command needs on top of its environment to use it
 */

/**
 * A Rust toolchain that compiles to wasm: the pinned one of rustup, if rustup has or can download
 * the target, or one composed from Debian's packages where rustup's server is out of reach.
 *
 * @returns {Promise<WasmToolchain>}
 */
export async function ensureWasmToolchain() {
  if (pinnedToolchainHasTarget()) return PINNED;

  const composed = findDebianToolchain();
  if (composed !== undefined) return link(composed);

  if (!findOnPath("rustup")) {
    throw new Refusal(
      `This Rust has no standard library for ${WASM_TARGET}: install rustup (https://rustup.rs), ` +
        "or your system's package of it, then try again.",
    );
  }
  say(`The standard library for ${WASM_TARGET} is missing; asking rustup for it.`);
  const added = await collect("rustup", ["target", "add", WASM_TARGET], {
    timeoutMs: RUSTUP_TIMEOUT_MS,
  });
  if (added.ok && pinnedToolchainHasTarget()) return PINNED;
  return link(await composeDebianToolchain(added.output));
}

/**
 * The standard library's source, from which the smallest build compiles its own.
 *
 * @param {WasmToolchain} toolchain
 * @returns {Promise<boolean>} whether it is there
 */
export async function ensureStdSource(toolchain) {
  const env = { ...process.env, ...toolchain.env };
  const isThere = () => {
    const sysroot = ask("rustc", ["--print", "sysroot"], env);
    return sysroot !== undefined && existsSync(join(sysroot, "lib/rustlib/src/rust/library/std"));
  };
  if (isThere()) return true;
  if (toolchain.origin === "debian" || !findOnPath("rustup")) return false;
  say("The smallest build compiles its own standard library; asking rustup for the source.");
  await collect("rustup", ["component", "add", "rust-src"], { timeoutMs: RUSTUP_TIMEOUT_MS });
  return isThere();
}

/** @type {WasmToolchain} */
const PINNED = { origin: "rustup", env: {} };

function pinnedToolchainHasTarget() {
  const folder = ask("rustc", ["--print", "target-libdir", "--target", WASM_TARGET]);
  if (folder === undefined || !existsSync(folder)) return false;
  return readdirSync(folder).some((file) => file.startsWith("libstd-"));
}

/**
 * @param {string} folder
 * @returns {WasmToolchain}
 */
function link(folder) {
  const linked = ask("rustup", ["which", "--toolchain", LINKED_NAME, "rustc"]);
  const rustc = join(folder, "bin", "rustc");
  if (linked === undefined || realpathSync(linked) !== realpathSync(rustc)) {
    say(`Telling rustup of the toolchain for wasm, as ${LINKED_NAME}; other builds don't use it.`);
    if (ask("rustup", ["toolchain", "link", LINKED_NAME, folder]) === undefined) {
      throw new Refusal(`rustup toolchain link ${LINKED_NAME} ${folder} failed.`);
    }
  }
  return { origin: "debian", env: { RUSTUP_TOOLCHAIN: LINKED_NAME } };
}
