// @ts-check
//
// Shortens the names by which the compiled module and its glue know each other. They are long because
// they hold hashes, and hashes don't pack: they are a tenth of what a page downloads.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NOT_CALLED, withOwnHelpers } from "./glue.mjs";
import { Refusal } from "./setup/log.mjs";
import { collect } from "./setup/run.mjs";

/**
 * @param {string} folder of a package that wasm-pack made
 * @param {NodeJS.ProcessEnv} env
 */
export async function minifyNames(folder, env) {
  const modulePath = join(folder, "whoshere_bg.wasm");
  const passes = [
    ...NOT_CALLED.map((name) => `--remove-exports=${name}`),
    "--remove-unused-module-elements",
    "--minify-imports-and-exports-and-modules",
    // wasm-bindgen and wasm-opt have read what these say.
    "--strip-producers",
    "--strip-target-features",
  ];
  const args = [modulePath, ...passes, "-o", modulePath];
  const { ok, output } = await collect("wasm-opt", args, { env });
  if (!ok) throw new Refusal(`wasm-opt could not shorten the names:\n${output}`);
  /** @type {{ imports: [module: string, long: string, short: string][], exports: [long: string, short: string][] }} */
  const names = JSON.parse(output);

  const gluePath = join(folder, "whoshere.js");
  let glue = withOwnHelpers(readFileSync(gluePath, "utf8"));
  // Most functions are in an object in the glue; those that need no conversion come straight out of the
  // modules that they are in. Afterwards all belong to one module.
  const direct = [];
  for (const [module, long, short] of names.imports) {
    if (module === "./whoshere_bg.js") {
      glue = replaceOnce(glue, `\n        ${long}: `, `\n        ${short}: `);
    } else {
      const entry = entryOf(module);
      const [, variable] = [...glue.matchAll(entry)][0] ?? [];
      if (variable === undefined) throw new Refusal(`The glue has no entry for ${module}.`);
      direct.push({ entry, member: `${short}: ${variable}.${long}` });
    }
  }
  // There is one for each function, all of the same module.
  for (const { entry } of direct) glue = glue.replaceAll(entry, "");
  const members = direct.map(({ member }) => member).join(", ");
  glue = replaceOnce(glue, '"./whoshere_bg.js": import0', `"a": { ...import0, ${members} }`);
  for (const [long, short] of names.exports) {
    glue = glue.replaceAll(new RegExp(`\\bwasm\\.${long}\\b`, "g"), () => `wasm.${short}`);
  }
  writeFileSync(gluePath, glue);
  // Nobody needs to know the names inside, and these are no longer theirs.
  rmSync(join(folder, "whoshere_bg.wasm.d.ts"), { force: true });
}

/**
 * The lines that say what a module is to the compiled one.
 *
 * @param {string} module
 */
function entryOf(module) {
  return new RegExp(`\\n *${JSON.stringify(module).replaceAll(".", "\\.")}: (import\\d+),`, "g");
}

/**
 * @param {string} text
 * @param {string} old
 * @param {string} replacement
 */
function replaceOnce(text, old, replacement) {
  const parts = text.split(old);
  if (parts.length === 2) return parts.join(replacement);
  throw new Refusal(`The glue has "${old.trim()}" ${parts.length - 1} times, expected it once.`);
}
