// @ts-check
//
// Two people who have nothing to do with an attack: how soon one hears of the other while it goes on.
import assert from "node:assert/strict";
import { Peer, sleep } from "./peer.mjs";
import { mintToken } from "./relay.mjs";

/** Another address of this machine than attackers have. */
const ELSEWHERE = "127.0.0.2";
/** What a person may have to wait for on a machine, and in a process, that is busy with the attack as well. */
const MEDIAN_MS = 1500;
/** How long to wait for one update before it is said to be lost: this process may stand still for long. */
const PATIENCE_MS = 30_000;

/** Two members of a key, and the most memory that the relay has taken since they are there. */
export class Witnesses {
  /** @type {number[]} */
  #took = [];
  #isOver = false;
  /** @type {Promise<void>} */
  #watching;
  #bytesBefore;
  /** How many bytes the relay has grown by at most. */
  grownBytes = 0;
  /** The most files that the relay has had open: its sockets and a few more. */
  openFiles = 0;

  /**
   * @param {import("./relay.mjs").Relay} relay
   * @param {import("./peer.mjs").PeerOptions} [options]
   * @returns {Promise<Witnesses>} once both are there
   */
  static async come(relay, options = {}) {
    const [alice, bob] = await Promise.all(["alice", "bob"].map((it) => join(relay, it, options)));
    if (alice === undefined || bob === undefined) throw new Error("nobody came");
    await bob.sees(["alice", "bob"], "witness:1");
    return new Witnesses(relay, alice, bob);
  }

  /**
   * @param {import("./relay.mjs").Relay} relay
   * @param {Peer} alice
   * @param {Peer} bob
   */
  constructor(relay, alice, bob) {
    this.alice = alice;
    this.bob = bob;
    this.#bytesBefore = relay.residentBytes;
    this.#watching = this.#watch(relay);
    // It fails in `testify`; a test that fails before that ends the relay while it is watched.
    this.#watching.catch(() => {});
  }

  /** @param {import("./relay.mjs").Relay} relay */
  async #watch(relay) {
    for (let probe = 1; !this.#isOver; probe += 1) {
      const startedAt = performance.now();
      this.alice.send({ update: { key: "witness:1", meta: { probe } } });
      const arrived = () => this.bob.presence("alice", "witness:1")?.meta.probe === probe;
      await this.bob.until("the update arrives", arrived, PATIENCE_MS);
      this.#took.push(performance.now() - startedAt);
      this.grownBytes = Math.max(this.grownBytes, relay.residentBytes - this.#bytesBefore);
      this.openFiles = Math.max(this.openFiles, relay.openFiles);
      await sleep(50);
    }
  }

  /**
   * Ends watching, and fails if the two have noticed anything or the relay has taken too much.
   *
   * @param {number} maxBytes
   * @returns {Promise<string>} what was measured
   */
  async testify(maxBytes) {
    this.#isOver = true;
    await this.#watching;
    const took = this.#took.sort((a, b) => a - b);
    const [median = 0, slowest = 0] = [took[took.length >> 1], took.at(-1)];
    const measured =
      `${took.length} updates, the median took ${median.toFixed(1)} ms, the slowest ` +
      `${slowest.toFixed(1)} ms; the relay grew by ${(this.grownBytes / 1024).toFixed(0)} KiB and had ` +
      `${this.openFiles} files open`;
    assert.ok(this.alice.isOpen && this.bob.isOpen, "both are still there");
    assert.deepEqual(
      this.bob.rosters.get("witness:1")?.told.left,
      0,
      "and nobody has seen a leave",
    );
    assert.ok(median < MEDIAN_MS, measured);
    assert.ok(this.grownBytes < maxBytes, measured);
    return measured;
  }
}

/**
 * @param {import("./relay.mjs").Relay} relay
 * @param {string} user
 * @param {import("./peer.mjs").PeerOptions} options
 */
async function join(relay, user, options) {
  const peer = await Peer.open(relay, { localAddress: ELSEWHERE, ...options });
  await peer.hello(mintToken(user));
  await peer.join("witness:1");
  return peer;
}
