// @ts-check
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { Refusal } from "./log.mjs";
import { repoRoot } from "./versions.mjs";

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd] default: the repository's root, so that its pinned toolchain applies
 * @property {NodeJS.ProcessEnv} [env] default: this process's own
 * @property {number} [timeoutMs] after which the command is killed and counts as failed
 */

/**
 * Runs a command that takes seconds or minutes, and collects what it prints.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<{ ok: boolean, output: string }>} both output streams, in the order printed
 */
export function collect(command, args, { cwd = repoRoot, env = process.env, timeoutMs } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: timeoutMs,
    });
    /** @type {Buffer[]} */
    const chunks = [];
    child.stdout.on("data", (chunk) => chunks.push(chunk));
    child.stderr.on("data", (chunk) => chunks.push(chunk));
    const output = () => Buffer.concat(chunks).toString("utf8");
    const release = endTogether(child);
    child.on("error", (error) => {
      release();
      resolve({ ok: false, output: `${output()}${error.message}\n` });
    });
    child.on("close", (code) => {
      release();
      resolve({ ok: code === 0, output: output() });
    });
  });
}

/**
 * Takes a child along when this process is told to end, so that nothing goes on compiling unseen.
 *
 * @param {import("node:child_process").ChildProcess} child
 * @returns {() => void} to be called when the child has ended
 */
function endTogether(child) {
  const signals = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);
  /** @param {NodeJS.Signals} signal */
  const end = (signal) => {
    release();
    child.kill(signal);
    process.kill(process.pid, signal);
  };
  const release = () => {
    for (const signal of signals) process.off(signal, end);
  };
  for (const signal of signals) process.on(signal, end);
  return release;
}

/**
 * Like {@link collect}, but a failure shows the whole output and ends the script.
 *
 * @param {string} failure the sentence that ends the script, for the case that it fails
 * @param {string} command
 * @param {string[]} args
 * @param {RunOptions} [options]
 */
export async function collectOrRefuse(failure, command, args, options) {
  const { ok, output } = await collect(command, args, options);
  if (!ok)
    throw new Refusal(`$ ${[command, ...args].join(" ")}\n${output.trimEnd()}\n\n${failure}`);
  return output;
}

/**
 * Asks a quick question of a command; `undefined` if it is missing or says no.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string | undefined} what it printed, trimmed
 */
export function ask(command, args, env = process.env) {
  const { status, stdout } = spawnSync(command, args, {
    cwd: repoRoot,
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return status === 0 ? stdout.trim() : undefined;
}

/**
 * The first of some commands that PATH has.
 *
 * @param {...string} names
 * @returns {string | undefined} its full path
 */
export function findOnPath(...names) {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
}

/** @param {string} path */
export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
