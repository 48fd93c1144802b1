// @ts-check
//
// Two people who have nothing to do with an attack: how soon one hears of the other while it goes on.
import assert from "node:assert/strict";
import { Peer, sleep } from "./peer.mjs";
import { mintToken } from "./relay.mjs";

/** Another address of this machine than attackers have. */
const ELSEWHERE = "127.0.0.2";
/** How many times as long as before it an update may take during an attack, by which this process is busy as well. */
const MOST_SLOWER = 20;
/** What nobody notices, however quick it was before. */
const UNNOTICED_MS = 300;
/** The same of all but one update in twenty, and of each; how long this process stood still meanwhile aside. */
const MOSTLY_MS = 1000;
const ALWAYS_MS = 5000;
/** How often it is looked whether this process stands still. */
const TICK_MS = 10;
/** Longer than a busy key gathers changes. */
const PAUSE_MS = 50;
/** How many updates are sent before the attack, and how many are enough to judge by. */
const N_BEFORE = 5;
const N_ENOUGH = 3;
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
    const before = [];
    for (let probe = -N_BEFORE; probe < 0; probe += 1) {
      before.push(await tell(alice, bob, probe));
      await sleep(PAUSE_MS);
    }
    return new Witnesses(relay, alice, bob, quantile(before, 0.5));
  }

  /**
   * @param {import("./relay.mjs").Relay} relay
   * @param {Peer} alice
   * @param {Peer} bob
   * @param {number} medianBefore how long an update took while nothing happened, in milliseconds
   */
  constructor(relay, alice, bob, medianBefore) {
    this.alice = alice;
    this.bob = bob;
    this.medianBefore = medianBefore;
    this.#bytesBefore = relay.residentBytes;
    this.#watching = this.#watch(relay);
    // It fails in `testify`; a test that fails before that ends the relay while it is watched.
    this.#watching.catch(() => {});
  }

  /** @param {import("./relay.mjs").Relay} relay */
  async #watch(relay) {
    for (let probe = 1; !this.#isOver || this.#took.length < N_ENOUGH; probe += 1) {
      this.#took.push(await tell(this.alice, this.bob, probe));
      this.grownBytes = Math.max(this.grownBytes, relay.residentBytes - this.#bytesBefore);
      this.openFiles = Math.max(this.openFiles, relay.openFiles);
      await sleep(PAUSE_MS);
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
    const median = quantile(this.#took, 0.5);
    const mostly = quantile(this.#took, 0.95);
    const slowest = quantile(this.#took, 1);
    const most = (/** @type {number} */ ms) => Math.max(ms, MOST_SLOWER * this.medianBefore);
    const measured =
      `${this.#took.length} updates, the median took ${median.toFixed(1)} ms and ` +
      `${this.medianBefore.toFixed(1)} ms before, 95 % at most ${mostly.toFixed(1)} ms, the slowest ${slowest.toFixed(1)} ms; the relay grew by ${(this.grownBytes / 1024).toFixed(0)} KiB and had ` +
      `${this.openFiles} files open`;
    assert.ok(this.alice.isOpen && this.bob.isOpen, "both are still there");
    assert.deepEqual(
      this.bob.rosters.get("witness:1")?.told.left,
      0,
      "and nobody has seen a leave",
    );
    assert.ok(median < most(UNNOTICED_MS), measured);
    assert.ok(mostly < most(MOSTLY_MS), measured);
    assert.ok(slowest < most(ALWAYS_MS), measured);
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

/**
 * Has one of them change something.
 *
 * @param {Peer} alice
 * @param {Peer} bob
 * @param {number} probe
 * @returns {Promise<number>} after how many milliseconds the other hears of it, without those in which this
 *   process did something else
 */
async function tell(alice, bob, probe) {
  const startedAt = performance.now();
  let [tickedAt, stoodStill] = [startedAt, 0];
  const tick = () => {
    const now = performance.now();
    stoodStill += Math.max(0, now - tickedAt - TICK_MS);
    tickedAt = now;
  };
  const ticking = setInterval(tick, TICK_MS);
  alice.send({ update: { key: "witness:1", meta: { probe } } });
  const arrived = () => bob.presence("alice", "witness:1")?.meta.probe === probe;
  try {
    await bob.until("the update arrives", arrived, PATIENCE_MS);
  } finally {
    clearInterval(ticking);
  }
  tick();
  return performance.now() - startedAt - stoodStill;
}

/**
 * @param {number[]} numbers
 * @param {number} part of them that is no larger
 * @returns {number} one of them, the lower one in between
 */
function quantile(numbers, part) {
  return numbers.toSorted((a, b) => a - b)[Math.floor((numbers.length - 1) * part)] ?? 0;
}
