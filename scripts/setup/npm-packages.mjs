// @ts-check
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cached, withLock } from "./cache.mjs";
import { say } from "./log.mjs";
import { collectOrRefuse } from "./run.mjs";
import { repoRoot } from "./versions.mjs";

export const npmBin = join(repoRoot, "node_modules", ".bin");

const LOCK_FILE = join(repoRoot, "package-lock.json");
const STAMP = join(repoRoot, "node_modules", ".installed-from");

/** Installs the npm packages, unless they are those of the lock file already. */
export async function ensureNpmPackages() {
  if (isInstalled()) return;
  await withLock(async () => {
    if (isInstalled()) return;
    say("The npm packages are missing or not those of package-lock.json; running npm ci.");
    await ci(repoRoot);
    writeFileSync(STAMP, hashOf(LOCK_FILE));
  });
}

/**
 * Other people's bundlers, with which the package is tested. They are larger than all the rest and `npm
 * start` needs none of them, so they are in the cache, where several checkouts share them.
 *
 * @returns {Promise<string>} the folder whose node_modules has them
 */
export function ensureBundlers() {
  const from = join(repoRoot, "tests/bundlers");
  const hash = hashOf(join(from, "package-lock.json"));
  return cached(`bundlers-${hash.slice(0, 16)}`, async (folder) => {
    say("The bundlers for the package's tests are missing; running npm ci for them, once.");
    for (const name of ["package.json", "package-lock.json"]) {
      copyFileSync(join(from, name), join(folder, name));
    }
    await ci(folder);
  });
}

/** @param {string} folder */
async function ci(folder) {
  // npm names itself to its scripts; without npm there is still one on PATH.
  const npm = process.env.npm_execpath;
  const [command, args] = npm ? [process.execPath, [npm, "ci"]] : ["npm", ["ci"]];
  await collectOrRefuse("npm ci failed, see above.", command, args, { cwd: folder });
}

function isInstalled() {
  // `npm ci` starts by removing node_modules, so the stamp of an interrupted one is gone.
  return existsSync(STAMP) && readFileSync(STAMP, "utf8") === hashOf(LOCK_FILE);
}

/** @param {string} path */
function hashOf(path) {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
