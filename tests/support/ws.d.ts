/** What the tests use of the package `ws`, which brings no types. */
declare module "ws" {
  import type { EventEmitter } from "node:events";

  interface WebSocketEvents {
    open: [];
    message: [data: Buffer, isBinary: boolean];
    pong: [];
    close: [code: number, reason: Buffer];
    error: [error: Error];
  }

  export default class WebSocket extends EventEmitter<WebSocketEvents> {
    constructor(
      url: string,
      protocols?: string | string[],
      options?: {
        origin?: string;
        localAddress?: string;
        ca?: Buffer;
        perMessageDeflate?: boolean;
      },
    );
    send(data: string | Uint8Array, done?: (error?: Error) => void): void;
    ping(data?: string): void;
    close(code?: number, reason?: string): void;
    terminate(): void;
  }
}
