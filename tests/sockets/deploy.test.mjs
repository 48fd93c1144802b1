// @ts-check
//
// What operators are given in relay-server/deploy and docs/operating.md works with this relay.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ensureDebianProgram } from "../../scripts/setup/debian-programs.mjs";
import { metricsOf } from "../support/metrics.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { BINARY, mintToken, SECRET, startRelay } from "../support/relay.mjs";

const REPO_ROOT = fileURLToPath(new URL("../..", import.meta.url));
const DEPLOY = join(REPO_ROOT, "relay-server/deploy");
const TLS = join(REPO_ROOT, "tests/support/tls");
const read = (/** @type {string} */ path) => readFileSync(path, "utf8");
const paper = read(join(REPO_ROOT, "docs/operating.md"));
/** Debian has what servers run where only root looks. */
const PATH = `${process.env["PATH"]}:/usr/sbin:/sbin`;

/** @type {import("../support/relay.mjs").Relay | undefined} */
let relay;
/** @type {import("node:child_process").ChildProcess | undefined} */
let proxy;

afterEach(async () => {
  await relay?.stop("SIGKILL");
  if (proxy?.exitCode === null) {
    proxy.kill("SIGKILL");
    await once(proxy, "close");
  }
  proxy = undefined;
});

test("every metric and label of the dashboard and of the alerts is there", async () => {
  relay = await startRelay({ args: ["--metrics-listen", "127.0.0.1:0"] });
  await fetch(`${relay.http}/v1/counts?keys=a`);
  const { samples } = await metricsOf(relay);
  const labels = new Map();
  for (const sample of samples.keys()) {
    const [name = "", rest = ""] = sample.split("{");
    const found = [...rest.matchAll(/(\w+)="/g)].map((it) => String(it[1]));
    labels.set(name, new Set([...(labels.get(name) ?? []), ...found]));
  }
  const dashboard = JSON.parse(read(join(DEPLOY, "grafana-dashboard.json")));
  const queries = [
    ...dashboard.panels.flatMap((/** @type {any} */ it) => it.targets),
    ...dashboard.templating.list,
  ].map((it) => String(it.expr ?? it.query));
  const alerts = [...paper.matchAll(/^\| `([^`]+)` \|/gm)].map((it) => String(it[1]));
  assert.ok(queries.length >= 20 && alerts.length >= 5, `${queries.length}, ${alerts.length}`);
  const used = new Set();
  for (const query of [...queries, ...alerts]) {
    const names = query.match(/whoshere_\w+/g) ?? [];
    for (const name of names) {
      assert.ok(labels.has(name), `${name} is not in /metrics: ${query}`);
      used.add(name);
    }
    for (const [, grouped = ""] of query.matchAll(/by \((\w+)\)/g)) {
      for (const name of names) assert.ok(labels.get(name).has(grouped), `${grouped}: ${query}`);
    }
  }
  assert.ok(used.size >= 15, `only ${[...used]}`);
});

test("a relay would start with the variables of the paper", (t) => {
  const folder = temporary(t);
  mkdirSync(join(folder, "whoshere"));
  runHereDocument("/etc/whoshere/relay.env", folder);
  const variables = read(join(folder, "whoshere/relay.env"))
    .trim()
    .split("\n")
    .map((it) => it.split("="));
  assert.equal(variables.length, 4);
  const env = { ...Object.fromEntries(variables), PATH, WHOSHERE_SECRET: SECRET };
  const { status, stdout, stderr } = spawnSync(BINARY, ["check"], { env, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  for (const [name = ""] of variables) assert.ok(stdout.includes(name), name);
  const known = spawnSync(BINARY, ["--help"], { encoding: "utf8" }).stdout;
  const unit = read(join(DEPLOY, "whoshere-relay.service"));
  for (const [name] of `${paper}\n${unit}`.matchAll(/WHOSHERE_[A-Z_]+/g)) {
    assert.ok(known.includes(`[env: ${name}`), `${name} means nothing`);
  }
  for (const [path] of paper.matchAll(/relay-server\/deploy\/[\w.-]+/g)) {
    assert.ok(existsSync(join(REPO_ROOT, path)), path);
  }
});

test("the paper's check sees what a start would, and reads what systemd reads", async (t) => {
  const folder = temporary(t);
  const [etc, data] = [join(folder, "etc"), join(folder, "data")];
  for (const it of [etc, data]) mkdirSync(it);
  writeFileSync(join(etc, "secret"), `${SECRET}\n`);
  const block = /```sh\nsudo (sh -c 'set -a[^`]+)```/.exec(paper)?.[1] ?? "";
  const command = block
    .replaceAll("/etc/whoshere", etc)
    .replaceAll("/var/lib/whoshere", data)
    .replaceAll("whoshere-relay", BINARY);
  const check = (/** @type {string} */ settings) => {
    writeFileSync(join(etc, "relay.env"), `WHOSHERE_ORIGIN=https://app.example\n${settings}\n`);
    return spawnSync("sh", ["-c", command], { env: { PATH }, encoding: "utf8" });
  };
  relay = await startRelay({ args: ["--last-seen", "*", "--data", data] });
  await (await Peer.join(relay, "alice")).close(1001);
  assert.equal(await relay.stop(), 0);
  assert.match(check("").stdout, /A start would remove 1 record/);
  assert.doesNotMatch(check("WHOSHERE_LAST_SEEN=*").stdout, /would remove/);

  const address = "https://app.example/hook?a=1&b=2";
  const secret = `WHOSHERE_WEBHOOK_SECRET=whsec_${Buffer.alloc(32, 7).toString("base64")}`;
  const { status, stdout, stderr } = check(`WHOSHERE_WEBHOOK="${address}"\n${secret}`);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /webhook +https:\/\/app\.example\/hook/);
});

test("the paper asks until the relay that it has just started listens", async (t) => {
  const command = /^curl .*\/readyz$/m.exec(paper)?.[0] ?? "";
  const port = await freePort();
  const curl = spawn("sh", ["-c", command.replace(":8080", `:${port}`)], { env: { PATH } });
  let said = "";
  curl.stdout.setEncoding("utf8").on("data", (text) => {
    said += text;
  });
  const ended = once(curl, "close");
  await sleep(500);
  if (curl.exitCode === 127) return t.skip("there is no curl here");
  assert.equal(curl.exitCode, null, "it didn't wait");
  relay = await startRelay({ port });
  const [code] = await ended;
  assert.deepEqual([code, said.trim()], [0, "ready"]);
});

test("Prometheus takes the paper's settings after Debian's, and its alerts", async (t) => {
  const promtool = await ensureDebianProgram("promtool", "prometheus");
  if ("missing" in promtool) return t.skip(promtool.missing);
  const folder = temporary(t);
  const settings = join(folder, "prometheus/prometheus.yml");
  mkdirSync(join(folder, "prometheus"));
  // How those of Debian end.
  writeFileSync(
    settings,
    `rule_files:
  - "alerts.yml"
scrape_configs:
  - job_name: 'prometheus'
    static_configs:
      - targets: ['localhost:9090']

  - job_name: node
    static_configs:
      - targets: ['localhost:9100']
`,
  );
  const rules = [...paper.matchAll(/^\| `([^`]+)` \|/gm)].map(([, expr], n) => ({
    alert: `Alert${n}`,
    expr,
  }));
  // What is JSON is YAML, too.
  const alerts = JSON.stringify({ groups: [{ name: "whoshere", rules }] });
  writeFileSync(join(folder, "prometheus/alerts.yml"), alerts);
  runHereDocument("/etc/prometheus/prometheus.yml", folder);
  assert.match(read(settings), /node[\s\S]+job_name: whoshere/);
  const args = ["check", "config", settings];
  const options = { env: { PATH, ...promtool.env }, encoding: /** @type {const} */ ("utf8") };
  const { status, stdout, stderr } = spawnSync(promtool.path, args, options);
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, new RegExp(`${rules.length} rules found`));
});

test("Grafana is told of a dashboard where it is put", (t) => {
  const folder = temporary(t);
  for (const it of ["datasources", "dashboards"]) {
    mkdirSync(join(folder, "grafana/provisioning", it), { recursive: true });
    runHereDocument(`/etc/grafana/provisioning/${it}/whoshere.yaml`, folder);
  }
  const provider = read(join(folder, "grafana/provisioning/dashboards/whoshere.yaml"));
  const path = /path: (.+)$/m.exec(provider)?.[1];
  const [, source = "", target] = /^sudo install -D -m 644 (\S+) (\S+)$/m.exec(paper) ?? [];
  assert.equal(target, `${path}/relay.json`);
  const { uid } = JSON.parse(read(join(REPO_ROOT, source)));
  assert.ok(paper.includes(`/d/${uid}\``), uid);
});

test("the paper's way to read the log finds the lines of one connection", async (t) => {
  const filter = /jq -R '([^']+)'/.exec(paper)?.[1] ?? "";
  const program = await ensureDebianProgram("jq");
  if ("missing" in program) return t.skip(program.missing);
  const jq = (/** @type {string} */ text, /** @type {string} */ input) => {
    const env = { PATH, ...program.env };
    return spawnSync(program.path, ["-cR", text], { input, env, encoding: "utf8" });
  };
  const log = [
    "listening on http://127.0.0.1:8080",
    '{"message":"a","span":{"id":42}}',
    '{"message":"b","span":{"id":43}}',
    '{"message":"c"}',
  ];
  const { status, stdout, stderr } = jq(filter, `${log.join("\n")}\n`);
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.trim().split("\n"), [log[1]]);
});

