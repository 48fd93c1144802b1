// @ts-check
//
// Where the compiled module comes from unless `init` is told: from beside whoshere.js. In the package's
// folder for bundlers, not all of which know of such files, this file has it inside.

/** @returns {Promise<Response> | undefined} */
export default function packaged() {
  return undefined;
}
