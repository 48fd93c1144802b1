// @ts-check
//
// The packed package, installed in an application's folder, and a page of that application.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What every page of ours works with. */
export const STRICT = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'";

/**
 * Packs the package and installs it.
 *
 * @param {string} app the application's folder
 * @param {string} [built] where it was built; default: where the release build is
 * @returns {{ tarball: string, installed: string }} where the one is and the other
 */
export function installPackage(app, built = "client-wasm/pkg") {
  const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", app], {
    cwd: built,
    encoding: "utf8",
  });
  const tarball = join(app, packed.trim());
  const installed = join(app, "node_modules/whoshere");
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);
  copyFileSync("www/icon.svg", join(app, "icon.svg"));
  return { tarball, installed };
}

/**
 * @typedef {object} AppPage
 * @property {string} app the application's folder
 * @property {string} at where it is served
 * @property {string} body
 * @property {string} [policy] default: {@link STRICT}
 */

/**
 * Opens a page of the application.
 *
 * @param {import("./browser.mjs").Stage} stage
 * @param {import("node:test").TestContext} t
 * @param {AppPage} page
 */
export function openPage(stage, t, { app, at, body, policy = STRICT }) {
  const html = `<!doctype html><html lang="en"><head>
    <meta http-equiv="Content-Security-Policy" content="${policy}">
    <link rel="icon" href="/icon.svg"></head><body><div id="flash"></div>${body}</body></html>`;
  writeFileSync(join(app, "app.html"), html);
  return stage.visit(t, "alice", { at, path: "/app.html" });
}

/**
 * Opens a page that must show alice's bar.
 *
 * @param {import("./browser.mjs").Stage} stage
 * @param {import("node:test").TestContext} t
 * @param {AppPage} page
 */
export async function showsAlice(stage, t, page) {
  await hasAlice(await openPage(stage, t, page));
}

/** @param {import("./browser.mjs").Viewer} viewer */
export async function hasAlice({ page }) {
  await page.locator('.presence-dot[data-name="alice"]').waitFor();
  await page.getByText("1 here", { exact: true }).waitFor();
}
