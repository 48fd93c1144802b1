// @ts-check
//
// The packed package, as a page gets it: through a bundler, from a script tag, and on a server.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import { buildClient } from "../../scripts/build-client.mjs";
import { NOT_CALLED, withOwnHelpers } from "../../scripts/glue.mjs";
import { Stage } from "../support/browser.mjs";
import { installPackage, STRICT, showsAlice } from "../support/package.mjs";
import { startRelay } from "../support/relay.mjs";

const stage = new Stage();
/** An application's folder, with the package installed. */
const app = mkdtempSync(join(tmpdir(), "whoshere-packaging-"));
/** Serves that folder. @type {import("../support/relay.mjs").Relay} */
let relay;
const installed = join(app, "node_modules/whoshere");

const BY_CONNECT = `
  import { connect } from "whoshere";
  const token = () => fetch("/dev/token?user=alice").then((it) => it.text());
  const here = await connect({ url: "/v1/presence", key: "page:packaging", token });
  here.bar(document.body);
  here.flash(document.querySelector("#flash"));
`;
const BY_ELEMENT = `
  import "whoshere/element";
  document.body.insertAdjacentHTML("beforeend", \`<whos-here url="/v1/presence" key="page:packaging"
    token-url="/dev/token?user=alice" flash></whos-here>\`);
`;
const BY_TESTING = `
  import { createKit } from "whoshere/testing";
  const kit = await createKit();
  const here = await kit.connect({ key: "page:packaging", user: "alice" });
  here.bar(document.body);
  await kit.tick();
`;
const SOURCES = { connect: BY_CONNECT, element: BY_ELEMENT, testing: BY_TESTING };

before(async () => {
  // What is published, which the other tests of this stage have not seen.
  const { folder } = await buildClient("smallest");
  installPackage(app, folder);
  relay = await startRelay({ args: ["--dev", "--demo", app] });
});
after(async () => {
  await relay?.stop();
  rmSync(app, { recursive: true, force: true });
});

for (const [name, source] of Object.entries(SOURCES)) {
  for (const splitting of [false, true]) {
    const how = splitting ? "in chunks" : "as one file";
    test(`esbuild needs no configuration: ${name}, ${how}`, async (t) => {
      const outdir = join(app, `${name}-${splitting}`);
      const entry = join(app, `${name}.js`);
      writeFileSync(entry, source);
      await build({
        entryPoints: [entry],
        outdir,
        bundle: true,
        format: "esm",
        splitting,
        target: "es2022",
      });
      const body = `<script type="module" src="${name}-${splitting}/${name}.js"></script>`;
      await showsAlice(stage, t, { app, at: relay.http, body });
    });
  }
}

test("the single file needs nothing beside it", async (t) => {
  const body = `<script type="module" src="node_modules/whoshere/dist/whoshere.js"></script>
     <whos-here url="/v1/presence" key="page:packaging" token-url="/dev/token?user=alice" flash></whos-here>`;
  await showsAlice(stage, t, { app, at: relay.http, body });
});

test("the modules work as they are from a script tag", async (t) => {
  const body = `<script type="module" src="node_modules/whoshere/element.js"></script>
     <whos-here url="/v1/presence" key="page:packaging" token-url="/dev/token?user=alice" flash></whos-here>`;
  await showsAlice(stage, t, { app, at: relay.http, body });
});

test("with what is published two pages see each other come, type and go", async (t) => {
  const visit = (/** @type {string} */ user) => {
    const html = `<!doctype html><html lang="en"><head>
      <meta http-equiv="Content-Security-Policy" content="${STRICT}">
      <link rel="icon" href="/icon.svg"></head><body><main>
      <whos-here url="/v1/presence" key="page:published" token-url="/dev/token?user=${user}" flash></whos-here>
      <textarea data-presence-typing></textarea></main>
      <script type="module" src="node_modules/whoshere/element.js"></script></body></html>`;
    writeFileSync(join(app, `${user}.html`), html);
    return stage.visit(t, user, { at: relay.http, path: `/${user}.html` });
  };
  const alice = await visit("alice");
  await alice.page.getByText("1 here", { exact: true }).waitFor();
  const flashed = async (/** @type {string} */ text) =>
    alice.page.locator(".presence-flash", { hasText: text }).waitFor();
  const joined = flashed("bob joined");
  const bob = await visit("bob");
  await joined;
  for (const { page } of [alice, bob]) {
    await page.getByText("2 here", { exact: true }).waitFor();
    await page.locator("textarea + .presence-typing").waitFor({ state: "attached" });
  }
  await bob.page.locator("textarea").press("x");
  await alice.page.getByText("bob is typing…", { exact: true }).waitFor();
  // Who leaves before that has never been here.
  await alice.page
    .locator(".presence-said > div", { hasText: "bob joined" })
    .waitFor({ state: "attached" });
  const left = flashed("bob left");
  await bob.page.close();
  await left;
  await alice.page.getByText("1 here", { exact: true }).waitFor();
});

