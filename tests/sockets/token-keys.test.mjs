// @ts-check
//
// Whose tokens a relay takes: public keys from a file and from an address, and how they change.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ensureDebianProgram } from "../../scripts/setup/debian-programs.mjs";
import { Peer, sleep } from "../support/peer.mjs";
import { mintToken, SECRET, startRelay } from "../support/relay.mjs";
import { ALGORITHMS, jwkSet, Signer } from "../support/signer.mjs";

const DENIED = { code: 4401, reason: "denied" };
const EXPIRED = { code: 4419, reason: "expired" };
/** Keys are looked for at most once in 10 s; then they must be fetched, on a loaded machine. */
const PATIENCE_MS = 30_000;

const folder = mkdtempSync(join(tmpdir(), "whoshere-keys-"));
after(() => rmSync(folder, { recursive: true }));

/** Without a secret, so that public keys are all that there is. */
const OWN_RESUME_SECRET = {
  WHOSHERE_SECRET: undefined,
  WHOSHERE_RESUME_SECRET: "a secret for resume tokens alone, which is long enough",
};

test("tokens are taken in each algorithm, and in none but that of the key", async () => {
  const signers = ALGORITHMS.map((it) => new Signer(it, `the one of ${it}`));
  const file = join(folder, "algorithms.json");
  writeFileSync(file, jwkSet(...signers));
  const relay = await startRelay({ args: ["--token-keys-file", file] });
  try {
    for (const signer of signers) {
      await welcomed(relay, signer.token("alice"));
      await welcomed(relay, signer.token("alice", { kid: undefined }));
      const stranger = new Signer(signer.algorithm, signer.kid);
      assert.deepEqual(await refused(relay, stranger.token("alice")), DENIED);
      for (const other of signers.filter((it) => it !== signer)) {
        const token = signer.token("alice", { alg: other.algorithm, kid: other.kid });
        assert.deepEqual(await refused(relay, token), DENIED, "of another key");
        const swapped = signer.token("alice", { alg: other.algorithm });
        assert.deepEqual(await refused(relay, swapped), DENIED, "of another algorithm");
      }
      for (const header of [{ alg: "none" }, { alg: "HS256" }, { crit: ["exp"] }]) {
        const token = signer.token("alice", header);
        assert.deepEqual(await refused(relay, token), DENIED, JSON.stringify(header));
        const unsigned = token.slice(0, token.lastIndexOf(".") + 1);
        assert.deepEqual(await refused(relay, unsigned), DENIED, JSON.stringify(header));
      }
      assert.deepEqual(await refused(relay, signedWithPublicKey(signer)), DENIED);
      const brought = stranger.token("alice", { jwk: stranger.jwk });
      assert.deepEqual(await refused(relay, brought), DENIED, "with a key of its own");
      const expired = signer.token({ sub: "alice", exp: Math.floor(Date.now() / 1000) - 60 });
      assert.deepEqual(await refused(relay, expired), EXPIRED);
    }
    await welcomed(relay, mintToken("alice"));
  } finally {
    await relay.stop();
  }
});

test("keys are given by a variable, and nobody who knows them can sign", async () => {
  const signer = new Signer("ES256");
  const env = { ...OWN_RESUME_SECRET, WHOSHERE_TOKEN_KEYS: signer.pem.replaceAll("\n", "\\n") };
  const relay = await startRelay({ env });
  try {
    await welcomed(relay, signer.token("alice"));
    assert.deepEqual(await refused(relay, signedWithPublicKey(signer)), DENIED);
    assert.deepEqual(await refused(relay, mintToken("alice")), DENIED, `${SECRET} is none here`);
  } finally {
    await relay.stop();
  }
});

test("a file of keys is read again when it changes, and nobody is closed", async () => {
  const [old, next] = [new Signer("EdDSA"), new Signer("RS256")];
  const file = join(folder, "rotated.pem");
  writeFileSync(file, old.pem);
  const env = { ...OWN_RESUME_SECRET, WHOSHERE_TOKEN_KEYS_FILE: file };
  const relay = await startRelay({ env });
  try {
    const alice = await welcomed(relay, old.token("alice"));
    await alice.join("document:1");
    assert.deepEqual(await refused(relay, next.token("bob")), DENIED);
    writeFileSync(file, old.pem + next.pem);
    const bob = await eventually(relay, () => next.token("bob"));
    await bob.join("document:1");
    await alice.sees(["alice", "bob"]);
    await welcomed(relay, old.token("carol"));
    writeFileSync(file, "what an editor leaves behind when the disk is full");
    writeFileSync(file, next.pem);
    await until(async () => (await attempt(relay, old.token("carol"))) === undefined);
    await alice.heartbeat();
    writeFileSync(file, '{"keys":[]}');
    await until(async () => (await attempt(relay, next.token("carol"))) === undefined);
    assert.deepEqual(await refused(relay, next.token("carol")), DENIED, "all were taken away");
    await until(async () => /WARN.*all keys of tokens were taken away/.test(relay.log));
  } finally {
    await relay.stop();
  }
});

