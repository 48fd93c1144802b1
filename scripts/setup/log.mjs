// @ts-check
import { realpathSync } from "node:fs";
import { pathToFileURL } from "node:url";

/**
 * Something is missing or wrong, and the message tells the reader what to do about it.
 * It is printed without a stack trace: the reader needs the sentence, not our call stack.
 */
export class Refusal extends Error {}

/** Tells what is being done and why, in one sentence. @param {string} sentence */
export function say(sentence) {
  console.log(sentence);
}

/**
 * Runs a script's main function; a {@link Refusal} becomes its sentence on stderr and exit code 1.
 *
 * @param {() => Promise<void>} main
 */
export async function runMain(main) {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof Refusal ? error.message : error);
    process.exitCode = 1;
  }
}

/** Whether a module is the script that node was started with. @param {string} moduleUrl */
export function isMain(moduleUrl) {
  const script = process.argv[1];
  return script !== undefined && moduleUrl === pathToFileURL(realpathSync(script)).href;
}

/** @param {number} startedAt from `performance.now()` */
export function secondsSince(startedAt) {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
}