test("init takes the module from another origin", async (t) => {
  const wasm = readFileSync(join(installed, "whoshere_bg.wasm"));
  /** @type {(string | undefined)[]} */
  const asked = [];
  const elsewhere = createServer((request, response) => {
    asked.push(request.url);
    const headers = { "access-control-allow-origin": "*", "content-type": "application/wasm" };
    response.writeHead(200, headers).end(wasm);
  });
  t.after(() => elsewhere.close());
  elsewhere.listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (elsewhere.address());
  const at = `http://127.0.0.1:${port}`;
  // As it is for those who have no bundler, and through one.
  const web = join(app, "web.js");
  writeFileSync(web, `export * from "whoshere/web";`);
  await build({
    entryPoints: [web],
    outdir: join(app, "web"),
    bundle: true,
    format: "esm",
    external: ["*.wasm"],
  });
  for (const path of ["node_modules/whoshere/index.js", "web/web.js"]) {
    const script = BY_CONNECT.replace(
      '{ connect } from "whoshere"',
      `{ connect, init } from "./${path}"`,
    );
    const first = `await init("${at}/of-another/origin.wasm");`;
    const named = `init-${path.replaceAll("/", "-")}`;
    writeFileSync(join(app, named), script.replace(/(?=\n {2}const token)/, `\n${first}`));
    const policy = `${STRICT}; connect-src 'self' ${at}`;
    const body = `<script type="module" src="${named}"></script>`;
    await showsAlice(stage, t, { app, at: relay.http, body, policy });
  }
  assert.deepEqual(asked, ["/of-another/origin.wasm", "/of-another/origin.wasm"]);
});

test("nothing in the package makes code of text", () => {
  const scripts = filesIn(installed).filter((it) => it.endsWith(".js"));
  assert.ok(scripts.length > 10);
  for (const path of scripts) {
    assert.doesNotMatch(readFileSync(path, "utf8"), /\beval\(|\bFunction\(/, path);
  }
});

test("glue that calls what the module doesn't export any more is refused", () => {
  const glue = (/** @type {string} */ called) =>
    `function call(a) {\n    wasm.${called}(a);\n}\nfunction addHeapObject(obj) {\n}\n`;
  assert.match(withOwnHelpers(glue("call")), /wasm\.call\(a\)/);
  for (const name of NOT_CALLED) {
    assert.throws(() => withOwnHelpers(glue(name)), new RegExp(`exported: ${name}\\.`));
  }
});

test("on a server importing does nothing, and connecting says why it doesn't work", () => {
  const script = `
    import "whoshere/element";
    import { connect } from "whoshere";
    await connect({}).catch(({ code, message }) => console.log(code, message));
  `;
  const said = execFileSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: app,
    encoding: "utf8",
  });
  assert.equal(said.trim(), "load_failed whoshere works in a page, not on a server");
});

test("every name that the package exports leads to a file that is packed", () => {
  const { exports } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  const files = filesIn(installed).map((it) => `.${it.slice(installed.length)}`);
  for (const target of Object.values(exports).flatMap((it) =>
    Object.values(typeof it === "string" ? [it] : it),
  )) {
    const [start = "", end = ""] = String(target).split("*");
    assert.ok(
      files.some((it) => it.startsWith(start) && it.endsWith(end)),
      String(target),
    );
  }
});

/** @param {string} folder @returns {string[]} */
function filesIn(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesIn(path) : [path];
  });
}
