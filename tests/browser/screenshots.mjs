// @ts-check
//
// Takes pictures of the document's page for people to look at: node tests/browser/screenshots.mjs OUT_DIR
// The relay and the SDK must have been built.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launchBrowser, startDemo } from "../support/browser.mjs";
import { Peer } from "../support/peer.mjs";
import { startProxy } from "../support/proxy.mjs";
import { mintToken } from "../support/relay.mjs";

const NAMES = [
  "bob",
  "Carol",
  "dave",
  "Erin",
  "Frank",
  "grace",
  "Heidi",
  "ivan",
  "Judy",
  "ken",
  "Mia",
];
const PHONES = { 390: { width: 390, height: 844 }, 320: { width: 320, height: 568 } };
const DESKTOP = { width: 1000, height: 640 };

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("usage: node tests/browser/screenshots.mjs OUT_DIR");
  process.exit(1);
}
mkdirSync(folder, { recursive: true });

const relay = await startDemo(["--grace", "4s"]);
const browser = await launchBrowser();
let nDocs = 0;

for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
  const look = { viewport: DESKTOP, colorScheme };
  await shoot(`one-${colorScheme}`, { look });
  await shoot(`five-${colorScheme}`, { look, names: NAMES.slice(0, 4) });
  await shoot(`twelve-${colorScheme}`, { look, names: NAMES });
  await shoot(`twelve-list-${colorScheme}`, { look, names: NAMES, act: openList });
  await shoot(`flash-${colorScheme}`, { look, names: NAMES.slice(0, 2), areNews: true });
  await shoot(`flash-many-${colorScheme}`, { look, names: NAMES, areNews: true, act: focusFlash });
  await shoot(`name-${colorScheme}`, { look, names: NAMES.slice(0, 4), act: pointAt });
}
for (const [width, viewport] of Object.entries(PHONES)) {
  const look = { viewport, deviceScaleFactor: 2, hasTouch: true };
  await shoot(`phone-${width}`, { look, names: NAMES });
  await shoot(`phone-${width}-list`, { look, names: NAMES, act: openList });
  const long = ["x".repeat(120), "bob", "Carol", "dave", "Erin"];
  await shoot(`phone-${width}-flash`, { look, names: long, areNews: true });
  await shoot(`phone-${width}-name`, { look, names: ["x".repeat(120), "bob"], act: pointAt });
}
await shoot("flash-forced-colors", {
  look: { viewport: DESKTOP, forcedColors: "active" },
  names: NAMES,
  areNews: true,
});
await shoot("flash-rtl", { look: { viewport: DESKTOP }, names: NAMES, areNews: true, act: turn });
await shoot("reconnecting", { look: { viewport: DESKTOP }, names: NAMES.slice(0, 4), act: cut });
await shoot("others-reconnecting", {
  look: { viewport: DESKTOP },
  names: NAMES.slice(0, 4),
  act: dim,
});
await shoot("stale", { look: { viewport: DESKTOP }, names: NAMES.slice(0, 4), act: cutForLong });
await shoot("right-to-left", {
  look: { viewport: DESKTOP },
  names: ["علي", "سارة", ...NAMES],
  act: turn,
});
await shoot("odd-names", {
  look: { viewport: DESKTOP },
  names: ["<img src=x>", "👩‍👩‍👧 family", "李小龍", "é́́"],
  areNews: true,
});
await browser.close();
await relay.stop();

/**
 * @typedef {object} Scene
 * @property {import("playwright-core").BrowserContextOptions} look
 * @property {string[]} [names] of those beside alice
 * @property {boolean} [areNews] whether they come after her
 * @property {(page: import("playwright-core").Page, proxy: import("../support/proxy.mjs").TcpProxy) =>
 *   Promise<void>} [act]
 *
 * @param {string} name
 * @param {Scene} scene
 */
async function shoot(name, { look, names = [], areNews = false, act }) {
  nDocs += 1;
  const doc = nDocs === 1 ? "1" : `1-${nDocs}`;
  const proxy = await startProxy(relay.port);
  const context = await browser.newContext(look);
  const page = await context.newPage();
  /** @type {Peer[]} */
  const peers = [];
  const fill = async () => {
    for (const name of names) {
      const peer = await Peer.open(relay);
      await peer.hello(mintToken({ sub: name, name }));
      await peer.join(`document:${doc}`, { at: "goals" });
      peers.push(peer);
    }
  };
  if (!areNews) await fill();
  await page.goto(`${proxy.http}/docs/${doc}?user=alice`);
  await page.getByText(`${areNews ? 1 : names.length + 1} here`, { exact: true }).waitFor();
  if (areNews) {
    await fill();
    await peers.at(-1)?.close(1001);
    await page.getByText(`${names.length} here`, { exact: true }).waitFor();
  }
  await act?.(page, proxy);
  // Whoever comes in has faded in by then, and no flash is gone.
  await page.waitForTimeout(600);
  await page.screenshot({ path: join(String(folder), `${name}.png`) });
  await context.close();
  for (const peer of peers) peer.destroy();
  proxy.stop();
  console.log(name);
}

/** @param {import("playwright-core").Page} page */
async function openList(page) {
  await page.locator(".presence-more-button").click();
  await page.locator(".presence-list").waitFor();
}

/** @param {import("playwright-core").Page} page */
async function pointAt(page) {
  await page.locator(".presence-dot").nth(0).hover();
  await page.locator(".presence-dot[data-named]").waitFor();
}

/** @param {import("playwright-core").Page} page */
async function focusFlash(page) {
  await page.keyboard.press("Shift");
  await page.locator(".presence-flash").first().focus();
}

/**
 * @param {import("playwright-core").Page} page
 * @param {import("../support/proxy.mjs").TcpProxy} proxy
 */
async function cut(page, proxy) {
  proxy.drop();
  await page.locator("#status[data-state=reconnecting]").waitFor();
}

/**
 * @param {import("playwright-core").Page} page
 * @param {import("../support/proxy.mjs").TcpProxy} proxy
 */
async function cutForLong(page, proxy) {
  proxy.drop();
  await page.locator(".presence[data-state=stale]").waitFor();
}

/** @param {import("playwright-core").Page} page */
async function dim(page) {
  // With a grace as short as here nobody would be seen so.
  await page.evaluate(() => {
    for (const dot of [...document.querySelectorAll(".presence-dot")].slice(2, 4)) {
      dot.setAttribute("data-state", "reconnecting");
    }
  });
}

/** @param {import("playwright-core").Page} page */
async function turn(page) {
  await page.evaluate(() => document.documentElement.setAttribute("dir", "rtl"));
  await openList(page);
}
