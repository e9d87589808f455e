/** One request and its response (RFC 9113, section 5.1). */
import type { RequestHead } from './request-head.js';

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
  /** Data that waits for the peer's window, and the trailers after it. */
  readonly waiting: Uint8Array[] = [];
  trailers: Uint8Array | undefined;
  readonly #chunks: Buffer[] = [];
  #bodyBytes = 0;

  constructor(id: number, head: RequestHead, sendWindow: number) {
    this.id = id;
    this.head = head;
    this.sendWindow = sendWindow;
  }

  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  /** Keeps a copy: a call that is held must not keep the connection's read buffer. */
  receive(chunk: Buffer): void {
    this.#bodyBytes += chunk.length;
    this.#chunks.push(Buffer.from(chunk));
  }

  body(): Buffer {
    const [only] = this.#chunks;
    return only && this.#chunks.length === 1 ? only : Buffer.concat(this.#chunks);
  }
}
