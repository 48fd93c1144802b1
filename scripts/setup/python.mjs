// @ts-check
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cached } from "./cache.mjs";
import { say } from "./log.mjs";
import { ask, collect, findOnPath } from "./run.mjs";
import { repoRoot } from "./versions.mjs";

const OLDEST = [3, 10];
const INSTALL_TIMEOUT_MS = 300_000;

/**
 * Python's packages of a file of pinned ones, in the cache. They are for one test each, so where there is no
 * Python it is skipped and says why.
 *
 * @param {string} name of what they are for
 * @param {string} requirements the file's path in the repository
 * @returns {Promise<{ python: string, folder: string } | { missing: string }>}
 */
export async function ensurePythonPackages(name, requirements) {
  const python = findOnPath("python3");
  if (python === undefined) return { missing: "python3 is not installed" };
  const version = ask(python, ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]) ?? "0.0";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < Number(OLDEST[0]) || (major === OLDEST[0] && minor < Number(OLDEST[1]))) {
    return { missing: `python3 is ${version}, and older than ${OLDEST.join(".")}` };
  }
  const path = join(repoRoot, requirements);
  const hash = createHash("sha256").update(readFileSync(path)).digest("hex");
  try {
    const folder = await cached(`${name}-${hash.slice(0, 16)}-python${version}`, (unfinished) =>
      install(name, python, path, unfinished),
    );
    return { python, folder };
  } catch (error) {
    return { missing: String(error) };
  }
}

/**
 * @param {string} name
 * @param {string} python
 * @param {string} requirements
 * @param {string} folder
 */
async function install(name, python, requirements, folder) {
  say(`${name} is missing; installing it with pip, once.`);
  // Nothing is built from source, which would need compilers of its own.
  const options = ["--disable-pip-version-check", "--only-binary=:all:", "--no-deps"];
  const what = ["--target", folder, "--requirement", requirements];
  const args = ["-m", "pip", "install", "--quiet", ...options, ...what];
  const { ok, output } = await collect(python, args, { timeoutMs: INSTALL_TIMEOUT_MS });
  if (!ok) throw new Error(`pip install failed: ${output.trim().split("\n").at(-1)}`);
}
