// @ts-check
import { canInstallPackages, installPackages } from "./debian.mjs";
import { Refusal } from "./log.mjs";
import { findOnPath, isExecutable } from "./run.mjs";

const USUAL_BROWSERS = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/snap/bin/chromium",
  "/opt/google/chrome/chrome",
];
const USUAL_DRIVERS = ["/usr/lib/chromium-browser/chromedriver", "/usr/lib/chromium/chromedriver"];

/** @returns {Promise<string>} the path of a Chromium or Chrome */
export async function ensureBrowser() {
  return ensureProgram(findBrowser, {
    package: "chromium",
    why: "The browser tests need Chromium or Chrome, and none was found.",
    advice: "Install Chrome or Chromium, or name one in the variable CHROME_PATH, then try again.",
  });
}

/** @returns {Promise<string>} the path of chromedriver, through which wasm-pack runs its tests */
export async function ensureWebdriver() {
  return ensureProgram(findDriver, {
    package: "chromium-driver",
    why: "The SDK's tests need chromedriver, and none was found.",
    advice:
      "Install the chromedriver of your browser's version (on macOS: brew install chromedriver), " +
      "or name one in the variable CHROMEDRIVER, then try again.",
  });
}

function findBrowser() {
  return (
    named("CHROME_PATH") ??
    findOnPath("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome") ??
    USUAL_BROWSERS.find(isExecutable)
  );
}

function findDriver() {
  return named("CHROMEDRIVER") ?? findOnPath("chromedriver") ?? USUAL_DRIVERS.find(isExecutable);
}

/**
 * A program that the user has named; a name that leads nowhere is an error, not a wish.
 *
 * @param {string} variable
 */
function named(variable) {
  const path = process.env[variable];
  if (!path) return undefined;
  if (!isExecutable(path)) throw new Refusal(`${variable} names ${path}, which can't be run.`);
  return path;
}

/**
 * @param {() => string | undefined} find
 * @param {{ package: string, why: string, advice: string }} missing
 */
async function ensureProgram(find, missing) {
  const found = find();
  if (found !== undefined) return found;
  if (!canInstallPackages()) throw new Refusal(`${missing.why} ${missing.advice}`);
  await installPackages([missing.package], missing.why);
  const installed = find();
  if (installed === undefined) throw new Refusal(`${missing.why} ${missing.advice}`);
  return installed;
}