test("a shared secret is changed by its kid, without a restart, and nobody is closed", async () => {
  const [old, next] = [new SharedSecret("2025"), new SharedSecret("2026")];
  const file = join(folder, "secrets.json");
  writeFileSync(file, secretSet(old));
  const env = { ...OWN_RESUME_SECRET, WHOSHERE_TOKEN_KEYS_FILE: file };
  const relay = await startRelay({ env });
  try {
    const alice = await welcomed(relay, old.token("alice"));
    await alice.join("document:1");
    assert.deepEqual(await refused(relay, next.token("bob")), EXPIRED, "not known yet");

    writeFileSync(file, secretSet(old, next));
    const bob = await eventually(relay, () => next.token("bob"));
    await bob.join("document:1");
    await alice.sees(["alice", "bob"]);
    await welcomed(relay, old.token("carol"));
    for (const [kid, secret] of /** @type {const} */ ([
      ["2026", old],
      ["2025", next],
    ])) {
      const token = secret.token("eve", { kid });
      assert.deepEqual(await refused(relay, token), DENIED, `of ${secret.kid}, said to be ${kid}`);
    }
    // A library that names no key: any of the secrets may have signed it.
    await welcomed(relay, old.token("dave", { kid: undefined }));

    writeFileSync(file, secretSet(next));
    await until(async () => (await attempt(relay, old.token("carol"))) === undefined);
    assert.deepEqual(await refused(relay, old.token("dave", { kid: undefined })), DENIED);
    await welcomed(relay, next.token("carol"));
    await alice.heartbeat();
    await bob.heartbeat();
  } finally {
    await relay.stop();
  }
});

