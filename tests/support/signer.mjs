// @ts-check
//
// Somebody who signs tokens with a private key, and whose public key relays know.
import { generateKeyPairSync, sign } from "node:crypto";

const KINDS = /** @type {const} */ ({
  EdDSA: () => generateKeyPairSync("ed25519"),
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
});

/** @typedef {keyof typeof KINDS} Algorithm */
export const ALGORITHMS = /** @type {Algorithm[]} */ (Object.keys(KINDS));

export class Signer {
  #keys;

  /**
   * @param {Algorithm} algorithm
   * @param {string} [kid]
   */
  constructor(algorithm, kid) {
    this.algorithm = algorithm;
    this.kid = kid;
    this.#keys = KINDS[algorithm]();
  }

  get jwk() {
    return { ...this.#keys.publicKey.export({ format: "jwk" }), kid: this.kid };
  }

  get pem() {
    return String(this.#keys.publicKey.export({ type: "spki", format: "pem" }));
  }

  /**
   * @param {string | import("./relay.mjs").Claims} claims a user's id, or the claims
   * @param {object} [header] what the header says instead, also if it is a lie
   */
  token(claims, header = {}) {
    const all = {
      keys: ["*"],
      exp: Math.floor(Date.now() / 1000) + 3600,
      ...(typeof claims === "string" ? { sub: claims } : claims),
    };
    /** @param {unknown} part */
    const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
    const head = { alg: this.algorithm, typ: "JWT", kid: this.kid, ...header };
    const signed = `${encode(head)}.${encode(all)}`;
    const key = /** @type {const} */ ({ key: this.#keys.privateKey, dsaEncoding: "ieee-p1363" });
    const hash = this.algorithm === "EdDSA" ? null : "sha256";
    return `${signed}.${sign(hash, Buffer.from(signed), key).toString("base64url")}`;
  }
}

/** @param {Signer[]} signers */
export function jwkSet(...signers) {
  return JSON.stringify({ keys: signers.map((it) => it.jwk) });
}
