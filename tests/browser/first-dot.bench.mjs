// @ts-check
//
// How long a reader waits for the first dot on a cold load with a slow processor and network, beside a
// page that does the same by hand with Socket.IO's client.
//
//   node --test tests/browser/first-dot.bench.mjs
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { Server } from "socket.io";
import { launchBrowser } from "../support/browser.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

const RUNS = 11;
const SLOWDOWN = 4;
/** What Chromium's developer tools call fast 3G. */
const NETWORK = {
  offline: false,
  latency: 562.5,
  downloadThroughput: (1.6 * 1024 * 1024 * 0.9) / 8,
  uploadThroughput: (750 * 1024 * 0.9) / 8,
};
/** The published build: `npm run build:release` makes it. */
const SDK = "client-wasm/pkg-release";
const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
};

/** By hand: no heartbeats of its own, no dedupe, no grace, no colors, so that the comparison is fair to it. */
const BY_HAND = `
  import { io } from "socket.io-client";
  const socket = io(location.origin, { transports: ["websocket"], query: { name: "alice" } });
  const list = document.querySelector("#bar").appendChild(document.createElement("ul"));
  socket.on("roster", (names) => {
    list.replaceChildren(...names.map((name) => {
      const dot = Object.assign(document.createElement("li"), { className: "presence-dot" });
      dot.textContent = name;
      return dot;
    }));
  });
`;
/** What every page begins with: it notes when the frame with the first dot has been made. */
const HEAD = `<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">
<body><div id="bar"></div><script>
  new MutationObserver((_, observer) => {
    if (!document.querySelector(".presence-dot")) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => { window.firstDot = performance.now(); }));
  }).observe(document, { childList: true, subtree: true });
</script>`;
const STYLES = `<link rel="stylesheet" href="/whoshere.css">`;
const PRELOAD = `<link rel="preload" href="/whoshere_bg.wasm" as="fetch" crossorigin>`;
const PAGES = {
  "Socket.IO, by hand": "/by-hand",
  "whoshere, one file": "/one-file",
  "whoshere, WASM beside it": "/beside",
  "whoshere, WASM beside it and preloaded": "/preloaded",
};

/** @type {Map<string, { type: string, body: Buffer }>} */
const files = new Map();
/** @type {import("../support/relay.mjs").Relay} */
let relay;
/** @type {import("playwright-core").Browser} */
let browser;
const web = createServer((request, response) => {
  const file = files.get(request.url ?? "/");
  if (file === undefined) return void response.writeHead(404).end();
  response.writeHead(200, { "content-type": file.type, "content-encoding": "gzip" });
  response.end(file.body);
});
const sockets = new Server(web, { transports: ["websocket"], serveClient: false });
sockets.on("connection", (socket) => {
  socket.join("document:42");
  sockets.to("document:42").emit("roster", [socket.handshake.query.name]);
});

before(async () => {
  await new Promise((resolve) => web.listen(0, "127.0.0.1", () => resolve(undefined)));
  [relay, browser] = await Promise.all([
    startRelay({ args: ["--origin", origin()] }),
    launchBrowser(),
  ]);
  /** @param {string} contents */
  const bundled = async (contents) => {
    const stdin = { contents, resolveDir: "." };
    const result = await build({ stdin, bundle: true, minify: true, format: "esm", write: false });
    return result.outputFiles[0]?.contents ?? new Uint8Array();
  };
  const options = { url: relay.url, key: "document:42", token: mintToken("alice") };
  const start = (/** @type {string} */ from) => `
    import { connect } from "${from}";
    connect(${JSON.stringify(options)}).then((here) => here.bar("#bar"));
  `;
  serve("/by-hand.js", await bundled(BY_HAND));
  serve("/one-file.js", await bundled(start(`./${SDK}/dist/whoshere.js`)));
  serve("/beside.js", await bundled(start(`./${SDK}/index.js`)));
  for (const file of ["whoshere.css", "whoshere_bg.wasm"]) {
    serve(`/${file}`, readFileSync(join(SDK, file)));
  }
  serve("/by-hand", `${HEAD}<script type="module" src="/by-hand.js"></script>`);
  serve("/one-file", `${HEAD}${STYLES}<script type="module" src="/one-file.js"></script>`);
  serve("/beside", `${HEAD}${STYLES}<script type="module" src="/beside.js"></script>`);
  serve("/preloaded", `${HEAD}${STYLES}${PRELOAD}<script type="module" src="/beside.js"></script>`);
});
after(async () => {
  await browser?.close();
  sockets.close();
  await relay?.stop();
});

test("the first dot on a cold load", async () => {
  /** @type {Record<string, number[]>} */
  const times = {};
  for (let run = 0; run < RUNS; run += 1) {
    for (const [name, path] of Object.entries(PAGES)) {
      times[name] ??= [];
      times[name].push(await firstDot(path));
    }
  }
  for (const [name, all] of Object.entries(times)) {
    const sorted = all.toSorted((a, b) => a - b);
    assert.ok(sorted.every((it) => it > 0));
    const at = (/** @type {number} */ part) => sorted[Math.floor(part * (RUNS - 1))]?.toFixed(0);
    console.log(`${name}: median ${at(0.5)} ms, ${at(0)} to ${at(1)} ms`);
  }
});

/**
 * Loads the page in a browser that has seen nothing yet.
 *
 * @param {string} path
 * @returns {Promise<number>} ms from the navigation's beginning to the frame with the first dot
 */
async function firstDot(path) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const cdp = await context.newCDPSession(page);
  await cdp.send("Network.enable");
  await cdp.send("Network.emulateNetworkConditions", NETWORK);
  await cdp.send("Emulation.setCPUThrottlingRate", { rate: SLOWDOWN });
  await page.goto(`${origin()}${path}`);
  const ms = await page
    .waitForFunction("window.firstDot", undefined, { polling: 250 })
    .then((it) => it.jsonValue());
  await context.close();
  return Number(ms);
}

function origin() {
  const { port } = /** @type {import("node:net").AddressInfo} */ (web.address());
  return `http://127.0.0.1:${port}`;
}

/**
 * @param {string} path
 * @param {string | Uint8Array} content
 */
function serve(path, content) {
  const type = TYPES[/** @type {keyof typeof TYPES} */ (extname(path) || ".html")];
  files.set(path, { type, body: gzipSync(content, { level: 9 }) });
}
