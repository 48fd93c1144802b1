// @ts-check
import { join } from "node:path";
import { ensurePythonPackages } from "./python.mjs";

/**
 * Schemathesis, which holds an HTTP API to its OpenAPI document.
 *
 * @returns {Promise<{ command: string[], env: NodeJS.ProcessEnv } | { missing: string }>}
 */
export async function ensureSchemathesis() {
  const found = await ensurePythonPackages("schemathesis", "tests/schemathesis/requirements.txt");
  if ("missing" in found) return found;
  return {
    command: [found.python, join(found.folder, "bin", "schemathesis")],
    env: { PYTHONPATH: found.folder },
  };
}
