// @ts-check
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cached } from "./cache.mjs";
import { say } from "./log.mjs";
import { ask, collect, findOnPath } from "./run.mjs";
import { repoRoot } from "./versions.mjs";

const REQUIREMENTS = join(repoRoot, "tests/schemathesis/requirements.txt");
const OLDEST = [3, 10];
const INSTALL_TIMEOUT_MS = 300_000;

/**
 * Schemathesis, which holds an HTTP API to its OpenAPI document. It is in Python, which nothing else here
 * needs, so where there is none its test is skipped and says why.
 *
 * @returns {Promise<{ command: string[], env: NodeJS.ProcessEnv } | { missing: string }>}
 */
export async function ensureSchemathesis() {
  const python = findOnPath("python3");
  if (python === undefined) return { missing: "python3 is not installed" };
  const version = ask(python, ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]) ?? "0.0";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < Number(OLDEST[0]) || (major === OLDEST[0] && minor < Number(OLDEST[1]))) {
    return { missing: `python3 is ${version}, and older than ${OLDEST.join(".")}` };
  }
  const hash = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex");
  try {
    const name = `schemathesis-${hash.slice(0, 16)}-python${version}`;
    const folder = await cached(name, (unfinished) => install(python, unfinished));
    return {
      command: [python, join(folder, "bin", "schemathesis")],
      env: { PYTHONPATH: folder },
    };
  } catch (error) {
    return { missing: String(error) };
  }
}

/**
 * @param {string} python
 * @param {string} folder
 */
async function install(python, folder) {
  say("schemathesis is missing; installing it with pip, once.");
  // Nothing is built from source, which would need compilers of its own.
  const options = ["--disable-pip-version-check", "--only-binary=:all:", "--no-deps"];
  const what = ["--target", folder, "--requirement", REQUIREMENTS];
  const args = ["-m", "pip", "install", "--quiet", ...options, ...what];
  const { ok, output } = await collect(python, args, { timeoutMs: INSTALL_TIMEOUT_MS });
  if (!ok) throw new Error(`pip install failed: ${output.trim().split("\n").at(-1)}`);
}
