// @ts-check
//
// Asks npm's registry which packages of the lock files somebody has warned of. npm run audit
import { join } from "node:path";
import { runMain, say } from "./setup/log.mjs";
import { collect } from "./setup/run.mjs";
import { repoRoot } from "./setup/versions.mjs";

/** Each with a lock file of its own. */
const FOLDERS = [".", "tests/bundlers"];

await runMain(async () => {
  for (const folder of FOLDERS) {
    const lock = `${folder}/package-lock.json`;
    const args = ["audit", "--package-lock-only", "--json", "--loglevel=silent"];
    const { ok, output } = await collect("npm", args, { cwd: join(repoRoot, folder) });
    const answer = parse(output);
    const counts = answer?.metadata?.vulnerabilities;
    if (counts === undefined) {
      const reason = answer?.message ?? answer?.error?.summary ?? output.trim();
      say(`${lock}: not looked at, since the registry doesn't answer audits: ${firstLine(reason)}`);
      continue;
    }
    for (const [name, it] of Object.entries(answer.vulnerabilities)) {
      say(`  ${it.severity}: ${name} ${it.range}`);
    }
    say(`${lock}: ${counts.total} of ${answer.metadata.dependencies.total} packages are warned of`);
    if (!ok) process.exitCode = 1;
  }
});

/** @param {unknown} text */
function firstLine(text) {
  return String(text).split("\n")[0];
}

/**
 * @param {string} text
 * @returns {any} `undefined` if it is no JSON
 */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
