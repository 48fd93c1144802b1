// @ts-check
//
// Starts the real relay on a free port of this machine, and signs tokens for it.
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const REPO_ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The relay's program. */
export const BINARY = join(
  process.env.CARGO_TARGET_DIR ?? join(REPO_ROOT, "target"),
  "release/whoshere-relay",
);
const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 10_000;

/** The secret that relays are started with and that tokens are signed with, unless a test says otherwise. */
export const SECRET = "the secret of the tests, which is long enough";

/**
 * @typedef {object} RelayOptions
 * @property {string[]} [args] further flags, for example `["--grace", "1s"]`
 * @property {number} [port] default 0: a free one
 * @property {string} [secret] default {@link SECRET}
 * @property {Record<string, string | undefined>} [env] further variables; `undefined` takes one away
 */

/**
 * Starts a relay and waits until it listens. The caller must `stop` it.
 *
 * @param {RelayOptions} [options]
 * @returns {Promise<Relay>}
 */
export async function startRelay({ args = [], port = 0, secret = SECRET, env = {} } = {}) {
  const child = spawn(BINARY, args, {
    cwd: REPO_ROOT,
    env: {
      ...process.env,
      WHOSHERE_LISTEN: `127.0.0.1:${port}`,
      WHOSHERE_SECRET: secret,
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    log += text;
  });
  const lines = createInterface({ input: child.stdout });
  let metrics = "";
  const started = new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      metrics = /^metrics on (.+)$/.exec(line)?.[1] ?? metrics;
      const address = /^listening on (https?:.+)$/.exec(line)?.[1];
      if (address !== undefined) resolve(address);
    });
    child.once("error", (error) => reject(new Error(`${BINARY}: ${error.message}`)));
    child.once("exit", (code) => reject(new Error(`the relay ended with ${code}: ${log}`)));
    setTimeout(
      reject,
      START_TIMEOUT_MS,
      new Error("the relay doesn't say that it listens"),
    ).unref();
  });
  return new Relay(child, await started, metrics, () => log);
}

/** A running relay. */
export class Relay {
  #child;
  #log;
  #ended;

  /**
   * @param {import("node:child_process").ChildProcess} child
   * @param {string} http
   * @param {string} metrics
   * @param {() => string} log
   */
  constructor(child, http, metrics, log) {
    this.#child = child;
    this.#log = log;
    this.#ended = once(child, "close");
    /** The port it listens on. */
    this.port = Number(new URL(http).port);
    /** The address of its HTTP half, without a slash at the end. */
    this.http = http;
    /** The address of its metrics, if it was started with `--metrics-listen`. */
    this.metrics = metrics;
    /** The address of its WebSocket. */
    this.url = `${http.replace("http", "ws")}/v1/presence`;
  }

  /** Everything that it has logged so far. */
  get log() {
    return this.#log();
  }

  /** The memory that it occupies, in bytes. Linux only. */
  get residentBytes() {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  /** How many files it has open, its sockets among them. Linux only. */
  get openFiles() {
    return readdirSync(`/proc/${this.#child.pid}/fd`).length;
  }

  /**
   * Sends it a signal and doesn't wait.
   *
   * @param {NodeJS.Signals} name
   */
  signal(name) {
    this.#child.kill(name);
  }

  /**
   * Ends it and waits until it has ended. Does nothing if it has.
   *
   * @param {NodeJS.Signals} [signal] default SIGTERM; SIGKILL leaves it no time for goodbyes
   * @returns {Promise<number | null>} its exit code; `null` if a signal ended it
   */
  async stop(signal = "SIGTERM") {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return exitCode;
    this.#child.kill(signal);
    const impatience = setTimeout(() => this.#child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    const [code] = await this.#ended;
    clearTimeout(impatience);
    return code;
  }
}

/**
 * What a token says. Fields that are `undefined` are left out.
 *
 * @typedef {object} Claims
 * @property {unknown} [sub] the user's id
 * @property {unknown} [name] the user's name; the relay takes the id if there is none
 * @property {unknown} [color]
 * @property {unknown} [avatar]
 * @property {unknown} [info]
 * @property {unknown} [keys] default `["*"]`
 * @property {unknown} [can] what may be done with the keys
 * @property {unknown} [last_seen] false if it may not be kept when the user viewed something
 * @property {unknown} [can] default: missing, which is `["join", "observe", "pulse"]`
 * @property {unknown} [exp] seconds since 1970; default in an hour
 */

/**
 * Signs a token for {@link SECRET}.
 *
 * @param {string | Claims} claims a user's id, or the claims
 * @param {{ secret?: string | Buffer, algorithm?: "HS256" | "HS512" | "none", header?: object }} [options]
 * @returns {string}
 */
export function mintToken(claims, { secret = SECRET, algorithm = "HS256", header } = {}) {
  const all = {
    keys: ["*"],
    exp: Math.floor(Date.now() / 1000) + 3600,
    ...(typeof claims === "string" ? { sub: claims } : claims),
  };
  /** @param {unknown} part */
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const signed = `${encode({ alg: algorithm, typ: "JWT", ...header })}.${encode(all)}`;
  if (algorithm === "none") return `${signed}.`;
  const hash = algorithm === "HS256" ? "sha256" : "sha512";
  return `${signed}.${createHmac(hash, secret).update(signed).digest("base64url")}`;
}
