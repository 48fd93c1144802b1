// @ts-check
//
// Looks for bytes that break a target of tests/fuzz: npm run fuzz -- TARGET [SECONDS]
// What it finds is in tests/fuzz/cargo-fuzz/artifacts; a find belongs into the corpus, with its fix.
// Puts what runs have learned into the corpus, as far as it is worth its room: npm run fuzz -- TARGET keep
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, delimiter, join } from "node:path";
import { ensureCargoFuzz } from "./setup/cargo-tools.mjs";
import { Refusal, runMain, say } from "./setup/log.mjs";
import { ensureRust } from "./setup/rust.mjs";
import { repoRoot } from "./setup/versions.mjs";

const TARGETS = ["frames", "keys", "room", "token", "token-keys"];
const FOLDER = join(repoRoot, "tests/fuzz/cargo-fuzz");
/** Most files of a target that are kept besides those with a name. */
const MAX_KEPT = 150;

await runMain(async () => {
  const [target = "", seconds = "60"] = process.argv.slice(2);
  if (!TARGETS.includes(target)) {
    throw new Refusal(`"${target}" is not one of ${TARGETS.join(", ")}.`);
  }
  const keeps = seconds === "keep";
  if (!keeps && !/^[1-9]\d{0,5}$/.test(seconds)) {
    throw new Refusal(`"${seconds}" is no number of seconds.`);
  }
  await ensureRust();
  const path = [...(await ensureCargoFuzz()), process.env.PATH].join(delimiter);

  const corpus = join(repoRoot, "tests/fuzz/corpus", target);
  // The fuzzer writes what it learns where it reads, and not all of that is worth keeping.
  const learned = join(FOLDER, "corpus", target);
  mkdirSync(learned, { recursive: true });
  cpSync(corpus, learned, { recursive: true });
  if (keeps) return keep(path, target, corpus, learned);
  await fuzz(path, target, [learned], [`-max_total_time=${seconds}`, "-print_final_stats=1"]);
});

/**
 * @param {string} path the variable
 * @param {string} target
 * @param {string[]} folders
 * @param {string[]} options
 */
async function fuzz(path, target, folders, options) {
  // There is no unsafe code for a sanitizer to watch, and without one the project's own toolchain will do.
  const args = ["fuzz", "run", "--sanitizer", "none", "--fuzz-dir", FOLDER, target, ...folders];
  const child = spawn("cargo", [...args, "--", "-max_len=1024", ...options], {
    cwd: FOLDER,
    stdio: "inherit",
    env: { ...process.env, PATH: path, RUSTC_BOOTSTRAP: "1" },
  });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  if (code !== 0) throw new Refusal(`The fuzzer ended with ${code}, see above.`);
}

/**
 * Of what runs have learned, the few files that go the most ways through the code that none before them goes;
 * they take the place of those that were kept before.
 *
 * @param {string} path the variable
 * @param {string} target
 * @param {string} corpus
 * @param {string} learned
 */
async function keep(path, target, corpus, learned) {
  const [control, merged] = [join(FOLDER, "corpus", `${target}.ways`), `${learned}-merged`];
  for (const it of [control, merged]) rmSync(it, { recursive: true, force: true });
  mkdirSync(merged);
  const options = ["-set_cover_merge=1", `-merge_control_file=${control}`];
  await fuzz(path, target, [merged, learned], options);
  /** @type {{ file: string, ways: Set<string> }[]} */
  const all = [];
  const [nFiles, , ...lines] = readFileSync(control, "utf8").split("\n");
  const files = lines.slice(0, Number(nFiles));
  for (const line of lines) {
    const [, number, ways] = /^FT (\d+) (.+)$/.exec(line) ?? [];
    const file = files[Number(number)];
    if (ways && file) all.push({ file, ways: new Set(ways.split(" ")) });
  }
  for (const it of [control, merged]) rmSync(it, { recursive: true, force: true });

  const isNamed = (/** @type {string} */ file) => !/^[0-9a-f]{40}$/.test(basename(file));
  const known = new Set(all.filter((it) => isNamed(it.file)).flatMap((it) => [...it.ways]));
  const kept = [];
  while (kept.length < MAX_KEPT) {
    let best = { file: "", n: 0 };
    for (const { file, ways } of all) {
      for (const way of ways) if (known.has(way)) ways.delete(way);
      if (ways.size > best.n) best = { file, n: ways.size };
    }
    if (best.n === 0) break;
    for (const way of all.find((it) => it.file === best.file)?.ways ?? []) known.add(way);
    kept.push(readFileSync(best.file));
  }
  for (const it of readdirSync(corpus)) if (!isNamed(it)) rmSync(join(corpus, it));
  for (const it of kept) {
    writeFileSync(join(corpus, createHash("sha1").update(it).digest("hex")), it);
  }
  const bytes = kept.reduce((sum, it) => sum + it.length, 0);
  say(`${target}: ${kept.length} of ${all.length} files are kept, ${bytes} bytes`);
}
