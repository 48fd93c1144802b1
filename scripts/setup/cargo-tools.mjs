// @ts-check
import { join } from "node:path";
import { cached } from "./cache.mjs";
import { say } from "./log.mjs";
import { ask, collectOrRefuse } from "./run.mjs";
import { projectSettings, wasmBindgenVersion } from "./versions.mjs";

/**
 * wasm-pack, and the wasm-bindgen that it runs.
 *
 * They are built from source: their npm packages and installers download from places that a
 * closed network doesn't reach, crates.io is needed anyway.
 *
 * @returns {Promise<string[]>} folders that must be on PATH for them
 */
export async function ensureWasmPack() {
  const wasmPack = await ensureTool("wasm-pack", "wasm-pack", projectSettings().wasmPack, true);
  // The lock file published with wasm-bindgen-cli may name versions that were withdrawn since.
  const bindgen = await ensureTool("wasm-bindgen-cli", "wasm-bindgen", wasmBindgenVersion(), false);
  return [...wasmPack, ...bindgen];
}

/** @returns {Promise<string[]>} the folder of cargo-deny, unless it is on PATH already */
export function ensureCargoDeny() {
  // It runs for a second, and takes more than twice as long to build if it is to be quicker.
  return ensureTool("cargo-deny", "cargo-deny", projectSettings().cargoDeny, true, ["--debug"]);
}

/** @returns {Promise<string[]>} the folder of cargo-fuzz, unless it is on PATH already */
export function ensureCargoFuzz() {
  return ensureTool("cargo-fuzz", "cargo-fuzz", projectSettings().cargoFuzz, true);
}

/**
 * @param {string} crate
 * @param {string} command that the crate installs
 * @param {string} version
 * @param {boolean} isLocked whether to build with the versions that the crate was published with
 * @param {string[]} [options] of cargo install
 * @returns {Promise<string[]>} its folder; none if PATH has just this version already
 */
async function ensureTool(crate, command, version, isLocked, options = []) {
  if (ask(command, ["--version"]) === `${command} ${version}`) return [];
  const folder = await cached(`${crate}-${version}`, async (unfinished) => {
    say(`${command} ${version} is missing; building it with cargo install, which takes minutes.`);
    await collectOrRefuse(`cargo install ${crate} failed, see above.`, "cargo", [
      "install",
      crate,
      "--version",
      `=${version}`,
      "--root",
      unfinished,
      ...(isLocked ? ["--locked"] : []),
      ...options,
    ]);
  });
  return [join(folder, "bin")];
}
