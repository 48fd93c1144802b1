// @ts-check
//
// Runs every block of code in the papers for those who use whoshere: pages in a real browser on the real
// relay under a strict content security policy, servers' code with its own runtime, and the tokens that
// come out of it at the relay.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { sign } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { apiReference } from "../../scripts/api-docs.mjs";
import { ensurePythonPackages } from "../../scripts/setup/python.mjs";
import { Stage, until } from "../support/browser.mjs";
import { bundle } from "../support/bundle.mjs";
import { Peer } from "../support/peer.mjs";
import { mintToken, SECRET, startRelay } from "../support/relay.mjs";

/** @typedef {{ language: string, text: string, section: string }} Block */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SERVERS = "docs/tokens.md";
const PAPERS = [
  "README.md",
  "client-wasm/README.md",
  ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`),
].filter((path) => path.endsWith(".md"));
/** Its blocks for the shell build the whole project, which is what `npm test` does, too. */
const SHELL = ["README.md"];
/** What an operator types changes a whole machine; `tests/sockets/deploy.test.mjs` tries what it is about. */
const OTHERS = /** @type {Record<string, string[]>} */ ({
  "docs/operating.md": ["sh"],
  // What a server does; `tests/sockets/webhooks.test.mjs` runs it.
  "docs/webhooks.md": ["js", "python"],
});
/** How a page shows the component that a block exports. */
const MOUNTS = /** @type {Record<string, string>} */ ({
  jsx: `import { createElement, StrictMode } from "react"; import { createRoot } from "react-dom/client";
    createRoot(target).render(createElement(StrictMode, null, createElement(Example)));`,
  vue: `import { createApp } from "vue"; createApp(Example).mount(target);`,
  svelte: `import { mount } from "svelte"; mount(Example, { target });`,
});
const CSP = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'";

// Pages that a test serves have no address, and so might not dial the relay on this machine.
const stage = new Stage({ launch: { args: ["--disable-features=LocalNetworkAccessChecks"] } });

test("the reference is what the types say", () => {
  const paper = readFileSync(join(ROOT, "docs/api.md"), "utf8");
  assert.ok(paper === apiReference(), "it is stale: node scripts/api-docs.mjs writes it");
});

test("every link of the papers leads somewhere", () => {
  for (const path of PAPERS) {
    const text = readFileSync(join(ROOT, path), "utf8");
    for (const [, target = ""] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      assert.doesNotThrow(
        () => readFileSync(join(ROOT, dirname(path), target)),
        `${path}: ${target}`,
      );
    }
  }
});

test("every block of code is of a language that is run here", () => {
  for (const path of PAPERS) {
    const known =
      OTHERS[path] ??
      (path === SERVERS
        ? ["js", "python", "ruby", "php", "go", "rust", "sh"]
        : ["html", "css", "js", ...Object.keys(MOUNTS)]);
    if (SHELL.includes(path)) known.push("sh");
    for (const { language, text } of blocksOf(path)) {
      assert.ok(known.includes(language), `${path} has a block of "${language}":\n${text}`);
    }
  }
});

for (const path of PAPERS.filter((it) => it !== SERVERS && !(it in OTHERS))) {
  for (const [section, blocks] of sectionsOf(path)) {
    const scripts = blocks.filter(({ language }) => language === "js");
    const isMarkupAlone =
      scripts.length === 0 && blocks.some((it) => it.text.includes("<whos-here"));
    if (isMarkupAlone) scripts.push({ language: "js", text: "", section });
    for (const [index, { text }] of scripts.entries()) {
      test(`${path}, ${section}: example ${index + 1} runs`, async (t) => {
        const of = (/** @type {string} */ language) =>
          blocks.filter((it) => it.language === language).map((it) => it.text);
        await runInPage(t, text, of("html").join("\n"), of("css").join("\n"));
      });
    }
    for (const [index, { language, text }] of blocks.entries()) {
      const mount = MOUNTS[language];
      if (mount === undefined) continue;
      test(`${path}, ${section}: component ${index + 1} runs (${language})`, async (t) => {
        const script = await component(t, `Example.${language}`, text, mount);
        await openInPage(t, script, { hasBar: /<AvatarBar|use:bar/.test(text) });
      });
    }
  }
}

/**
 * @param {import("node:test").TestContext} t
 * @param {string} script
 * @param {string} html
 * @param {string} css
 */
async function runInPage(t, script, html, css) {
  const key = stage.key(t);
  const prelude = `import { connect } from "whoshere";
    const here = await connect({ url: "wss://relay.example/v1/presence", key: "${key}",
      token: () => fetch("/presence-token").then((response) => response.text()) });`;
  const whole = /\bhere = await\b|from "/.test(script) ? script : `${prelude}\n${script}`;
  // Those of the reference leave out where their functions come from.
  const imports = Object.entries({ connect: "whoshere", createKit: "whoshere/testing" })
    .filter(([name]) => whole.includes(`${name}(`) && !/^ *import .* from "/m.test(whole))
    .map(([name, from]) => `import { ${name} } from "${from}";\n`)
    .join("");
  const module = `${imports}${whole}`.replaceAll(
    /"\/?whoshere(?:\/([\w/]+?)(?:\.js)?)?"/g,
    (_, name) => `"/sdk/${name ?? "index"}.js"`,
  );
  await openInPage(t, module, { html, css, hasBar: /\.bar\(/.test(script) });
}

/**
 * A module that shows the component of a block.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} name of the block's file
 * @param {string} text
 * @param {string} mount
 */
async function component(t, name, text, mount) {
  const folder = mkdtempSync(join(tmpdir(), "whoshere-docs-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, name), text);
  const whole = `import Example from "./${name}";
    const target = document.querySelector("#presence");
    ${mount}`;
  return bundle(whole, folder);
}

/**
 * Opens a page of alice with an example in it, and lets bob come and go.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} script
 * @param {{ html?: string, css?: string, hasBar: boolean }} options
 */
async function openInPage(t, script, { html = "", css = "", hasBar }) {
  const key = stage.key(t);
  const viewer = await stage.blank(t, "alice");
  const { page } = viewer;
  /** @type {string[]} */
  const failures = [];
  page.on("console", (it) => it.type() === "assert" && failures.push(it.text()));
  const module = `${script}\n;window.done = true;`
    .replaceAll("wss://relay.example/v1/presence", stage.relay.url)
    .replaceAll(/document:(?=\{\w+\})/g, `${key}-`)
    .replaceAll('"document:42"', `"${key}"`);
  const body = html
    .replaceAll("/whoshere/", "/sdk/")
    .replaceAll("wss://relay.example/v1/presence", stage.relay.url)
    // The module that the example itself is.
    .replaceAll(/<script[^>]* src="\/page\.js"><\/script>/g, "")
    .concat('<div id="presence"></div><div id="flash-area"></div>');
  const styles = css === "" ? "" : '<link rel="stylesheet" href="/example.css">';
  const answers = /** @type {Record<string, [type: string, text: string]>} */ ({
    "/example": [
      "text/html",
      `<!doctype html><html lang="en"><title>example</title>${styles}${body}<script type="module" src="/example.js"></script>`,
    ],
    "/example.js": ["text/javascript", module],
    "/example.css": ["text/css", css],
    "/presence-token": ["text/plain", mintToken({ sub: "alice", keys: ["document:*"] })],
  });
  for (const [path, [contentType, text]] of Object.entries(answers)) {
    const headers = { "content-security-policy": `${CSP}; connect-src 'self' ${stage.relay.url}` };
    await page.route(`**${path}`, (it) => it.fulfill({ contentType, headers, body: text }));
  }
  await page.goto(`${stage.relay.http}/example`);
  const problems = () => [...viewer.problems, ...failures].join();
  const isDone = () => page.evaluate("window.done === true");
  await until("the example has run", async () => problems() !== "" || (await isDone()));
  assert.equal(problems(), "");
  if (hasBar) await page.locator(".presence[data-state=live]").first().waitFor();
  if (/<whos-here/.test(html)) {
    await until("the tag is live", () =>
      page.evaluate(
        () => /** @type {any} */ (document.querySelector("whos-here")).here?.state === "live",
      ),
    );
  }
  // Somebody comes, does something and goes, for all that listens.
  for (const it of [key, `${key}-42`]) {
    const bob = await Peer.join(stage.relay, "bob", it, { section: "goals" });
    bob.send({ update: { key: it, meta: { section: "risks" } } });
    bob.send({ leave: { key: it } });
    await bob.heartbeat();
    await bob.close(1000);
  }
  await page.waitForTimeout(200);
  assert.deepEqual(failures, []);
}

test("Express and Next.js: a handler answers with a token that the relay takes", async (t) => {
  const files = serverFiles(t);
  files.write("session.js", "export const currentUser = async (request) => request.user;");
  files.write("package.json", '{ "type": "module" }');
  process.env.WHOSHERE_SECRET = SECRET;
  const user = { id: 7, name: "Jürgen 😀" };

  const { sendPresenceToken } = await files.load("express.js");
  const response = fakeResponse();
  sendPresenceToken({ user }, response);
  assert.deepEqual(response.headers, { "Content-Type": "text/plain", "Cache-Control": "no-store" });
  await assertTaken(response.body, { id: "7", name: user.name });
  const refused = fakeResponse();
  sendPresenceToken({}, refused);
  assert.deepEqual([refused.status, refused.body], [401, ""]);

  const { GET } = await files.load("app/presence-token/route.js");
  const answer = await GET({ user });
  await assertTaken(await answer.text(), { id: "7", name: user.name });
  assert.equal((await GET({})).status, 401);
});

test("Django: the view answers with a token that the relay takes", async (t) => {
  const files = serverFiles(t);
  const django = await ensurePythonPackages("django", "tests/django/requirements.txt");
  if ("missing" in django) return t.skip(django.missing);
  files.write("urls.py", "urlpatterns = []\n");
  files.write(
    "run.py",
    `import os
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    ALLOWED_HOSTS=["testserver"],
    LOGIN_URL="/login",
    ROOT_URLCONF="urls",
    SECRET_KEY="of Django's own",
    WHOSHERE_SECRET=os.environ["WHOSHERE_SECRET"],
)
import django
django.setup()
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory
from presence_token import presence_token
request = RequestFactory().get("/presence-token")
request.user = AnonymousUser()
response = presence_token(request)
assert response.status_code == 302, response.status_code
assert response["Location"] == "/login?next=/presence-token", response["Location"]
assert b"." not in response.content
request.user = User(pk=7, username="juergen", first_name="Jürgen", last_name="😀")
response = presence_token(request)
assert response.status_code == 200, response.status_code
assert response["Content-Type"] == "text/plain", response["Content-Type"]
assert response["Cache-Control"] == "no-store"
print(response.content.decode())
`,
  );
  const token = files.run(t, [django.python, "run.py"], { PYTHONPATH: django.folder });
  if (token !== undefined) await assertTaken(token, { id: "7", name: "Jürgen 😀" });
});

test("Rails: the controller answers with a token that the relay takes", async (t) => {
  const files = serverFiles(t);
  files.write(
    "run.rb",
    `require "logger"
begin
  require "action_controller"
rescue LoadError => error
  puts "missing: #{error.message}"
  exit
end
User = Struct.new(:id, :name)
class ApplicationController < ActionController::Base
  private
  def current_user = request.env["user"]
  # Devise's.
  def authenticate_user! = current_user || head(:unauthorized)
end
require_relative "presence_tokens_controller"
def get(user)
  env = Rack::MockRequest.env_for("/presence-token", "user" => user)
  status, headers, body = PresenceTokensController.action(:show).call(env)
  [status, headers, body.each.to_a.join]
end
status, _, body = get(nil)
abort "anybody gets a token: #{status} #{body}" unless status == 401 && body == ""
status, headers, body = get(User.new(7, "Jürgen 😀"))
abort "#{status} #{headers}" unless status == 200 && headers["Cache-Control"] == "no-store"
abort headers["Content-Type"] unless headers["Content-Type"].start_with?("text/plain")
puts body`,
  );
  const token = files.run(t, ["ruby", "run.rb"]);
  if (token?.startsWith("missing: ")) return t.skip(token.trim());
  if (token !== undefined) await assertTaken(token, { id: "7", name: "Jürgen 😀" });
});

test("PHP: the function answers with a token that the relay takes", async (t) => {
  const files = serverFiles(t);
  const call = 'send_presence_token("7", "Jürgen 😀");';
  files.write("run.php", `<?php\nrequire __DIR__ . "/presence_token.php";\n${call}`);
  const token = files.run(t, ["php", "run.php"]);
  if (token !== undefined) await assertTaken(token, { id: "7", name: "Jürgen 😀" });
});

test("Go: the function answers with a token that the relay takes", async (t) => {
  const files = serverFiles(t);
  const imports = 'import (\n\t"fmt"\n\t"net/http/httptest"\n)';
  const send = 'sendPresenceToken(recorder, "7", "Jürgen 😀")';
  const body = `recorder := httptest.NewRecorder()\n\t${send}\n\tfmt.Print(recorder.Body)`;
  files.write("main.go", `package main\n\n${imports}\n\nfunc main() {\n\t${body}\n}\n`);
  const token = files.run(t, ["go", "run", "presence_token.go", "main.go"]);
  if (token !== undefined) await assertTaken(token, { id: "7", name: "Jürgen 😀" });
});

test("Rust: the function is the one that the relay's own tests call", () => {
  const blocks = blocksOf(SERVERS).filter(({ language }) => language === "rust");
  const path = join(ROOT, "relay-server/src/auth/tests/presence_token.rs");
  assert.deepEqual(
    blocks.map(({ text }) => text),
    [readFileSync(path, "utf8")],
  );
});

test("Another secret: the relay takes what either has signed", async (t) => {
  const files = serverFiles(t);
  const next = "the secret that comes after that one, as long";
  files.write("run.sh", `NEXT_SECRET='${next}'\n. ./secrets.sh\npwd`);
  const output = files.run(t, ["sh", "run.sh"]);
  if (output === undefined) return;
  const relay = await startRelay({
    args: ["--token-keys-file", join(output.trim(), "secrets.json")],
    env: {
      WHOSHERE_SECRET: undefined,
      WHOSHERE_RESUME_SECRET: "one of its own, for resume tokens",
    },
  });
  t.after(() => relay.stop());
  for (const [secret, kid] of [
    [SECRET, "old"],
    [next, "new"],
  ]) {
    for (const header of [{}, { kid }]) {
      const peer = await Peer.open(relay);
      await peer.hello(mintToken("alice", { secret, header }));
      await peer.close(1000);
    }
  }
});

test("Keys: the relay takes what is signed with the private half", async (t) => {
  const files = serverFiles(t);
  const said = 'printf "%s\\n" "$WHOSHERE_RESUME_SECRET" "$(pwd)" "$@"';
  files.write("bin/whoshere-relay", `#!/bin/sh\n${said}\n`);
  files.write("run.sh", 'chmod +x bin/whoshere-relay\nPATH="$(pwd)/bin:$PATH"\n. ./keys.sh');
  const output = files.run(t, ["sh", "run.sh"]);
  if (output === undefined) return;
  const [resumeSecret, folder = "", ...args] = output.trim().split("\n");
  const env = { WHOSHERE_SECRET: undefined, WHOSHERE_RESUME_SECRET: resumeSecret };
  const relay = await startRelay({
    args: args.map((it) => (it.endsWith(".pem") ? join(folder, it) : it)),
    env,
  });
  t.after(() => relay.stop());
  const encode = (/** @type {object} */ part) =>
    Buffer.from(JSON.stringify(part)).toString("base64url");
  const claims = { sub: "7", keys: ["*"], exp: Math.floor(Date.now() / 1000) + 60 };
  const signed = `${encode({ alg: "EdDSA" })}.${encode(claims)}`;
  const key = readFileSync(join(folder, "private.pem"));
  const signature = sign(null, Buffer.from(signed), key).toString("base64url");
  const peer = await Peer.open(relay);
  await peer.hello(`${signed}.${signature}`);
  await peer.close(1000);
});

