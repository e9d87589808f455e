/** One request and its response (RFC 9113, section 5.1). */
import { type HeldBytes, STREAM_BYTES } from './budgets.js';
import type { RequestHead } from './request-head.js';

const NOTHING: Buffer = Buffer.alloc(0);

export class ServerStream {
  readonly id: number;
  readonly head: RequestHead;
  /** What the peer takes of this stream before it says more; below zero when it took some back. */
  sendWindow: number;
  /** Whether the whole request has come. */
  remoteClosed = false;
  /** Whether the response's headers are on their way. */
  responded = false;
  /** Whether nothing more is to be sent. */
  closed = false;
  /** Called once when the stream is over, however it ended. */
  onClose: () => void = () => undefined;
  /** Given the body as it comes, instead of it being kept. The bytes are valid until it returns. */
  onData: ((data: Buffer) => void) | undefined;
  /** With `onData`: the whole body has come. */
  onEnd: () => void = () => undefined;
  /** What had to wait for the peer's window is on its way. */
  onDrain: () => void = () => undefined;
  /** Of what the client may send on this stream, what it has not been given back. */
  consumed = 0;
  /** Data that waits for the peer's window, and the trailers after it. */
  readonly waiting: Uint8Array[] = [];
  trailers: Uint8Array | undefined;
  readonly #connection: HeldBytes;
  #held = 0;
  #body: Buffer = NOTHING;
  #bodyBytes = 0;

  constructor(id: number, head: RequestHead, sendWindow: number, connection: HeldBytes) {
    this.id = id;
    this.head = head;
    this.sendWindow = sendWindow;
    this.#connection = connection;
    this.hold(STREAM_BYTES);
  }

  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  /** Counts bytes that are kept for this stream, or, below zero, are kept no longer. */
  hold(bytes: number): void {
    this.#held += bytes;
    this.#connection.bytes += bytes;
  }

  /** To be called once it is over. */
  letGo(): void {
    this.hold(-this.#held);
  }

  /** Takes a part of the body. Keeps a copy, unless it is taken as it comes: a call that is held must not keep the connection's read buffer. */
  receive(chunk: Buffer): void {
    if (chunk.length === 0) return;
    if (this.onData) {
      this.#bodyBytes += chunk.length;
      this.onData(chunk);
      return;
    }
    const length = this.#bodyBytes + chunk.length;
    this.hold(chunk.length);
    if (this.#bodyBytes === 0) {
      this.#body = Buffer.from(chunk);
    } else {
      if (length > this.#body.length) this.#grow(length);
      chunk.copy(this.#body, this.#bodyBytes);
    }
    this.#bodyBytes = length;
  }

  /** However small its pieces are, a body takes twice its bytes at most. */
  #grow(least: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(least, 2 * this.#body.length));
    this.#body.copy(grown, 0, 0, this.#bodyBytes);
    this.#body = grown;
  }

  body(): Buffer {
    return this.#body.subarray(0, this.#bodyBytes);
  }
}
