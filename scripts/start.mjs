// @ts-check
//
// Builds what is missing and starts the relay with the demo. PORT chooses another port than 8080.
// package.json starts it with `exec`: npm's signals would end at the shell in between otherwise.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { buildClient } from "./build-client.mjs";
import { Refusal, runMain, say, secondsSince } from "./setup/log.mjs";
import { collectOrRefuse } from "./setup/run.mjs";
import { ensureRust } from "./setup/rust.mjs";
import { repoRoot } from "./setup/versions.mjs";

const HOST = "127.0.0.1";
const TARGET = process.env.CARGO_TARGET_DIR ?? join(repoRoot, "target");
const RELAY = join(TARGET, "release/whoshere-relay");
const SECRET = join(TARGET, "demo-secret");

await runMain(async () => {
  const port = portOf(process.env.PORT);
  // Found out now, and not after minutes of building.
  await refuseIfInUse(port);

  const startedAt = performance.now();
  await ensureRust();
  const notice = setTimeout(say, 1000, "Building; the first time this takes some minutes.");
  const client = await buildClient("release");
  await collectOrRefuse("The relay could not be built, see above.", "cargo", [
    "build",
    "--release",
    "--package=relay-server",
    "--bin=whoshere-relay",
  ]);
  clearTimeout(notice);
  say(`Everything is built (${secondsSince(startedAt)}).`);

  await runRelay(port, client.folder);
});

/**
 * @param {string | undefined} text
 * @returns {number}
 */
function portOf(text) {
  if (text === undefined || text === "") return 8080;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw new Refusal(`PORT is "${text}", it must be a number from 1 to 65535.`);
}

/** @param {number} port */
function refuseIfInUse(port) {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (/** @type {NodeJS.ErrnoException} */ error) => {
      const reason = error.code === "EADDRINUSE" ? "is in use" : `can't be used (${error.code})`;
      reject(new Refusal(`Port ${port} ${reason}; choose another one: PORT=8081 npm start`));
    });
    probe.listen(port, HOST, () => probe.close(resolve));
  });
}

/**
 * Runs the relay until it ends; how it ends is how this script ends.
 *
 * @param {number} port
 * @param {string} sdk folder of the built SDK
 * @returns {Promise<void>}
 */
function runRelay(port, sdk) {
  const demo = ["--demo", "www", "--sdk", sdk, "--last-seen", "document:*"];
  const args = ["--dev", "--listen", `${HOST}:${port}`, ...demo];
  const env = { ...process.env, WHOSHERE_SECRET: process.env.WHOSHERE_SECRET || demoSecret() };
  const relay = spawn(RELAY, args, { cwd: repoRoot, env, stdio: ["ignore", "pipe", "inherit"] });
  const asked = forwardSignals(relay);

  createInterface({ input: relay.stdout }).on("line", (line) => {
    say(line);
    if (line.includes("listening on http://")) printLinks(port);
  });

  return new Promise((resolve, reject) => {
    relay.once("error", (error) => {
      reject(new Refusal(`The relay could not be started: ${error.message}`));
    });
    relay.once("exit", (code, signal) => {
      if (code === 0 || (signal !== null && asked.has(signal))) resolve();
      else reject(new Refusal(`The relay ended with ${signal ?? `exit code ${code}`}, see above.`));
    });
  });
}

/** The same at every start, so that pages which are open go on when the demo is started again. */
function demoSecret() {
  if (!existsSync(SECRET)) {
    mkdirSync(dirname(SECRET), { recursive: true });
    writeFileSync(SECRET, randomBytes(32).toString("hex"), { mode: 0o600 });
  }
  return readFileSync(SECRET, "utf8");
}

/**
 * Passes on what ends this script, so that the relay can say goodbye to its connections. A relay
 * that is asked again, because it doesn't end, is killed.
 *
 * @param {import("node:child_process").ChildProcess} relay
 * @returns {Set<NodeJS.Signals>} the signals sent so far
 */
function forwardSignals(relay) {
  /** @type {Set<NodeJS.Signals>} */
  const sent = new Set();
  let firstAskedAt = Number.POSITIVE_INFINITY;
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.on(signal, () => {
      // One Ctrl-C arrives twice, from the terminal and from npm; later ones mean "now".
      const isImpatient = performance.now() - firstAskedAt > 1000;
      firstAskedAt = Math.min(firstAskedAt, performance.now());
      const passedOn = isImpatient ? "SIGKILL" : signal;
      sent.add(passedOn);
      relay.kill(passedOn);
    });
  }
  return sent;
}

/** @param {number} port */
function printLinks(port) {
  const page = `http://${HOST}:${port}/docs/1`;
  say(`
Open both of these, in two windows side by side:
  ${page}?user=alice
  ${page}?user=bob
Ctrl-C stops the relay.
`);
}
