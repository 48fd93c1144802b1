// @ts-check
//
// A Chromium whose tabs can be hidden. Playwright makes all of its pages believe that they are in front and
// keeps their timers going, so this one is started by hand, and spoken to over its debugging port.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import WebSocket from "ws";
import { ensureBrowser } from "../../scripts/setup/browser.mjs";
import { sleep } from "./peer.mjs";

const ARGS = [
  "--headless=new",
  "--no-sandbox",
  "--no-first-run",
  "--disable-gpu",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--remote-debugging-port=0",
];

/**
 * Starts a browser. The caller must `stop` it.
 *
 * @param {string[]} [args]
 * @returns {Promise<TabbedBrowser>}
 */
export async function startTabbedBrowser(args = []) {
  const profile = mkdtempSync(join(tmpdir(), "whoshere-tabs-"));
  const all = [...ARGS, `--user-data-dir=${profile}`, ...args, "about:blank"];
  const child = spawn(await ensureBrowser(), all, { stdio: ["ignore", "ignore", "pipe"] });
  const port = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the browser ended with ${code}`)));
    createInterface({ input: child.stderr }).on("line", (line) => {
      const found = /^DevTools listening on ws:\/\/[^:]+:(\d+)\//.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
  });
  return new TabbedBrowser(child, `http://127.0.0.1:${port}`, profile);
}

/** A browser with one window. */
export class TabbedBrowser {
  #child;
  #address;
  #profile;

  /**
   * @param {import("node:child_process").ChildProcess} child
   * @param {string} address of its debugging port
   * @param {string} profile its folder
   */
  constructor(child, address, profile) {
    this.#child = child;
    this.#address = address;
    this.#profile = profile;
  }

  /**
   * Opens a tab in front of the others.
   *
   * @param {string} url
   * @returns {Promise<Tab>}
   */
  async open(url) {
    const answer = await fetch(`${this.#address}/json/new?${encodeURIComponent(url)}`, {
      method: "PUT",
    });
    const { id } = await answer.json();
    return new Tab(this.#address, id);
  }

  async stop() {
    const exited = once(this.#child, "exit");
    this.#child.kill();
    await exited;
    await removeFolder(this.#profile);
  }
}

/**
 * Removes a folder that somebody may still write to for a moment, as a browser's helpers do.
 *
 * @param {string} folder
 */
async function removeFolder(folder) {
  for (let nTries = 1; ; nTries += 1) {
    try {
      return rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (nTries === 50) throw error;
      await sleep(100);
    }
  }
}

/** A tab. */
export class Tab {
  #browser;
  #id;

  /**
   * @param {string} browser the address of its debugging port
   * @param {string} id
   */
  constructor(browser, id) {
    this.#browser = browser;
    this.#id = id;
  }

  /** Where it is, as the browser says: the page isn't asked. @returns {Promise<string>} */
  async url() {
    const answer = await fetch(`${this.#browser}/json/list`);
    const targets = /** @type {{ id: string, url: string }[]} */ (await answer.json());
    return targets.find(({ id }) => id === this.#id)?.url ?? "";
  }

  /** Brings it to the front. */
  async show() {
    await fetch(`${this.#browser}/json/activate/${this.#id}`);
  }

  /**
   * Leaves the page for another one, or for the one before, as a reader would.
   *
   * A page in the back-forward cache that is looked into by a debugger is thrown out of it. So the debugger
   * is gone before the page is, and isn't there again before the page has been left.
   *
   * @param {string} step for example `location.assign("/")` or `history.back()`
   */
  async go(step) {
    const before = await this.url();
    await this.evaluate(`void setTimeout(() => ${step}, 200)`);
    while ((await this.url()) === before) await sleep(50);
    await sleep(200);
  }

  /**
   * Runs an expression in the page. The debugger is there for no longer than that.
   *
   * @param {string} expression
   * @returns {Promise<any>} its value, as JSON; what it promised, if it is a promise
   */
  async evaluate(expression) {
    const address = `${this.#browser.replace(/^http/, "ws")}/devtools/page/${this.#id}`;
    const socket = new WebSocket(address, [], { perMessageDeflate: false });
    await once(socket, "open");
    const params = { expression, awaitPromise: true, returnByValue: true };
    socket.send(JSON.stringify({ id: 1, method: "Runtime.evaluate", params }));
    const [message] = await once(socket, "message");
    socket.terminate();
    const { result, error } = JSON.parse(String(message));
    if (error !== undefined) throw new Error(error.message);
    if (result.exceptionDetails !== undefined) {
      throw new Error(result.exceptionDetails.exception?.description ?? expression);
    }
    return result.result.value;
  }
}