test("keys are fetched again for a kid that is new, seldom, and an address that fails changes nothing", async () => {
  const [first, second] = [new Signer("ES256", "first"), new Signer("EdDSA", "second")];
  let [answer, status, n_requests] = [jwkSet(first), 200, 0];
  const server = createServer((_, response) => {
    n_requests += 1;
    response.writeHead(status, { "content-type": "application/json" }).end(answer);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const url = `http://127.0.0.1:${port}/.well-known/jwks.json`;
  const env = { ...OWN_RESUME_SECRET, WHOSHERE_TOKEN_KEYS_URL: url };
  const relay = await startRelay({ args: ["--max-connects-per-address", "0"], env });
  const since = Date.now();
  try {
    const alice = await welcomed(relay, first.token("alice"));
    await alice.join("document:1");
    assert.equal(n_requests, 1);
    assert.deepEqual(await refused(relay, second.token("bob")), EXPIRED, "not known yet");

    answer = jwkSet(second);
    const bob = await eventually(relay, () => second.token("bob"));
    await bob.join("document:1");
    await alice.sees(["alice", "bob"]);
    // What the former key has signed is good no more, and may be again for all that the relay knows.
    assert.deepEqual(await refused(relay, first.token("alice")), EXPIRED);
    // Until it has looked again.
    await until(async () => (await refused(relay, first.token("alice"))).code === DENIED.code);

    status = 500;
    for (let n = 0; n < 200; n += 1) {
      const nobody = new Signer("EdDSA", `nobody's ${n}`);
      assert.deepEqual(await refused(relay, nobody.token("eve")), EXPIRED);
    }
    const n_most = 2 + Math.floor((Date.now() - since) / 10_000);
    assert.ok(n_requests <= n_most, `${n_requests} requests, at most ${n_most}`);
    answer = "garbage";
    const n_failed = n_requests;
    await until(async () => n_requests > n_failed);
    const nobody = new Signer("EdDSA", "nobody's 0");
    assert.deepEqual(await refused(relay, nobody.token("eve")), EXPIRED, "nobody can tell");
    await welcomed(relay, second.token("carol"));
    await alice.heartbeat();
    await until(async () => relay.log.includes("the keys stay as they are"));
  } finally {
    await relay.stop();
    server.close();
  }
});

test("a relay whose address of keys fails says that it isn't ready, asks again, and denies nobody meanwhile", async () => {
  const signer = new Signer("ES256", "first");
  let isBroken = true;
  const server = createServer((_, response) => {
    response.writeHead(isBroken ? 503 : 200).end(isBroken ? "" : jwkSet(signer));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const env = { ...OWN_RESUME_SECRET, WHOSHERE_TOKEN_KEYS_URL: `http://127.0.0.1:${port}/jwks` };
  const relay = await startRelay({ env });
  try {
    const ready = await fetch(`${relay.http}/readyz`);
    assert.equal(ready.status, 503);
    assert.match(await ready.text(), /^token_keys_unreachable: /);
    await until(async () => relay.log.includes("there are no keys of tokens yet"));
    for (const kid of ["first", undefined]) {
      assert.deepEqual(await refused(relay, signer.token("alice", { kid })), EXPIRED);
    }
    isBroken = false;
    await until(async () => (await fetch(`${relay.http}/readyz`)).status === 200);
    await welcomed(relay, signer.token("alice"));
    const stranger = new Signer("ES256", "first");
    assert.deepEqual(await refused(relay, stranger.token("alice", { kid: undefined })), DENIED);
  } finally {
    await relay.stop();
    server.close();
  }
});

test("an address over TLS must have a certificate of those who are believed", async (t) => {
  const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
  const openssl = await ensureDebianProgram("openssl");
  if ("missing" in openssl) return t.skip(openssl.missing);
  makeCertificate(openssl, key, certificate);
  const signer = new Signer("RS256", "one");
  const options = { key: readFileSync(key), cert: readFileSync(certificate) };
  const server = createSecureServer(options, (_, response) => response.end(jwkSet(signer)));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const env = { ...OWN_RESUME_SECRET, WHOSHERE_TOKEN_KEYS_URL: `https://localhost:${port}/jwks` };
  try {
    const args = ["--token-keys-ca", certificate];
    const relay = await startRelay({ args, env });
    await welcomed(relay, signer.token("alice"));
    await relay.stop();
    const unbelieving = await startRelay({ env });
    assert.equal((await fetch(`${unbelieving.http}/readyz`)).status, 503);
    assert.deepEqual(await refused(unbelieving, signer.token("alice")), EXPIRED);
    await until(async () => /certificate/i.test(unbelieving.log));
    await unbelieving.stop();
  } finally {
    server.close();
  }
});

/**
 * @param {{ url: string }} relay
 * @param {string} token
 */
async function welcomed(relay, token) {
  const peer = await Peer.open(relay);
  await peer.hello(token);
  return peer;
}

/**
 * @param {{ url: string }} relay
 * @param {string} token
 */
async function refused(relay, token) {
  const peer = await Peer.open(relay);
  peer.send({ hello: { token, dial: 1 } });
  return peer.closed();
}

/**
 * @param {{ url: string }} relay
 * @param {string} token
 * @returns {Promise<Peer | undefined>} `undefined` if it was refused
 */
async function attempt(relay, token) {
  const peer = await Peer.open(relay);
  peer.send({ hello: { token, dial: 1 } });
  await peer.until("it is decided", () => !peer.isOpen || peer.received.length > 0);
  return peer.isOpen ? peer : undefined;
}

/**
 * @param {{ url: string }} relay
 * @param {() => string} mint
 */
async function eventually(relay, mint) {
  /** @type {Peer | undefined} */
  let peer;
  await until(async () => {
    peer = await attempt(relay, mint());
    return peer !== undefined;
  });
  return /** @type {Peer} */ (/** @type {unknown} */ (peer));
}

/** @param {() => Promise<boolean>} condition */
async function until(condition) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, "it takes too long");
    await sleep(200);
  }
}

/** A secret that a server and the relay share, with a name. */
class SharedSecret {
  #secret = randomBytes(32);

  /** @param {string} kid */
  constructor(kid) {
    this.kid = kid;
  }

  get jwk() {
    return { kty: "oct", kid: this.kid, alg: "HS256", k: this.#secret.toString("base64url") };
  }

  /**
   * @param {string} user
   * @param {object} [header] what the header says instead, also if it is a lie
   */
  token(user, header = {}) {
    return mintToken(user, { secret: this.#secret, header: { kid: this.kid, ...header } });
  }
}

/** @param {SharedSecret[]} secrets */
function secretSet(...secrets) {
  return JSON.stringify({ keys: secrets.map((it) => it.jwk) });
}

/**
 * The oldest trick: the public key, taken for a secret.
 *
 * @param {Signer} signer
 */
function signedWithPublicKey(signer) {
  const token = signer.token("eve", { alg: "HS256" });
  const signed = token.slice(0, token.lastIndexOf("."));
  return `${signed}.${createHmac("sha256", signer.pem).update(signed).digest("base64url")}`;
}

/**
 * @param {import("../../scripts/setup/debian-programs.mjs").Program} openssl
 * @param {string} key
 * @param {string} certificate
 */
function makeCertificate(openssl, key, certificate) {
  const config = join(folder, "openssl.cnf");
  writeFileSync(
    config,
    "[req]\ndistinguished_name=name\nx509_extensions=more\nprompt=no\n[name]\nCN=localhost\n" +
      "[more]\nsubjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n",
  );
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const files = ["-config", config, "-keyout", key, "-out", certificate];
  const env = { ...process.env, ...openssl.env };
  execFileSync(openssl.path, ["req", "-x509", ...curve, ...files], { stdio: "pipe", env });
}