/**
 * @param {string} token
 * @param {{ id: string, name: string }} user
 */
async function assertTaken(token, { id, name }) {
  const peer = await Peer.open(stage.relay);
  await peer.hello(token.trim());
  const { presences } = await peer.join("document:tokens");
  const users = presences.map((/** @type {any} */ it) => it.user);
  assert.deepEqual([users[0].id, users[0].name], [id, name]);
  peer.send({ join: { key: "folder:1", meta: {} } });
  assert.equal((await peer.next("error")).code, "key_denied");
  await peer.close(1000);
}

/** What Express would have sent. */
function fakeResponse() {
  const response = {
    status: 200,
    body: "",
    headers: /** @type {Record<string, string>} */ ({}),
    type: (/** @type {string} */ value) => response.set("Content-Type", value),
    set: (/** @type {string} */ name, /** @type {string} */ value) => {
      response.headers[name] = value;
      return response;
    },
    send: (/** @type {string} */ body) => {
      response.body = body;
    },
    sendStatus: (/** @type {number} */ status) => {
      response.status = status;
    },
  };
  return response;
}

/**
 * The blocks of the paper about tokens as the files that their first lines name.
 *
 * @param {import("node:test").TestContext} t
 */
function serverFiles(t) {
  const folder = mkdtempSync(join(tmpdir(), "whoshere-docs-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const files = {
    write: (/** @type {string} */ name, /** @type {string} */ text) => {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    },
    load: (/** @type {string} */ name) => import(pathToFileURL(join(folder, name)).href),
    run: (
      /** @type {import("node:test").TestContext} */ t,
      /** @type {string[]} */ [runtime = "", ...args],
      /** @type {NodeJS.ProcessEnv} */ more = {},
    ) => {
      const known = { WHOSHERE_SECRET: SECRET, PYTHONUTF8: "1", LANG: "C.UTF-8" };
      const env = { ...process.env, ...known, ...more };
      const { status, stdout, stderr, error } = spawnSync(runtime, args, {
        cwd: folder,
        encoding: "utf8",
        env,
      });
      if (error !== undefined) {
        const advice = "`node scripts/setup.mjs runtimes` says why, or installs it";
        return t.skip(`there is no ${runtime} here: ${advice}`);
      }
      assert.equal(status, 0, stderr);
      return stdout;
    },
  };
  for (const { text } of blocksOf(SERVERS)) {
    const name = /^(?:<\?php\n)?(?:\/\/|#) (\S+)\n/.exec(text)?.[1];
    assert.ok(name, `a block doesn't name its file:\n${text}`);
    files.write(name, text);
  }
  return files;
}

/** @param {string} path @returns {Map<string, Block[]>} those that have any */
function sectionsOf(path) {
  /** @type {Map<string, Block[]>} */
  const sections = new Map();
  for (const block of blocksOf(path)) {
    sections.set(block.section, [...(sections.get(block.section) ?? []), block]);
  }
  return sections;
}

/** @param {string} path @returns {Block[]} */
function blocksOf(path) {
  const text = readFileSync(join(ROOT, path), "utf8");
  let section = "";
  const blocks = [];
  for (const [, title, language = "", code = ""] of text.matchAll(
    /^#+ ([^\n]*)$|^ *```(\w*)\n(.*?)^ *```$/gms,
  )) {
    if (title !== undefined) section = title;
    else blocks.push({ language, text: code, section });
  }
  return blocks;
}
