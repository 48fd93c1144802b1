// @ts-check
//
// Holds the crates that this repository depends on to deny.toml: licences, sources, and those that are known
// to be harmful. npm run deny
import { ensureCargoDeny } from "./setup/cargo-tools.mjs";
import { Refusal, runMain, say } from "./setup/log.mjs";
import { collect, collectOrRefuse } from "./setup/run.mjs";
import { ensureRust } from "./setup/rust.mjs";

await runMain(async () => {
  await ensureRust();
  const env = {
    ...process.env,
    PATH: [...(await ensureCargoDeny()), process.env["PATH"]].join(":"),
  };
  const deny = (/** @type {string[]} */ ...args) => ["deny", ...args];
  const rules = deny("--offline", "check", "licenses", "bans", "sources");
  await collectOrRefuse("A crate breaks a rule of deny.toml, see above.", "cargo", rules, { env });
  say("licences, bans and sources: ok");

  const { ok: isThere, output } = await collect("cargo", deny("fetch", "db"), { env });
  if (!isThere) {
    const reason = output.trim().split("\n").at(-1);
    return say(`advisories: not looked at, since their database can't be had: ${reason}`);
  }
  const { ok, output: found } = await collect("cargo", deny("check", "advisories"), { env });
  if (!ok) throw new Refusal(`${found}\nA crate has an advisory, see above.`);
  say("advisories: ok");
});
