// @ts-check
import { Refusal, say } from "./log.mjs";
import { collect, collectOrRefuse, findOnPath } from "./run.mjs";

/** Whether Debian's packages can be installed here without asking anybody for a password. */
export function canInstallPackages() {
  return process.getuid?.() === 0 && findOnPath("apt-get") !== undefined;
}

/**
 * @param {string[]} packages
 * @param {string} why the sentence that goes before
 */
export async function installPackages(packages, why) {
  if (!canInstallPackages()) {
    throw new Refusal(`${why} Install ${packages.join(" and ")} with apt-get, then try again.`);
  }
  say(`${why} Installing ${packages.join(" and ")} with apt-get.`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  // Another apt may hold the lock, on a machine that has just been started for instance.
  const patience = ["-o", "DPkg::Lock::Timeout=300"];
  await collect("apt-get", [...patience, "update"], { env });
  await collectOrRefuse(
    `apt-get could not install ${packages.join(" and ")}.`,
    "apt-get",
    [...patience, "install", "-y", "--no-install-recommends", ...packages],
    { env },
  );
}
