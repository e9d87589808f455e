/**
 * What a client's frames say, each by itself: their order, their sizes and what they are about
 * (RFC 9113, sections 4 to 6). What becomes of streams is not decided here.
 */
import type { FrameBudgets } from './budgets.js';
import {
  checkConnection,
  checkStream,
  ConnectionError,
  ErrorCode,
  Flag,
  FrameType,
  LARGEST_WINDOW,
  PING_BYTES,
  wrongSize,
} from './frame.js';
import { unpadded } from './frame-reader.js';
import { PartialBlock } from './request-heads.js';

export interface FrameListener {
  /** `length`: of the payload with its padding, all of which counts for flow control. */
  data(streamId: number, data: Buffer, length: number, endStream: boolean): void;
  /** A whole header block, however many frames it came in. */
  headers(streamId: number, block: Buffer, endStream: boolean): void;
  settings(payload: Buffer): void;
  ping(payload: Buffer): void;
  /** The answer to a ping of this side's. */
  pong(payload: Buffer): void;
  /** `streamId` 0: of the connection. */
  windowUpdate(streamId: number, increment: number): void;
  reset(streamId: number): void;
  /** Priorities are not used, but must have their size. */
  unreadablePriority(streamId: number): void;
}

export class ClientFrames {
  readonly #budgets: FrameBudgets;
  readonly #listener: FrameListener;
  #begun = false;
  /** A header block whose end has not come. */
  #partial: PartialBlock | undefined;

  constructor(budgets: FrameBudgets, listener: FrameListener) {
    this.#budgets = budgets;
    this.#listener = listener;
  }

  /** Throws ConnectionError. */
  take(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (this.#partial && (type !== FrameType.CONTINUATION || streamId !== this.#partial.streamId)) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a header block is interrupted');
    }
    if (!this.#begun && type !== FrameType.SETTINGS) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'the first frame is not SETTINGS');
    }
    switch (type) {
      case FrameType.DATA:
        return this.#takeData(flags, streamId, payload);
      case FrameType.HEADERS:
        return this.#takeHeaders(flags, streamId, payload);
      case FrameType.CONTINUATION:
        return this.#takeContinuation(flags, payload);
      case FrameType.SETTINGS:
        return this.#takeSettings(flags, streamId, payload);
      case FrameType.PING:
        return this.#takePing(flags, streamId, payload);
      case FrameType.WINDOW_UPDATE:
        return this.#takeWindowUpdate(streamId, payload);
      case FrameType.RST_STREAM:
        return this.#takeReset(streamId, payload);
      case FrameType.PRIORITY:
        return this.#takePriority(streamId, payload);
      case FrameType.GOAWAY:
        checkConnection(streamId);
        return this.#budgets.control.spend();
      case FrameType.PUSH_PROMISE:
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a client cannot push');
      default:
        // Unknown types are ignored (RFC 9113, section 4.1).
        this.#budgets.control.spend();
    }
  }

  #takeData(flags: number, streamId: number, payload: Buffer): void {
    checkStream(streamId);
    const data = unpadded(flags, payload, 0);
    this.#listener.data(streamId, data, payload.length, (flags & Flag.END_STREAM) !== 0);
  }

  #takeHeaders(flags: number, streamId: number, payload: Buffer): void {
    checkStream(streamId);
    const block = unpadded(flags, payload, flags & Flag.PRIORITY ? 5 : 0);
    const endStream = (flags & Flag.END_STREAM) !== 0;
    if (flags & Flag.END_HEADERS) this.#listener.headers(streamId, block, endStream);
    else this.#partial = new PartialBlock(streamId, endStream, block);
  }

  #takeContinuation(flags: number, payload: Buffer): void {
    const partial = this.#partial;
    if (!partial) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'no header block is open');
    partial.add(payload);
    if (!(flags & Flag.END_HEADERS)) return;
    this.#partial = undefined;
    this.#listener.headers(partial.streamId, partial.whole(), partial.endStream);
  }

  #takeSettings(flags: number, streamId: number, payload: Buffer): void {
    checkConnection(streamId);
    this.#budgets.control.spend();
    if (flags & Flag.ACK) {
      if (payload.length > 0) throw wrongSize('SETTINGS');
      return;
    }
    this.#listener.settings(payload);
    this.#begun = true;
  }

  #takePing(flags: number, streamId: number, payload: Buffer): void {
    checkConnection(streamId);
    this.#budgets.control.spend();
    if (payload.length !== PING_BYTES) throw wrongSize('PING');
    if (flags & Flag.ACK) this.#listener.pong(payload);
    else this.#listener.ping(payload);
  }

  #takeWindowUpdate(streamId: number, payload: Buffer): void {
    this.#budgets.windows.spend();
    if (payload.length !== 4) throw wrongSize('WINDOW_UPDATE');
    this.#listener.windowUpdate(streamId, payload.readUInt32BE(0) & LARGEST_WINDOW);
  }

  #takeReset(streamId: number, payload: Buffer): void {
    checkStream(streamId);
    this.#budgets.resets.spend();
    if (payload.length !== 4) throw wrongSize('RST_STREAM');
    this.#listener.reset(streamId);
  }

  #takePriority(streamId: number, payload: Buffer): void {
    checkStream(streamId);
    this.#budgets.control.spend();
    if (payload.length !== 5) this.#listener.unreadablePriority(streamId);
  }
}
