// @ts-check
//
// Where rustup's server is out of reach, Debian still has a recent rustc (built for its browsers)
// and the source of its standard library, all dependencies included. What it lacks is that library
// compiled for wasm32, so that is compiled here, once.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { cacheDir, cached } from "./cache.mjs";
import { canInstallPackages, installPackages } from "./debian.mjs";
import { Refusal, say } from "./log.mjs";
import { ask, collectOrRefuse } from "./run.mjs";
import { rustVersion } from "./versions.mjs";

const DEBIAN_RUSTC = "/usr/bin/rustc";
const DEBIAN_RUSTLIB = "/usr/lib/rustlib";
const STD_SOURCE = join(DEBIAN_RUSTLIB, "src/rust/library");
const TARGET = "wasm32-unknown-unknown";

/** @returns {string | undefined} the folder of the toolchain that an earlier run has composed */
export function findDebianToolchain() {
  const version = debianRustVersion();
  if (version === undefined) return undefined;
  const folder = join(cacheDir, folderName(version));
  return existsSync(folder) ? folder : undefined;
}

/**
 * @param {string} rustupOutput why rustup could not download the target, for whoever has no Debian
 * @returns {Promise<string>} the toolchain's folder
 */
export async function composeDebianToolchain(rustupOutput) {
  if (!isUsable()) {
    const why = "rustup can't download the standard library for wasm32.";
    if (!canInstallPackages()) {
      throw new Refusal(
        `${rustupOutput.trimEnd()}\n\n${why} Give it access to its server and run ` +
          `"rustup target add ${TARGET}"; on Debian, as root, packages are used instead.`,
      );
    }
    await installPackages(["rustc-web", "rust-web-src"], `${why} Debian has its source.`);
  }
  const version = debianRustVersion();
  if (version === undefined || !isUsable()) {
    throw new Refusal(
      `Debian's rustc is ${version ?? "missing"}, ${rustVersion()} or later is needed to stand in for rustup's.`,
    );
  }
  return cached(folderName(version), async (unfinished, finalPath) => {
    const stdCrates = await compileStd(join(unfinished, "build"), version);
    compose(unfinished, finalPath, stdCrates);
    rmSync(join(unfinished, "build"), { recursive: true });
  });
}

/** @param {string} version */
function folderName(version) {
  return `wasm-toolchain-${version}`;
}

function debianRustVersion() {
  if (!existsSync(DEBIAN_RUSTC)) return undefined;
  return /^rustc (\d+\.\d+\.\d+)/.exec(ask(DEBIAN_RUSTC, ["--version"]) ?? "")?.[1];
}

function isUsable() {
  const version = debianRustVersion();
  return version !== undefined && isAtLeast(version, rustVersion()) && existsSync(STD_SOURCE);
}

/**
 * @param {string} version
 * @param {string} minimum
 */
function isAtLeast(version, minimum) {
  return version.localeCompare(minimum, "en", { numeric: true }) >= 0;
}

/**
 * Compiles std, and `test` for wasm-pack's tests, by building an empty library with it.
 *
 * @param {string} folder to build in
 * @param {string} version
 * @returns {Promise<string[]>} the paths of the compiled crates
 */
async function compileStd(folder, version) {
  say(
    `Compiling the standard library of Rust ${version} for wasm32, once; this takes two minutes.`,
  );
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, "Cargo.toml"),
    '[package]\nname = "empty"\nedition = "2021"\n[lib]\npath = "empty.rs"\n[workspace]\n',
  );
  writeFileSync(join(folder, "empty.rs"), "#![no_std]\n");
  await collectOrRefuse(
    "The standard library for wasm32 could not be compiled, see above.",
    "cargo",
    [
      "build",
      "--release",
      `--target=${TARGET}`,
      "-Zbuild-std=std,panic_abort,panic_unwind,test,proc_macro",
      `--target-dir=${join(folder, "target")}`,
    ],
    {
      cwd: folder,
      env: {
        ...process.env,
        RUSTUP_TOOLCHAIN: rustVersion(),
        RUSTC: DEBIAN_RUSTC,
        // Debian's rustc calls itself stable, and -Zbuild-std is for those that don't.
        RUSTC_BOOTSTRAP: "1",
        // Without bitcode in it the SDK could not be optimised as a whole (`lto = true`).
        RUSTFLAGS: "-Cembed-bitcode=yes",
      },
    },
  );
  const compiled = join(folder, "target", TARGET, "release", "deps");
  return readdirSync(compiled)
    .filter((file) => file.endsWith(".rlib") && !file.startsWith("libempty-"))
    .map((file) => join(compiled, file));
}

/**
 * Puts together a folder that rustup takes for a toolchain.
 *
 * @param {string} folder
 * @param {string} finalPath where the folder will be when it is complete
 * @param {string[]} stdCrates
 */
function compose(folder, finalPath, stdCrates) {
  const host = /^host: (.+)$/m.exec(ask(DEBIAN_RUSTC, ["-vV"]) ?? "")?.[1] ?? "";
  const pinned = pinnedSysroot();
  const rustlib = join(folder, "lib/rustlib");

  const wasmLib = join(rustlib, TARGET, "lib");
  mkdirSync(wasmLib, { recursive: true });
  for (const crate of stdCrates) cpSync(crate, join(wasmLib, basename(crate)));

  // Build scripts and macros run on the host, with Debian's own library.
  mkdirSync(join(rustlib, host, "bin"), { recursive: true });
  symlinkSync(join(DEBIAN_RUSTLIB, host, "lib"), join(rustlib, host, "lib"));
  symlinkSync(join(DEBIAN_RUSTLIB, "src"), join(rustlib, "src"));

  // Debian packages no linker for wasm; rustup's reads the same object files.
  symlinkSync(
    join(pinned, "lib/rustlib", host, "bin/rust-lld"),
    join(rustlib, host, "bin/rust-lld"),
  );

  const bin = join(folder, "bin");
  mkdirSync(bin);
  // Without a cargo of its own, rustup would run that of its newest toolchain.
  symlinkSync(join(pinned, "bin/cargo"), join(bin, "cargo"));
  const script = `#!/bin/sh\nexec ${DEBIAN_RUSTC} --sysroot '${finalPath}' "$@"\n`;
  writeFileSync(join(bin, "rustc"), script, { mode: 0o755 });
}

function pinnedSysroot() {
  const sysroot = ask("rustc", ["--print", "sysroot"]);
  if (sysroot === undefined) throw new Refusal(`rustup has no Rust ${rustVersion()}.`);
  return sysroot;
}
