// @ts-check
//
// A TCP socket that has been upgraded and is then given any bytes, also those no library would send.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";

const CLOSE = 8;
const PATIENCE_MS = 5000;

/** The opcodes of RFC 6455. */
export const OPCODE = /** @type {const} */ ({
  CONTINUE: 0,
  TEXT: 1,
  BINARY: 2,
  CLOSE,
  PING: 9,
  PONG: 10,
});

/** A socket at the relay, speaking WebSocket by hand. */
export class RawSocket {
  #socket;
  #bytes = Buffer.alloc(0);
  /** The head of the answer to the upgrade. */
  head = "";

  /**
   * @param {{ port: number }} relay
   * @param {Record<string, string | undefined>} [headers] instead of the handshake's own; `undefined`
   *   leaves one out
   * @returns {Promise<RawSocket>} once the relay has answered
   */
  static async open({ port }, headers = {}) {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    const raw = new RawSocket(socket);
    const all = {
      Host: `127.0.0.1:${port}`,
      Connection: "keep-alive, Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
      "Sec-WebSocket-Protocol": "whoshere.v1",
      ...headers,
    };
    const lines = Object.entries(all).filter(([, value]) => value !== undefined);
    const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.write(`GET /v1/presence HTTP/1.1\r\n${text}\r\n`);
    await raw.#until(() => raw.head !== "" || socket.destroyed);
    return raw;
  }

  /** @param {import("node:net").Socket} socket */
  constructor(socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      const end = this.#bytes.indexOf("\r\n\r\n");
      if (this.head === "" && end >= 0) {
        this.head = this.#bytes.subarray(0, end).toString();
        this.#bytes = this.#bytes.subarray(end + 4);
      }
    });
  }

  /** @returns {number} the answer's status code */
  get status() {
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.head)?.[1]);
  }

  /** @param {Uint8Array | string} bytes */
  send(bytes) {
    this.#socket.write(bytes);
  }

  /**
   * @param {object} frame
   */
  sendFrame(frame) {
    this.send(encode(OPCODE.TEXT, JSON.stringify(frame)));
  }

  /**
   * @param {number} [patienceMs]
   * @returns {Promise<{ opcode: number, payload: Buffer } | undefined>} the relay's next frame;
   *   `undefined` if the socket ended
   */
  async next(patienceMs = PATIENCE_MS) {
    let frame = this.#shift();
    await this.#until(() => {
      frame ??= this.#shift();
      return frame !== undefined || this.#socket.readableEnded || this.#socket.destroyed;
    }, patienceMs);
    return frame;
  }

  /**
   * @param {number} [patienceMs]
   * @returns {Promise<number | undefined>} the code of the relay's close frame, skipping the rest
   */
  async closeCode(patienceMs = PATIENCE_MS) {
    for (;;) {
      const frame = await this.next(patienceMs);
      if (frame === undefined) return undefined;
      if (frame.opcode === CLOSE) return frame.payload.readUInt16BE(0);
    }
  }

  /** Ends the socket, orderly for TCP but without a word for WebSocket. */
  end() {
    this.#socket.destroy();
  }

  /** @returns {{ opcode: number, payload: Buffer } | undefined} */
  #shift() {
    const bytes = this.#bytes;
    if (this.head === "" || bytes.length < 2) return undefined;
    const short = bytes.readUInt8(1);
    const headerSize = short === 127 ? 10 : short === 126 ? 4 : 2;
    if (bytes.length < headerSize) return undefined;
    const size =
      short === 127
        ? Number(bytes.readBigUInt64BE(2))
        : short === 126
          ? bytes.readUInt16BE(2)
          : short;
    if (bytes.length < headerSize + size) return undefined;
    this.#bytes = bytes.subarray(headerSize + size);
    const payload = bytes.subarray(headerSize, headerSize + size);
    return { opcode: bytes.readUInt8(0) & 0x0f, payload };
  }

  /**
   * @param {() => boolean} condition
   * @param {number} [patienceMs]
   */
  async #until(condition, patienceMs = PATIENCE_MS) {
    const deadline = Date.now() + patienceMs;
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`waited ${patienceMs} ms for the relay's answer`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}

/**
 * A client's frame.
 *
 * @param {number} opcode
 * @param {string | Uint8Array} payload
 * @param {{ isFinal?: boolean, isMasked?: boolean, reserved?: number }} [options]
 * @returns {Buffer}
 */
export function encode(opcode, payload, { isFinal = true, isMasked = true, reserved = 0 } = {}) {
  const bytes = Buffer.from(payload);
  const first = (isFinal ? 0x80 : 0) | (reserved << 4) | opcode;
  const maskBit = isMasked ? 0x80 : 0;
  let header;
  if (bytes.length < 126) header = Buffer.from([first, maskBit | bytes.length]);
  else if (bytes.length < 0x1_0000) {
    header = Buffer.from([first, maskBit | 126, 0, 0]);
    header.writeUInt16BE(bytes.length, 2);
  } else {
    header = Buffer.from([first, maskBit | 127, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.writeBigUInt64BE(BigInt(bytes.length), 2);
  }
  if (!isMasked) return Buffer.concat([header, bytes]);
  const mask = randomBytes(4);
  return Buffer.concat([header, mask, bytes.map((byte, i) => byte ^ mask.readUInt8(i % 4))]);
}
