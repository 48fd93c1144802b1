// @ts-check
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Refusal, say } from "./log.mjs";

/** Outside of the checkout, so that a fresh clone finds what an earlier one has built. */
export const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "whoshere");

/** A lock without a number in it is about to be written, or its disk was full. */
const UNWRITTEN_EXPIRES_MS = 10_000;

/** No step takes longer; an older lock was left by a process id that something else has now. */
const LOCK_EXPIRES_MS = 60 * 60_000;

/**
 * A folder of the cache, built if it isn't there yet.
 *
 * It is built under another name and renamed when it is complete. So a folder that exists is a
 * whole one, however an earlier run ended.
 *
 * @param {string} name with the version in it, so that a new version is a new folder
 * @param {(folder: string, finalPath: string) => Promise<void>} build fills the folder
 * @returns {Promise<string>} the folder's path
 */
export async function cached(name, build) {
  const finalPath = join(cacheDir, name);
  if (existsSync(finalPath)) return finalPath;
  return withLock(async () => {
    if (existsSync(finalPath)) return finalPath;
    clearLeftovers();
    const folder = join(cacheDir, `${unfinishedPrefix(process.pid)}${name}`);
    mkdirSync(folder, { recursive: true });
    await build(folder, finalPath);
    renameSync(folder, finalPath);
    return finalPath;
  });
}

/**
 * Lets one process at a time install or build things: `npm start` and `npm test` may run side by side.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(work) {
  const lock = join(cacheDir, "lock");
  mkdirSync(cacheDir, { recursive: true });
  for (let attempt = 0; !tryLock(lock); attempt += 1) {
    if (attempt === 0) say("Another process is installing or building; waiting for it.");
    await sleep(500);
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** @param {string} lock */
function tryLock(lock) {
  if (isAbandoned(lock)) rmSync(lock, { force: true });
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    if (code === "EEXIST") return false;
    throw new Refusal(`${lock} can't be written (${code}): its folder must belong to you.`);
  }
}

/** @param {string} lock */
function isAbandoned(lock) {
  try {
    const owner = Number.parseInt(readFileSync(lock, "utf8"), 10);
    const age = Date.now() - statSync(lock).mtimeMs;
    if (!Number.isInteger(owner)) return age > UNWRITTEN_EXPIRES_MS;
    return age > LOCK_EXPIRES_MS || !isRunning(owner);
  } catch {
    return false;
  }
}

/** Removes what interrupted runs have left half built. */
function clearLeftovers() {
  for (const entry of readdirSync(cacheDir)) {
    const owner = /^unfinished-(\d+)-/.exec(entry)?.[1];
    const isLeftover = owner !== undefined && !isRunning(Number(owner));
    if (!isLeftover) continue;
    try {
      rmSync(join(cacheDir, entry), { recursive: true, force: true });
    } catch {
      // A compiler of that run may still be writing into it; then a later run removes it.
    }
  }
}

/** @param {number} pid */
function unfinishedPrefix(pid) {
  return `unfinished-${pid}-`;
}

/** @param {number} pid */
function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process may not be signalled, but it runs.
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}
