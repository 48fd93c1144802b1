// @ts-check
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { cached } from "./cache.mjs";
import { say } from "./log.mjs";
import { collect, findOnPath } from "./run.mjs";

const TIMEOUT_MS = 180_000;
const PROGRAMS = ["usr/bin", "usr/sbin", "bin", "sbin"];
/** Debian has what servers run where only root looks. */
const SYSTEM_FOLDERS = ["/usr/sbin", "/sbin"];

/**
 * @typedef {{ path: string, env: NodeJS.ProcessEnv }} Program where it is, and what it needs to run
 */

/**
 * A program that servers have and developers may not. Where PATH has none it is unpacked from Debian's
 * packages into the cache: installed, nginx or Prometheus would start and listen, and that needs root.
 *
 * @param {string} name
 * @param {string} [from] the package, if it has another name
 * @returns {Promise<Program | { missing: string }>}
 */
export async function ensureDebianProgram(name, from = name) {
  const found = findOnPath(name) ?? inFolders(SYSTEM_FOLDERS, name);
  if (found !== undefined) return { path: found, env: {} };
  for (const needed of ["apt-get", "dpkg-deb"]) {
    if (findOnPath(needed) === undefined) return { missing: `there is no ${name} here` };
  }
  try {
    const release = /^VERSION_CODENAME=(\w+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
    const folder = await cached(`${name}-of-${release}-${process.arch}`, async (unfinished) => {
      say(`${name} is missing; unpacking Debian's package ${from} into the cache, once.`);
      await unpack(from, unfinished);
      // Of Prometheus the rest is 200 MB.
      for (const it of within(unfinished, [...PROGRAMS, "usr/share"])) {
        for (const entry of readdirSync(it)) {
          if (entry !== name) rmSync(join(it, entry), { recursive: true });
        }
      }
    });
    const path = inFolders(within(folder, PROGRAMS), name);
    if (path === undefined) return { missing: `Debian's ${from} has no ${name}` };
    const libraries = [...within(folder, ["usr/lib", "lib"])].flatMap((it) =>
      readdirSync(it)
        .filter((entry) => entry.endsWith("-linux-gnu"))
        .flatMap((entry) => [join(it, entry), join(it, entry, "systemd")]),
    );
    const units = within(folder, ["usr/lib/systemd/system", "lib/systemd/system"]);
    return {
      path,
      env: {
        ...(libraries.length > 0 && { LD_LIBRARY_PATH: libraries.join(delimiter) }),
        // With an empty end those of the system, too.
        ...(units.length > 0 && { SYSTEMD_UNIT_PATH: `${units.join(":")}:` }),
      },
    };
  } catch (error) {
    return { missing: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * @param {string} from
 * @param {string} folder
 */
async function unpack(from, folder) {
  const archives = join(folder, "archives");
  mkdirSync(join(archives, "partial"), { recursive: true });
  // Whatever of what it needs isn't here comes along. Without root nothing may be locked.
  const options = [
    ...["-o", `Dir::Cache::archives=${archives}/`, "-o", "Debug::NoLocking=1"],
    ...["-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=2"],
  ];
  const args = [...options, "install", "--download-only", "-y", "--no-install-recommends", from];
  const download = () => collect("apt-get", args, { timeoutMs: TIMEOUT_MS });
  let { ok, output } = await download();
  if (!ok && process.getuid?.() === 0) {
    await collect("apt-get", ["-o", "DPkg::Lock::Timeout=60", "update"], { timeoutMs: TIMEOUT_MS });
    ({ ok, output } = await download());
  }
  if (!ok) throw new Error(`apt-get has no ${from}: ${output.trim().split("\n").at(-1)}`);
  for (const archive of readdirSync(archives).filter((it) => it.endsWith(".deb"))) {
    const unpacked = await collect("dpkg-deb", ["-x", join(archives, archive), folder]);
    if (!unpacked.ok) throw new Error(`${archive} can't be unpacked: ${unpacked.output.trim()}`);
  }
  rmSync(archives, { recursive: true });
}

/**
 * @param {string} folder
 * @param {string[]} paths
 */
function within(folder, paths) {
  return paths.map((it) => join(folder, it)).filter((it) => existsSync(it));
}

/**
 * @param {string[]} folders
 * @param {string} name
 */
function inFolders(folders, name) {
  return folders.map((it) => join(it, name)).find((it) => existsSync(it));
}
