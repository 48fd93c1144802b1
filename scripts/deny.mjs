// @ts-check
//
// Holds the crates that this repository depends on to deny.toml: licences, sources, and those that are known
// to be harmful. npm run deny
import { join } from "node:path";
import { ensureCargoDeny } from "./setup/cargo-tools.mjs";
import { Refusal, runMain, say } from "./setup/log.mjs";
import { collect, collectOrRefuse } from "./setup/run.mjs";
import { ensureRust } from "./setup/rust.mjs";
import { repoRoot } from "./setup/versions.mjs";

/** Each with a lock file of its own: the workspace, and what only the fuzzers need. */
const MANIFESTS = ["Cargo.toml", "tests/fuzz/cargo-fuzz/Cargo.toml"];

await runMain(async () => {
  await ensureRust();
  const env = {
    ...process.env,
    PATH: [...(await ensureCargoDeny()), process.env["PATH"]].join(":"),
  };
  const deny = (/** @type {string} */ manifest, /** @type {string[]} */ ...args) => [
    ...["deny", "--offline", "--manifest-path", join(repoRoot, manifest)],
    ...["--config", join(repoRoot, "deny.toml"), "check", ...args],
  ];
  for (const manifest of MANIFESTS) {
    // Those of other systems aren't here before they are asked for.
    const fetch = ["fetch", "--locked", "--manifest-path", manifest];
    await collectOrRefuse("The crates can't be had, see above.", "cargo", fetch);
    const rules = deny(manifest, "licenses", "bans", "sources");
    await collectOrRefuse("A crate breaks a rule of deny.toml, see above.", "cargo", rules, {
      env,
    });
    say(`licences, bans and sources of ${manifest}: ok`);
  }

  const { ok: isThere, output } = await collect("cargo", ["deny", "fetch", "db"], {
    env,
    timeoutMs: 120_000,
  });
  if (!isThere) {
    const reason = output.trim().split("\n").at(-1);
    return say(`advisories: not looked at, since their database can't be had: ${reason}`);
  }
  for (const manifest of MANIFESTS) {
    const { ok, output: found } = await collect("cargo", deny(manifest, "advisories"), { env });
    if (!ok) throw new Refusal(`${found}\nA crate of ${manifest} has an advisory, see above.`);
    say(`advisories of ${manifest}: ok`);
  }
});
