// @ts-check
//
// A network that can fail: a TCP proxy between a page and the relay. Playwright's own offline mode leaves
// open sockets alone, and so do most other ways of pretending.
import { once } from "node:events";
import { connect, createServer } from "node:net";

/** @typedef {import("node:net").Socket} Socket */

/**
 * Starts a proxy on a free port of this machine. The caller must `stop` it.
 *
 * @param {number} port where the relay listens on this machine
 * @returns {Promise<TcpProxy>}
 */
export async function startProxy(port) {
  const proxy = new TcpProxy(port);
  await proxy.goOn();
  return proxy;
}

/** A proxy that passes everything on until it is told otherwise. */
export class TcpProxy {
  #target;
  #port = 0;
  /** @type {import("node:net").Server | undefined} */
  #server;
  /** @type {Set<Socket>} both ends of all connections */
  #sockets = new Set();
  #isStalled = false;

  /** @param {number} target */
  constructor(target) {
    this.#target = target;
  }

  /** The address that stands for the relay's. */
  get http() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The port that stands for the relay's. */
  get port() {
    return this.#port;
  }

  /** How many connections go through it. */
  get nConnections() {
    return this.#sockets.size / 2;
  }

  /** From now on nothing comes through, either way, and nobody is told. New connections hang, too. */
  stall() {
    this.#isStalled = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** Resets every connection, at both ends. New ones are welcome. */
  reset() {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Refuses new connections. */
  refuse() {
    this.#server?.close();
    this.#server = undefined;
  }

  /** What most people call a drop: resets every connection and refuses new ones. */
  drop() {
    this.refuse();
    this.reset();
  }

  /** Everything comes through again; what was stalled is late, but not lost. */
  async goOn() {
    this.#isStalled = false;
    for (const socket of this.#sockets) socket.resume();
    if (this.#server !== undefined) return;
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (page) => {
      this.#join(page);
    });
    this.#server = server;
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#port = /** @type {import("node:net").AddressInfo} */ (server.address()).port;
  }

  /** Ends it, and all connections. */
  stop() {
    this.refuse();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** @param {Socket} page */
  #join(page) {
    const relay = connect({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
    this.#forward(page, relay);
    this.#forward(relay, page);
    if (this.#isStalled) relay.pause();
    else page.resume();
  }

  /** @param {Socket} from @param {Socket} to */
  #forward(from, to) {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on("data", (bytes) => to.write(bytes));
    from.on("end", () => to.end());
    from.on("error", () => to.resetAndDestroy());
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroySoon();
    });
  }
}
