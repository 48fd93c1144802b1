// @ts-check
//
// A peer of the relay that speaks the protocol over a real socket, without the SDK.
import WebSocket from "ws";
import { mintToken } from "./relay.mjs";

const PATIENCE_MS = 5000;

/**
 * @typedef {any} Frame a frame's body
 * @typedef {{ code: number, reason: string }} Close
 * @typedef {{ headers?: Record<string, string>, origin?: string, localAddress?: string, ca?: Buffer }} PeerOptions
 */

/** One socket and what came in on it. */
export class Peer {
  /** @type {WebSocket} */
  #socket;
  #isUpgraded = false;
  /** @type {{ name: string, body: Frame }[]} frames that nobody has asked for yet */
  #inbox = [];
  /** @type {Set<() => void>} */
  #waiting = new Set();
  /** @type {Close | undefined} */
  #closed;
  /** Why what came in makes no sense. @type {unknown} */
  #nonsense;
  /** Every frame's name, in the order they came. @type {string[]} */
  received = [];
  /** The rosters that snapshots and deltas add up to. @type {Map<string, Roster>} */
  rosters = new Map();

  /**
   * Opens a socket and says nothing yet.
   *
   * @param {{ url: string }} relay
   * @param {PeerOptions} [options]
   * @returns {Promise<Peer>}
   */
  static async open({ url }, options = {}) {
    const peer = new Peer(new WebSocket(url, "whoshere.v1", options));
    await peer.until("the socket is open", () => peer.#isUpgraded);
    return peer;
  }

  /**
   * Opens a socket, says hello and joins a key.
   *
   * @param {{ url: string }} relay
   * @param {string} user
   * @param {string} [key]
   * @param {object} [meta]
   * @returns {Promise<Peer>}
   */
  static async join(relay, user, key = "document:1", meta = {}) {
    const peer = await Peer.open(relay);
    await peer.hello(mintToken(user));
    await peer.join(key, meta);
    return peer;
  }

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.#socket = socket;
    socket.on("open", () => {
      this.#isUpgraded = true;
      this.#notify();
    });
    socket.on("error", () => this.#notify());
    socket.on("message", (data) => {
      try {
        this.#take(JSON.parse(String(data)));
      } catch (error) {
        this.#nonsense ??= error;
      }
      this.#notify();
    });
    socket.on("close", (code, reason) => {
      this.#closed = { code, reason: String(reason) };
      this.#notify();
    });
  }

  /**
   * Sends a frame, or any text or bytes.
   *
   * @param {object | string | Uint8Array} frame
   */
  send(frame) {
    const isRaw = typeof frame === "string" || frame instanceof Uint8Array;
    this.#socket.send(isRaw ? frame : JSON.stringify(frame));
  }

  /**
   * @param {string} token
   * @param {{ resume?: string, dial?: number }} [options]
   * @returns {Promise<Frame>} the `welcome`
   */
  async hello(token, { resume, dial = 1 } = {}) {
    this.send({ hello: { token, resume, dial } });
    return this.next("welcome");
  }

  /**
   * @param {string} key
   * @param {object} [meta]
   * @param {object} [more] further fields
   * @returns {Promise<Frame>} the `snapshot`
   */
  async join(key, meta = {}, more = {}) {
    this.send({ join: { key, meta, ...more } });
    return this.next("snapshot");
  }

  /**
   * Asks for an answer, behind everything that was sent before and everything that is to be told.
   *
   * @returns {Promise<Frame>} the `heartbeat`
   */
  async heartbeat() {
    this.send({ heartbeat: {} });
    return this.next("heartbeat");
  }

  /** Sends a WebSocket ping and waits for its pong. */
  async ping() {
    const pong = new Promise((resolve) => this.#socket.once("pong", () => resolve(undefined)));
    this.#socket.ping("are you there");
    await pong;
  }

  /**
   * The next frame of that name. Frames of other names are skipped, but count for the rosters.
   *
   * @param {string} name
   * @returns {Promise<Frame>} its body
   */
  async next(name) {
    const found = () => this.#inbox.findIndex((frame) => frame.name === name);
    await this.until(
      `there is a frame "${name}"`,
      () => found() >= 0 || this.#closed !== undefined,
    );
    const frame = this.#inbox.splice(0, found() + 1).at(-1);
    if (frame?.name !== name) {
      throw new Error(`closed with ${this.#closed?.code}, waiting for a frame "${name}"`);
    }
    return frame.body;
  }

  /**
   * Waits until a condition holds; it is looked at after every event of this socket.
   *
   * @param {string} what
   * @param {() => boolean} condition
   * @param {number} [patienceMs]
   */
  async until(what, condition, patienceMs = PATIENCE_MS) {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      if (this.#nonsense !== undefined) throw this.#nonsense;
      if (condition()) return;
      const left = deadline - Date.now();
      if (left <= 0) {
        const seen = `${this.received.slice(-5)}; closed: ${JSON.stringify(this.#closed)}`;
        throw new Error(`waited ${patienceMs} ms until ${what}; last frames: ${seen}`);
      }
      await /** @type {Promise<void>} */ (
        new Promise((resolve) => {
          const timer = setTimeout(resolve, left);
          const wake = () => {
            clearTimeout(timer);
            this.#waiting.delete(wake);
            resolve();
          };
          this.#waiting.add(wake);
        })
      );
    }
  }

  /**
   * Waits until exactly these users are in a key.
   *
   * @param {string[]} users
   * @param {string} [key]
   * @param {number} [patienceMs]
   */
  async sees(users, key = "document:1", patienceMs = PATIENCE_MS) {
    const wanted = [...users].sort().join();
    const there = () => this.users(key).join();
    await this.until(`${wanted} are in ${key}`, () => there() === wanted, patienceMs);
  }

  /**
   * @param {string} [key]
   * @returns {string[]} the ids of the users in a key, sorted; one for each session
   */
  users(key = "document:1") {
    return [...(this.rosters.get(key)?.presences.values() ?? [])].map((it) => it.user.id).sort();
  }

  /**
   * @param {string} user
   * @param {string} [key]
   * @returns {Frame} the presence of a user's only session
   */
  presence(user, key = "document:1") {
    return [...(this.rosters.get(key)?.presences.values() ?? [])].find((it) => it.user.id === user);
  }

  /**
   * @param {number} [patienceMs]
   * @returns {Promise<Close>} how the socket was closed
   */
  async closed(patienceMs = PATIENCE_MS) {
    await this.until("the socket is closed", () => this.#closed !== undefined, patienceMs);
    return /** @type {Close} */ (this.#closed);
  }

  /** True until the socket is closed. */
  get isOpen() {
    return this.#closed === undefined;
  }

  /**
   * Closes the socket; without a code the close frame has none. A browser sends 1001 when a tab is
   * closed.
   *
   * @param {number} [code]
   */
  async close(code) {
    this.#socket.close(code);
    await this.closed();
  }

  /** Resets the connection, without any goodbye. */
  reset() {
    // @ts-expect-error: the package hides its TCP socket
    this.#socket._socket.resetAndDestroy();
  }

  /** Stops reading, so that the relay can't write for long. */
  stopReading() {
    // @ts-expect-error: the package hides its TCP socket
    this.#socket._socket.pause();
  }

  /** Reads as much as is there, up to some ten kilobytes, of a socket that has stopped reading. */
  readALittle() {
    // @ts-expect-error: the package hides its TCP socket
    this.#socket._socket.read();
  }

  /** Reads again, beginning with what has waited. */
  readAgain() {
    // @ts-expect-error: the package hides its TCP socket
    this.#socket._socket.resume();
  }

  /** Ends the socket at once. */
  destroy() {
    this.#socket.terminate();
  }

  /** @param {Record<string, Frame>} frame */
  #take(frame) {
    for (const [name, body] of Object.entries(frame)) {
      this.received.push(name);
      this.#inbox.push({ name, body });
      if (name === "snapshot") this.rosters.set(body.key, new Roster(body));
      if (name === "delta") this.rosters.get(body.key)?.apply(body);
    }
  }

  #notify() {
    for (const wake of [...this.#waiting]) wake();
  }
}

/** A key's roster, as its frames tell it. */
class Roster {
  /** @param {Frame} snapshot */
  constructor(snapshot) {
    /** @type {number} */
    this.rev = snapshot.rev;
    /** @type {Map<string, Frame>} */
    this.presences = new Map(snapshot.presences.map((/** @type {Frame} */ it) => [it.session, it]));
    /** How often each kind of change was told. */
    this.told = { joined: 0, left: 0, updated: 0 };
  }

  /** @param {Frame} delta */
  apply({ from, to, joined = [], left = [], updated = [] }) {
    if (from !== this.rev) throw new Error(`a gap: from ${from}, but the roster is at ${this.rev}`);
    this.rev = to;
    for (const presence of joined) this.presences.set(presence.session, presence);
    for (const { session } of left) this.presences.delete(session);
    for (const { session, ...changes } of updated) {
      Object.assign(this.presences.get(session), changes);
    }
    this.told.joined += joined.length;
    this.told.left += left.length;
    this.told.updated += updated.length;
  }
}

/** @param {number} ms */
export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
