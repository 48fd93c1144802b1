// @ts-check
//
// The packed package through the bundlers that people use, none of which is configured for it: each builds
// the same pages, which must work under the strictest policy. esbuild is in packaging.test.mjs.
// And what those say of it who check packages.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import ts from "typescript";
import { buildClient } from "../../scripts/build-client.mjs";
import { ensureBundlers } from "../../scripts/setup/npm-packages.mjs";
import { collect } from "../../scripts/setup/run.mjs";
import { Stage } from "../support/browser.mjs";
import { hasAlice, installPackage, openPage, STRICT } from "../support/package.mjs";
import { startRelay } from "../support/relay.mjs";

const stage = new Stage();
/** An application's folder, inside of the bundlers' own, whose packages it finds so. */
let app = "";
/** Where the package is packed, and where it is installed. @type {ReturnType<typeof installPackage>} */
let files;
/** Serves that folder. @type {import("../support/relay.mjs").Relay} */
let relay;

const SOURCES = {
  connect: `
    import { connect } from "whoshere";
    const token = () => fetch("/dev/token?user=alice").then((it) => it.text());
    const here = await connect({ url: "/v1/presence", key: "page:bundlers", token });
    here.bar(document.body);
    here.flash(document.querySelector("#flash"));
  `,
  react: `
    import { createElement } from "react";
    import { createRoot } from "react-dom/client";
    import { AvatarBar, PresenceProvider } from "whoshere/react";
    import "whoshere/element";
    const token = () => fetch("/dev/token?user=alice").then((it) => it.text());
    const options = { url: "/v1/presence", key: "page:bundlers", token };
    createRoot(document.body.appendChild(document.createElement("main"))).render(
      createElement(PresenceProvider, { options }, createElement(AvatarBar)),
    );
  `,
  testing: `
    import { createKit } from "whoshere/testing";
    const kit = await createKit();
    const here = await kit.connect({ key: "page:bundlers", user: "alice" });
    kit.user("bob").opens("page:bundlers");
    await kit.tick();
    const names = here.members.map(({ name }) => name);
    kit.close();
    document.body.append(names.join(" and "));
  `,
};
const NAMES = /** @type {(keyof typeof SOURCES)[]} */ (Object.keys(SOURCES));

before(async () => {
  const bundlers = await ensureBundlers();
  app = mkdtempSync(join(bundlers, "app-"));
  files = installPackage(app, (await buildClient("smallest")).folder);
  writeFileSync(join(app, "package.json"), '{ "type": "module", "private": true }');
  for (const name of NAMES) writeFileSync(join(app, `${name}.js`), SOURCES[name]);
  relay = await startRelay({ args: ["--dev", "--demo", app] });
});
after(async () => {
  await relay?.stop();
  rmSync(app, { recursive: true, force: true });
});

test("Vite builds it", async (t) => {
  const { build } = await load("vite");
  await build({
    ...viteConfig(),
    build: {
      outDir: "vite",
      copyPublicDir: false,
      rollupOptions: { input: inputs(), output: { entryFileNames: "[name].js" } },
    },
  });
  for (const name of NAMES) await works(t, name, { script: `/vite/${name}.js` });
});

test("Vite's development server serves it", async (t) => {
  const { createServer } = await load("vite");
  const proxy = { target: relay.http, ws: true };
  const server = await createServer({
    ...viteConfig(),
    appType: "mpa",
    server: { host: "127.0.0.1", port: 0, proxy: { "/v1": proxy, "/dev/": proxy } },
  });
  t.after(() => server.close());
  await server.listen();
  const [at = ""] = server.resolvedUrls.local;
  // Its own client, which reloads pages, has a worker made of a blob.
  const policy = `${STRICT}; worker-src blob:`;
  for (const name of NAMES) {
    await works(t, name, { at: at.replace(/\/$/, ""), policy, script: `/${name}.js` });
  }
});

test("webpack builds it", async (t) => {
  const { default: webpack } = await load("webpack");
  const stats = await new Promise((resolve, reject) => {
    webpack(
      {
        mode: "production",
        context: app,
        entry: inputs(),
        output: { path: join(app, "webpack"), filename: "[name].js" },
        performance: { hints: false },
      },
      (/** @type {unknown} */ error, /** @type {any} */ it) =>
        error ? reject(error) : resolve(it),
    );
  });
  assert.deepEqual(stats.toJson({ all: false, errors: true, warnings: true }).errors, []);
  assert.deepEqual(stats.toJson({ all: false, errors: true, warnings: true }).warnings, []);
  for (const name of NAMES) await works(t, name, { script: `/webpack/${name}.js` });
});

test("Rollup builds it", async (t) => {
  const { rollup } = await load("rollup");
  const { nodeResolve } = await load("@rollup/plugin-node-resolve");
  /** @type {string[]} */
  const warnings = [];
  // React is no ES module, which is no affair of the package's.
  const { react: _, ...input } = inputs();
  const bundle = await rollup({
    input,
    plugins: [nodeResolve({ browser: true })],
    onwarn: (/** @type {{ message: string }} */ it) => warnings.push(it.message),
  });
  await bundle.write({ dir: join(app, "rollup"), format: "es" });
  await bundle.close();
  assert.deepEqual(warnings, []);
  for (const name of NAMES.filter((it) => it in input)) {
    await works(t, name, { script: `/rollup/${name}.js` });
  }
});

