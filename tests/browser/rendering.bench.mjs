// @ts-check
//
// How much of a slow page's time a large, busy key takes, and what an idle page does.
//
//   node --test tests/browser/rendering.bench.mjs
import { test } from "node:test";
import { Stage } from "../support/browser.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

const N_MEMBERS = 1000;
const CHANGES_PER_SECOND = 50;
const SLOWDOWN = 4;
const MEASURED_MS = 10_000;
const FRAME_MS = 1000 / 60;

/** What Chromium calls the running of scripts. */
const SCRIPTING = new Set(["FunctionCall", "EvaluateScript", "TimerFire", "FireAnimationFrame"]);

/** @typedef {{ name: string, ph: string, ts: number, dur?: number, tdur?: number, pid: number, tid: number }} TraceEvent */
/** @typedef {{ scripting: number, processor: number, rendering: number }} Frame milliseconds; the processor's are of scripting */

const stage = new Stage();

test("a key of many that changes all the time", async (t) => {
  const key = stage.key(t);
  /** @type {Peer[]} */
  const peers = [];
  for (let i = 0; i < N_MEMBERS - 1; i += 50) {
    const batch = Array.from(
      { length: Math.min(50, N_MEMBERS - 1 - i) },
      (_, j) => `user-${i + j}`,
    );
    peers.push(...(await Promise.all(batch.map((user) => Peer.join(stage.relay, user, key)))));
  }
  const alice = await stage.blank(t, "alice");
  await alice.connect({ key, token: mintToken("alice") });
  await alice.page.getByText(`${N_MEMBERS.toLocaleString("en-GB")} here`).waitFor();
  let n = 0;
  for (const isOpen of [false, true]) {
    if (isOpen) await alice.page.locator(".presence-more-button").click();
    if (isOpen) await alice.page.locator(".presence-list").waitFor();
    const changes = setInterval(() => {
      n += 1;
      peers[(n * 7) % peers.length]?.send({ update: { key, meta: { n } } });
    }, 1000 / CHANGES_PER_SECOND);
    // What slows the page down stops it for longer where others want the processor, too; the time that the
    // processor needs at full speed hardly depends on them.
    const slowed = await traced(alice.page, MEASURED_MS);
    const atFullSpeed = await traced(alice.page, MEASURED_MS, 1);
    clearInterval(changes);
    console.log(`list ${isOpen ? "open" : "closed"}: ${summary(slowed, "scripting")}`);
    console.log(`  at full speed, processor's time: ${summary(atFullSpeed, "processor")}`);
  }
  await Promise.all(peers.map((peer) => peer.close()));
});

test("an idle page", async (t) => {
  const alice = await stage.visit(t, "alice");
  await stage.visit(t, "bob");
  await sleep(6000);
  const frames = await traced(alice.page, 25_000, 1);
  const busy = frames.filter((it) => it.scripting > 0).length;
  console.log(`scripts ran in ${busy} frames of 25 s, ${total(frames, "scripting").toFixed(1)} ms`);
});

/**
 * What the page's main thread did, by frame.
 *
 * @param {import("playwright-core").Page} page
 * @param {number} ms
 * @param {number} [rate] how many times slower than this machine
 */
async function traced(page, ms, rate = SLOWDOWN) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Emulation.setCPUThrottlingRate", { rate });
  /** @type {TraceEvent[]} */
  const events = [];
  cdp.on("Tracing.dataCollected", ({ value }) => events.push(.../** @type {any} */ (value)));
  const complete = new Promise((resolve) => cdp.once("Tracing.tracingComplete", resolve));
  await cdp.send("Tracing.start", {
    traceConfig: { includedCategories: ["devtools.timeline", "__metadata"] },
  });
  await page.evaluate(() => performance.mark("whoshere"));
  await sleep(ms);
  await cdp.send("Tracing.end");
  await complete;
  await cdp.detach();
  return framesOf(events);
}

/** @param {TraceEvent[]} events */
function framesOf(events) {
  // The page's renderer is the one whose main thread has run scripts.
  const scripts = events.filter((it) => it.name === "FunctionCall" || it.name === "EvaluateScript");
  const main = scripts.at(0);
  const own = events.filter((it) => it.pid === main?.pid && it.tid === main.tid && it.ph === "X");
  const start = Math.min(...own.map((it) => it.ts));
  /** @type {Map<number, Frame>} */
  const frames = new Map();
  /** @type {Record<"scripting" | "rendering", number>} until when it is counted already */
  const counted = { scripting: 0, rendering: 0 };
  for (const { name, ts, dur = 0, tdur = 0 } of own.sort((a, b) => a.ts - b.ts)) {
    const kind = SCRIPTING.has(name)
      ? "scripting"
      : ["UpdateLayoutTree", "Layout", "Paint", "PrePaint"].includes(name)
        ? "rendering"
        : undefined;
    if (kind === undefined || ts + dur <= counted[kind]) continue;
    const ms = (ts + dur - Math.max(ts, counted[kind])) / 1000;
    const at = Math.floor((ts - start) / 1000 / FRAME_MS);
    const frame = frames.get(at) ?? { scripting: 0, processor: 0, rendering: 0 };
    frame[kind] += ms;
    // One within another is in the other's.
    if (kind === "scripting" && ts >= counted[kind]) frame.processor += tdur / 1000;
    counted[kind] = ts + dur;
    frames.set(at, frame);
  }
  return [...frames.values()];
}

/**
 * @param {Frame[]} frames
 * @param {"scripting" | "processor"} kind
 */
function summary(frames, kind) {
  // In which there was anything to do.
  const sorted = frames
    .map((it) => it[kind])
    .filter((it) => it > 0)
    .toSorted((a, b) => a - b);
  const at = (/** @type {number} */ part) =>
    (sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(2);
  return (
    `scripting in ${sorted.length} frames, ` +
    `median ${at(0.5)} ms, 95 % below ${at(0.95)} ms, largest ${at(0.9999)} ms; ` +
    `${total(frames, kind).toFixed(0)} ms scripting and ${total(frames, "rendering").toFixed(0)} ms rendering in all`
  );
}

/**
 * @param {Frame[]} frames
 * @param {keyof Frame} kind
 */
function total(frames, kind) {
  return frames.reduce((sum, it) => sum + it[kind], 0);
}
