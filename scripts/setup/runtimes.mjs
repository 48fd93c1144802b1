// @ts-check
import { canInstallPackages, installPackages } from "./debian.mjs";
import { Refusal, say } from "./log.mjs";
import { ask, findOnPath } from "./run.mjs";

/** @typedef {"rails" | "php" | "go" | "python3"} Runtime */

/** @type {Record<Runtime, { packages: string[], isThere?: () => boolean }>} */
const DEBIAN = {
  rails: {
    // All of Rails would be ten times as much; a controller is in this.
    packages: ["ruby", "ruby-actionpack"],
    isThere: () =>
      ask("ruby", ["-e", 'require "logger"; require "action_controller"']) !== undefined,
  },
  php: { packages: ["php-cli"] },
  go: { packages: ["golang-go"] },
  python3: {
    packages: ["python3", "python3-pip"],
    // Debian's comes without pip.
    isThere: () => ask("python3", ["-m", "pip", "--version"]) !== undefined,
  },
};

/**
 * What the papers' examples for servers are written in. Nothing is built with it, so where it can't be installed
 * their tests are skipped, and this says why.
 *
 * @param {Runtime[]} runtimes
 */
export async function ensureRuntimes(runtimes) {
  const missing = runtimes.filter((it) => !(DEBIAN[it].isThere?.() ?? findOnPath(it)));
  if (missing.length === 0) return;
  const packages = missing.flatMap((it) => DEBIAN[it].packages);
  const why = `The papers have examples for servers in ${missing.join(", ")}, which isn't here.`;
  if (!canInstallPackages()) {
    return say(`${why} Their tests are skipped until ${packages.join(", ")} is installed.`);
  }
  try {
    await installPackages(packages, why);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    say(`${error.message}\nThe tests of these examples are skipped.`);
  }
}
