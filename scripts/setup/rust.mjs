// @ts-check
import { canInstallPackages, installPackages } from "./debian.mjs";
import { Refusal } from "./log.mjs";
import { findOnPath } from "./run.mjs";

/** Rust itself, and the C compiler that its linker and the relay's cryptography need. */
export async function ensureRust() {
  if (!findOnPath("cargo")) {
    throw new Refusal("Rust is missing: install rustup (https://rustup.rs), then try again.");
  }
  if (findOnPath("cc")) return;
  const why = "A C compiler is needed, and none was found.";
  if (!canInstallPackages()) {
    throw new Refusal(
      `${why} Install your system's (on macOS: xcode-select --install; on Debian: ` +
        "apt-get install build-essential), then try again.",
    );
  }
  await installPackages(["build-essential"], why);
}