test("the program needs no more than its image has", (t) => {
  const { status, stdout, error } = spawnSync("ldd", [BINARY], { encoding: "utf8" });
  if (error !== undefined) return t.skip("there is no ldd here");
  assert.equal(status, 0);
  const needed = stdout
    .trim()
    .split("\n")
    .map((it) => it.trim().split(/[ (]/)[0]);
  const given =
    /^(linux-vdso|libc|libm|libgcc_s|libdl|libpthread|librt|.*\/ld-linux[\w-]*)\.so\.\d+$/;
  for (const library of needed) assert.match(String(library), given);
  const image = read(join(DEPLOY, "Dockerfile"));
  assert.match(image, /^FROM gcr\.io\/distroless\/cc-debian12:nonroot$/m);
  assert.match(image, /^USER nonroot$/m);
});

test("systemd understands the unit and finds little that it could do", async (t) => {
  const program = await ensureDebianProgram("systemd-analyze", "systemd");
  if ("missing" in program) return t.skip(program.missing);
  const unit = read(join(DEPLOY, "whoshere-relay.service"));
  const folder = temporary(t);
  const path = join(folder, "whoshere-relay.service");
  writeFileSync(path, unit.replace("/usr/local/bin/whoshere-relay", "/bin/true"));
  const analyze = (/** @type {string[]} */ ...args) =>
    spawnSync(program.path, args, { env: { PATH, ...program.env }, encoding: "utf8" });
  const verified = analyze("verify", path);
  assert.equal(verified.status, 0, verified.stderr);
  assert.doesNotMatch(verified.stderr, /whoshere-relay\.service:/);
  // 20 is 2.0 of 10.
  const judged = analyze("security", "--offline=true", "--threshold=20", path);
  assert.equal(judged.status, 0, judged.stdout.split("\n").slice(-3).join("\n"));
});

test("people meet through nginx, and nobody passes for somebody else", async (t) => {
  const nginx = await ensureDebianProgram("nginx");
  if ("missing" in nginx) return t.skip(nginx.missing);
  const [port, folder] = [await freePort(), temporary(t)];
  const args = ["--trusted-proxy", "127.0.0.1", "--max-connects-per-address", "1"];
  relay = await startRelay({ args });
  const site = read(join(DEPLOY, "nginx.conf"))
    .replace("server 127.0.0.1:8080;", `server 127.0.0.1:${relay.port};`)
    .replace("listen 443 ssl;", `listen 127.0.0.1:${port} ssl;`)
    .replace("listen [::]:443 ssl;", "")
    .replace(/ssl_certificate .*;/, `ssl_certificate ${join(TLS, "one.crt")};`)
    .replace(/ssl_certificate_key .*;/, `ssl_certificate_key ${join(TLS, "one.key")};`);
  const temporaries = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const config = `daemon off; master_process off; pid ${folder}/pid; error_log stderr;
    events { worker_connections 1024; }
    http { ${temporaries.map((it) => `${it}_temp_path ${folder}/${it};`).join(" ")} ${site} }`;
  const path = join(folder, "nginx.conf");
  writeFileSync(path, config);
  await start(nginx, ["-p", folder, "-e", "stderr", "-c", path], port);
  await meet(port);
  const elsewhere = await statusOf(port, "/");
  assert.equal(elsewhere, 404, "a relay's name has nothing else");
});

test("people meet through Caddy, and nobody passes for somebody else", async (t) => {
  const caddy = await ensureDebianProgram("caddy");
  if ("missing" in caddy) return t.skip(caddy.missing);
  const [port, folder] = [await freePort(), temporary(t)];
  const args = ["--trusted-proxy", "127.0.0.1", "--max-connects-per-address", "1"];
  relay = await startRelay({ args });
  const site = read(join(DEPLOY, "Caddyfile"))
    .replace("127.0.0.1:8080", `127.0.0.1:${relay.port}`)
    .replace(
      "relay.example {",
      `https://127.0.0.1:${port} {\n\tbind 127.0.0.1\n\ttls ${TLS}/one.crt ${TLS}/one.key`,
    );
  const path = join(folder, "Caddyfile");
  writeFileSync(path, `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${site}`);
  const run = ["run", "--adapter", "caddyfile", "--config", path];
  await start(caddy, run, port, { XDG_DATA_HOME: folder, HOME: folder });
  await meet(port);
});

/**
 * Two people see each other through a proxy, and somebody who dials too often gets no further by claiming
 * other addresses, which keeps nobody else out.
 *
 * @param {number} port
 */
async function meet(port) {
  const through = { url: `wss://127.0.0.1:${port}/v1/presence` };
  const ca = readFileSync(join(TLS, "one.crt"));
  const enter = async (/** @type {string} */ user, /** @type {string} */ localAddress) => {
    const peer = await Peer.open(through, { ca, localAddress });
    await peer.hello(mintToken(user));
    await peer.join("document:1");
    return peer;
  };
  const alice = await enter("alice", "127.0.0.2");
  const bob = await enter("bob", "127.0.0.3");
  await alice.sees(["alice", "bob"]);
  bob.send({ update: { key: "document:1", meta: { n: 1 } } });
  await alice.next("delta");

  let isBusy = false;
  for (let n = 0; n < 200 && !isBusy; n += 1) {
    const headers = { "x-forwarded-for": `198.51.100.${n}`, forwarded: `for=198.51.100.${n}` };
    const peer = await Peer.open(through, { ca, localAddress: "127.0.0.4", headers });
    peer.send({ hello: { token: "nonsense", dial: 1 } });
    isBusy = (await peer.closed()).code === 4429;
  }
  assert.ok(isBusy, "other addresses were believed");
  const carol = await enter("carol", "127.0.0.5");
  await alice.sees(["alice", "bob", "carol"]);
  await carol.close(1001);
  await alice.sees(["alice", "bob"]);
}

/**
 * Runs the paper's command that writes a file of /etc, in another folder's stead and as nobody else.
 *
 * @param {string} path
 * @param {string} folder
 */
function runHereDocument(path, folder) {
  const all = paper.matchAll(/^sudo (tee (?:-a )?(\S+) > \/dev\/null <<'EOF'\n[\s\S]*?\nEOF)$/gm);
  const command = [...all].find((it) => it[2] === path)?.[1];
  assert.ok(command !== undefined, `nothing writes ${path}`);
  const script = command.replace("/etc", folder);
  const { status, stderr } = spawnSync("sh", ["-c", script], { env: { PATH }, encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

/**
 * Starts a proxy and waits until it listens.
 *
 * @param {import("../../scripts/setup/debian-programs.mjs").Program} program
 * @param {string[]} args
 * @param {number} port
 * @param {NodeJS.ProcessEnv} [env]
 */
async function start(program, args, port, env = {}) {
  const child = spawn(program.path, args, {
    env: { PATH, ...program.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  proxy = child;
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      said += text;
    });
  }
  const ca = readFileSync(join(TLS, "one.crt"));
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    assert.equal(child.exitCode, null, said);
    const found = await Peer.open({ url: `wss://127.0.0.1:${port}/v1/presence` }, { ca }).catch(
      () => undefined,
    );
    if (found !== undefined) {
      return found.close(1000);
    }
    await sleep(100);
  }
  assert.fail(`${program.path} doesn't listen: ${said}`);
}

/** @param {import("node:test").TestContext} t */
function temporary(t) {
  const folder = mkdtempSync(join(tmpdir(), "whoshere-deploy-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** @returns {Promise<number>} */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return address.port;
}

/**
 * What a proxy answers to a `GET`.
 *
 * @param {number} port
 * @param {string} path
 * @returns {Promise<number | undefined>}
 */
function statusOf(port, path) {
  const ca = readFileSync(join(TLS, "one.crt"));
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port, path, ca }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    }).on("error", reject);
  });
}
