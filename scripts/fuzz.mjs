// @ts-check
//
// Looks for bytes that break a target of tests/fuzz: npm run fuzz -- TARGET [SECONDS]
// What it finds is in tests/fuzz/cargo-fuzz/artifacts; a find belongs into the corpus, with its fix.
import { spawn } from "node:child_process";
import { cpSync, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { ensureCargoFuzz } from "./setup/cargo-tools.mjs";
import { Refusal, runMain } from "./setup/log.mjs";
import { ensureRust } from "./setup/rust.mjs";
import { repoRoot } from "./setup/versions.mjs";

const TARGETS = ["frames", "keys", "room", "token", "token-keys"];

await runMain(async () => {
  const [target = "", seconds = "60"] = process.argv.slice(2);
  if (!TARGETS.includes(target)) {
    throw new Refusal(`"${target}" is not one of ${TARGETS.join(", ")}.`);
  }
  if (!/^[1-9]\d{0,5}$/.test(seconds)) throw new Refusal(`"${seconds}" is no number of seconds.`);
  await ensureRust();
  const cargoFuzz = await ensureCargoFuzz();

  const folder = join(repoRoot, "tests/fuzz/cargo-fuzz");
  // The fuzzer writes what it learns where it reads, and not all of that is worth keeping.
  const learned = join(folder, "corpus", target);
  mkdirSync(learned, { recursive: true });
  cpSync(join(repoRoot, "tests/fuzz/corpus", target), learned, { recursive: true });
  const options = [`-max_total_time=${seconds}`, "-max_len=1024", "-print_final_stats=1"];
  // There is no unsafe code for a sanitizer to watch, and without one the project's own toolchain will do.
  const args = ["fuzz", "run", "--sanitizer", "none", "--fuzz-dir", folder, target, learned, "--"];
  const env = { ...process.env, PATH: [...cargoFuzz, process.env.PATH].join(delimiter) };
  const child = spawn("cargo", [...args, ...options], {
    cwd: folder,
    stdio: "inherit",
    env: { ...env, RUSTC_BOOTSTRAP: "1" },
  });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  if (code !== 0) throw new Refusal(`The fuzzer ended with ${code}, see above.`);
});
