// @ts-check
//
// Takes the pictures of the README and of docs/looks.md: the demo in each look, with people who are away, who
// are being waited for, and who come. The relay and the SDK must have been built, as `npm test -- browser` does.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { runMain, say } from "../../scripts/setup/log.mjs";
import { repoRoot } from "../../scripts/setup/versions.mjs";
import { launchBrowser, startDemo } from "../support/browser.mjs";
import { Peer } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

const FOLDER = join(repoRoot, "docs/looks");
const NAMES = ["bob", "Carol", "dave", "Erin", "Frank", "grace", "Heidi"];
const KEY = "document:1";
const WIDE = { width: 560, height: 360 };

/** @type {Record<string, import("playwright-core").BrowserContextOptions>} */
const LOOKS = {
  light: { viewport: WIDE, colorScheme: "light" },
  dark: { viewport: WIDE, colorScheme: "dark" },
  "forced-colors": { viewport: WIDE, colorScheme: "dark", forcedColors: "active" },
  "right-to-left": { viewport: WIDE },
  narrow: { viewport: { width: 320, height: 460 }, hasTouch: true },
};

await runMain(async () => {
  mkdirSync(FOLDER, { recursive: true });
  const relay = await startDemo();
  const browser = await launchBrowser();
  /** @param {string} name */
  const enter = async (name) => {
    const peer = await Peer.open(relay);
    await peer.hello(mintToken({ sub: name, name }));
    await peer.join(KEY, { at: "goals" });
    return peer;
  };
  const open = async ([name, look] = ["", {}]) => {
    const page = await (await browser.newContext(look)).newPage();
    await page.goto(`${relay.http}/docs/1?user=alice`);
    if (name === "right-to-left") {
      await page.evaluate(() => document.documentElement.setAttribute("dir", "rtl"));
    }
    return { name, page };
  };
  const [bob, carol] = [await enter("bob"), await enter("Carol")];
  const pages = await Promise.all(Object.entries(LOOKS).map((it) => open(it)));
  for (const name of NAMES.slice(2)) await enter(name);
  bob.send({ attention: { away: true } });
  carol.reset();
  for (const { page } of pages) {
    await page.locator(".presence-dot[data-state=reconnecting]").waitFor();
  }
  // Those who came have flashed by now; this one is to be seen.
  await enter("Judy");
  for (const { name, page } of pages) {
    // Both in one picture would hide each other.
    const first = page.locator(".presence-dot").first();
    if (name === "narrow") await first.tap();
    else if (name === "dark") await first.hover();
    else await page.locator(".presence-more-button").click();
    await page.locator(".presence [popover]").waitFor();
    await page.locator(".presence-flash", { hasText: "Judy" }).waitFor();
  }
  // Who comes in has faded in.
  await pages[0]?.page.waitForTimeout(600);
  for (const { name, page } of pages) {
    await page.screenshot({ path: join(FOLDER, `${name}.png`) });
    say(`docs/looks/${name}.png`);
  }

  const [alice, ada] = await Promise.all(
    ["alice", "ada"].map(async (name) => {
      const viewport = { width: 1000, height: 640 };
      const page = await (await browser.newContext({ viewport })).newPage();
      await page.goto(`${relay.http}/docs/2?user=${name}`);
      return page;
    }),
  );
  const cursor = alice?.locator(".presence-cursor-label");
  await alice?.getByText("2 here").waitFor();
  await Peer.join(relay, "grace", "document:2");
  await alice?.locator(".presence-flash", { hasText: "grace" }).waitFor();
  await ada?.locator("#goal-2 strong").selectText();
  // The first moves may be made before anybody is known to be there.
  for (let x = 0; (await cursor?.count()) !== 1; x = (x + 4) % 40) {
    await ada?.locator("#goal-2").hover({ position: { x: 300 + x, y: 12 } });
    await ada?.waitForTimeout(100);
  }
  await alice?.waitForTimeout(600);
  await alice?.screenshot({ path: join(FOLDER, "../screenshot.png") });
  say("docs/screenshot.png");
  await browser.close();
  await relay.stop();
});
