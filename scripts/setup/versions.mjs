// @ts-check
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Refusal } from "./log.mjs";

export const repoRoot = fileURLToPath(new URL("../..", import.meta.url));

/** Rust's version, from the file that rustup reads too. */
export function rustVersion() {
  return find("rust-toolchain.toml", /^channel = "([^"]+)"/m);
}

/** wasm-bindgen's command must be of exactly the crate's version, so the lock file decides both. */
export function wasmBindgenVersion() {
  return find("Cargo.lock", /^name = "wasm-bindgen"\r?\nversion = "([^"]+)"/m);
}

/** @returns {{ wasmPack: string, cargoFuzz: string, cargoDeny: string, budget: number, elementBudget: number }} the project's own settings in package.json */
export function projectSettings() {
  return JSON.parse(readFileSync(join(repoRoot, "package.json"), "utf8")).whoshere;
}

/**
 * @param {string} file
 * @param {RegExp} pattern
 */
function find(file, pattern) {
  const found = pattern.exec(readFileSync(join(repoRoot, file), "utf8"))?.[1];
  if (found === undefined) throw new Refusal(`${file} has nothing that matches ${pattern}.`);
  return found;
}
