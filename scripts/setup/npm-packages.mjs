// @ts-check
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withLock } from "./cache.mjs";
import { say } from "./log.mjs";
import { collectOrRefuse } from "./run.mjs";
import { repoRoot } from "./versions.mjs";

export const npmBin = join(repoRoot, "node_modules", ".bin");

const STAMP = join(repoRoot, "node_modules", ".installed-from");

/** Installs the npm packages, unless they are those of the lock file already. */
export async function ensureNpmPackages() {
  if (isInstalled()) return;
  await withLock(async () => {
    if (isInstalled()) return;
    say("The npm packages are missing or not those of package-lock.json; running npm ci.");
    // npm names itself to its scripts; without npm there is still one on PATH.
    const npm = process.env.npm_execpath;
    const [command, args] = npm ? [process.execPath, [npm, "ci"]] : ["npm", ["ci"]];
    await collectOrRefuse("npm ci failed, see above.", command, args);
    writeFileSync(STAMP, lockFileHash());
  });
}

function isInstalled() {
  // `npm ci` starts by removing node_modules, so the stamp of an interrupted one is gone.
  return existsSync(STAMP) && readFileSync(STAMP, "utf8") === lockFileHash();
}

function lockFileHash() {
  return createHash("sha256")
    .update(readFileSync(join(repoRoot, "package-lock.json")))
    .digest("hex");
}
