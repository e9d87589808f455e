/** Cuts what a client sends into frames (RFC 9113, sections 3.4 and 4.1). */
import {
  ConnectionError,
  DEFAULT_FRAME_BYTES,
  ErrorCode,
  Flag,
  FRAME_HEADER_BYTES,
  LARGEST_STREAM_ID,
} from './frame.js';

/** `payload` is valid until the visitor returns. */
export type FrameVisitor = (type: number, flags: number, streamId: number, payload: Buffer) => void;

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export class FrameReader {
  /** A frame whose end has not come: its beginning, and how much of it. */
  #partial: Buffer | undefined;
  #length = 0;
  /** Of the preface. */
  #prefaced = 0;

  /** Visits each frame that is whole by now. Throws ConnectionError. */
  read(chunk: Buffer, visit: FrameVisitor): void {
    let at = this.#prefaced < PREFACE.length ? this.#preface(chunk) : 0;
    if (this.#length > 0) at = this.#complete(chunk, at, visit);
    at = readFrames(chunk, at, visit);
    if (at < chunk.length) this.#keep(chunk, at, chunk.length);
  }

  /** Where the frames begin. */
  #preface(chunk: Buffer): number {
    const seen = Math.min(chunk.length, PREFACE.length - this.#prefaced);
    if (chunk.compare(PREFACE, this.#prefaced, this.#prefaced + seen, 0, seen) !== 0) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'this is not HTTP/2');
    }
    this.#prefaced += seen;
    return seen;
  }

  /** Adds what was missing of the frame that is kept, as far as it has come. */
  #complete(chunk: Buffer, start: number, visit: FrameVisitor): number {
    let at = this.#keep(chunk, start, start + FRAME_HEADER_BYTES - this.#length);
    const partial = this.#partial;
    if (!partial || this.#length < FRAME_HEADER_BYTES) return at;
    const length = FRAME_HEADER_BYTES + payloadBytes(partial, 0);
    at = this.#keep(chunk, at, at + length - this.#length);
    if (this.#length < length) return at;
    this.#length = 0;
    readFrames(partial.subarray(0, length), 0, visit);
    return at;
  }

  /** Keeps the bytes from `start` to `end`, or to the chunk's own end. */
  #keep(chunk: Buffer, start: number, end: number): number {
    if (start >= end || start >= chunk.length) return start;
    this.#partial ??= Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES + DEFAULT_FRAME_BYTES);
    const copied = chunk.copy(this.#partial, this.#length, start, Math.min(end, chunk.length));
    this.#length += copied;
    return start + copied;
  }
}

/** Throws ConnectionError if it is more than this side takes. */
function payloadBytes(bytes: Buffer, at: number): number {
  const length = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
  if (length > DEFAULT_FRAME_BYTES) {
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'a frame is too large');
  }
  return length;
}

/** Returns where the first frame begins that is not whole. */
function readFrames(bytes: Buffer, start: number, visit: FrameVisitor): number {
  let at = start;
  while (bytes.length - at >= FRAME_HEADER_BYTES) {
    const from = at + FRAME_HEADER_BYTES;
    const end = from + payloadBytes(bytes, at);
    if (end > bytes.length) break;
    const streamId = bytes.readUInt32BE(at + 5) & LARGEST_STREAM_ID;
    visit(bytes[at + 3] ?? 0, bytes[at + 4] ?? 0, streamId, bytes.subarray(from, end));
    at = end;
  }
  return at;
}

/** The payload without its padding and the first `skipped` bytes after the padding's length. Throws ConnectionError. */
export function unpadded(flags: number, payload: Buffer, skipped: number): Buffer {
  const padded = (flags & Flag.PADDED) !== 0;
  if (!padded && skipped === 0) return payload;
  const start = (padded ? 1 : 0) + skipped;
  const end = payload.length - (padded ? (payload[0] ?? 0) : 0);
  if (start > end) {
    throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a frame is shorter than its padding');
  }
  return payload.subarray(start, end);
}