test("Next.js renders it on the server and builds it for the page", async (t) => {
  const root = join(app, "next-app");
  mkdirSync(join(root, "app"), { recursive: true });
  const sources = {
    "next.config.mjs": `export default {
      output: "export", basePath: "/next", distDir: "../next", turbopack: { root: "${join(app, "..")}" },
    };`,
    "app/layout.jsx": `import "whoshere/whoshere.css";
      export const metadata = { title: "Next.js", icons: { icon: "/icon.svg" } };
      export default ({ children }) => <html lang="en"><body>{children}</body></html>;`,
    "app/page.jsx": `import { Presence } from "./presence";
      export default () => <main><h1>Next.js</h1><Presence /></main>;`,
    "app/presence.jsx": `"use client";
      import { AvatarBar, PresenceProvider, useMembers } from "whoshere/react";
      import "whoshere/element";
      const token = () => fetch("/dev/token?user=alice").then((it) => it.text());
      const options = { url: "/v1/presence", key: "page:bundlers", token };
      const Count = () => <output>{useMembers().length}</output>;
      export const Presence = () => (
        <PresenceProvider options={options}><AvatarBar /><Count /></PresenceProvider>
      );`,
  };
  for (const [name, text] of Object.entries(sources)) writeFileSync(join(root, name), text);
  const next = createRequire(join(app, "x")).resolve("next/dist/bin/next");
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1" };
  const { ok, output } = await collect(process.execPath, [next, "build"], { cwd: root, env });
  assert.ok(ok, output);
  const viewer = await stage.visit(t, "alice", { at: relay.http, path: "/next/index.html" });
  await hasAlice(viewer);
  await viewer.page.waitForFunction('customElements.get("whos-here")');
  await viewer.page.getByText("1", { exact: true }).waitFor();
  const html = await (await fetch(`${relay.http}/next/index.html`)).text();
  assert.match(html, /<div><\/div><output>0<\/output>/, "nobody is here on a server");
});

test("publint finds nothing about it", async () => {
  const { publint } = await load("publint");
  const { messages } = await publint({ pkgDir: files.installed, pack: false, strict: true });
  assert.deepEqual(messages, []);
});

test("attw finds its types wherever an ES module can be imported", async () => {
  const attw = join(app, "../node_modules/@arethetypeswrong/cli/dist/index.js");
  const notCode = ["--exclude-entrypoints", "whoshere.css", "whoshere_bg.wasm"];
  const args = [attw, files.tarball, "--profile", "esm-only", ...notCode];
  const { ok, output } = await collect(process.execPath, args);
  assert.ok(ok, output);
  assert.match(output, /"whoshere\/react"/);
});

const TYPED = {
  all: `
    import { connect, type Here } from "whoshere";
    import "whoshere/element";
    import { AvatarBar, useMembers } from "whoshere/react";
    import { usePresence } from "whoshere/vue";
    import { presence } from "whoshere/svelte";
    import { createKit } from "whoshere/testing";
    import german from "whoshere/locales/de.js";
    export const options = { url: "/v1/presence", key: "a", token: "b", messages: german };
    export const here: Promise<Here> = connect(options);
    export const names: string[] = useMembers().map((it) => it.name);
    export const bar = AvatarBar({ max: 3, className: "bar" });
    export const count: number = usePresence(() => options).members.value.length;
    export const end: () => void = presence(options).self.subscribe((it) => it?.name);
    export const kit = createKit();
    export const state: string | undefined = document.createElement("whos-here").here?.state;
    // @ts-expect-error
    export const wrong: number = presence(options).self;
  `,
  standalone: `
    import { connect } from "whoshere/standalone";
    export const here = connect({ url: "/v1/presence", key: "a", token: "b" });
    export const state: string | undefined = document.createElement("whos-here").here?.state;
  `,
};

for (const [name, source] of Object.entries(TYPED)) {
  test(`its types hold, with a bundler and without: ${name}`, () => {
    const path = join(app, `${name}.ts`);
    writeFileSync(path, source);
    const { ESNext, NodeNext } = ts.ModuleKind;
    const { Bundler, NodeNext: AsNode } = ts.ModuleResolutionKind;
    for (const [module, moduleResolution] of /** @type {const} */ ([
      [ESNext, Bundler],
      [NodeNext, AsNode],
    ])) {
      const program = ts.createProgram([path], {
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        target: ts.ScriptTarget.ES2022,
        types: [],
        module,
        moduleResolution,
      });
      // React's and Vue's own are no affair of ours.
      const own = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(app));
      assert.ok(own.length > 1);
      const problems = own.flatMap((it) => program.getSemanticDiagnostics(it));
      assert.deepEqual(
        problems.map((it) => ts.flattenDiagnosticMessageText(it.messageText, " ")),
        [],
      );
    }
  });
}

/** The pages' modules. */
function inputs() {
  return Object.fromEntries(NAMES.map((name) => [name, join(app, `${name}.js`)]));
}

function viteConfig() {
  // Quiet about "use client", which every React library says, and sockets of pages that are gone.
  return { root: app, base: "./", configFile: false, logLevel: "silent", publicDir: false };
}

/**
 * @param {string} name of a package beside the application
 * @returns {Promise<any>}
 */
function load(name) {
  return import(pathToFileURL(createRequire(join(app, "x")).resolve(name)).href);
}

/**
 * Opens a page with one of the modules, which must do its work.
 *
 * @param {import("node:test").TestContext} t
 * @param {typeof NAMES[number]} name
 * @param {{ script: string, at?: string, policy?: string }} page
 */
async function works(t, name, { script, at = relay.http, policy }) {
  const body = `<script type="module" src="${script}"></script>`;
  const viewer = await openPage(stage, t, { app, at, body, policy });
  if (name === "testing") await viewer.page.getByText("alice and bob", { exact: true }).waitFor();
  else await hasAlice(viewer);
  // An import for its effect alone, which a bundler may think has none.
  if (name === "react") await viewer.page.waitForFunction('customElements.get("whos-here")');
}
