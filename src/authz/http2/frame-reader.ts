/** Cuts what a client sends into frames (RFC 9113, sections 3.4 and 4.1). */
import {
  ConnectionError,
  DEFAULT_FRAME_BYTES,
  ErrorCode,
  Flag,
  FRAME_HEADER_BYTES,
  LARGEST_STREAM_ID,
} from './frame.js';

/** `payload` is a part of what was read, and changes hands with it. */
export type FrameVisitor = (type: number, flags: number, streamId: number, payload: Buffer) => void;

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export class FrameReader {
  #unread: Buffer | undefined;
  #prefaced = false;

  /** Visits each frame that is whole by now. Throws ConnectionError. */
  read(chunk: Buffer, visit: FrameVisitor): void {
    const bytes = this.#unread ? Buffer.concat([this.#unread, chunk]) : chunk;
    const start = this.#prefaced ? 0 : this.#preface(bytes);
    const read = this.#prefaced ? readFrames(bytes, start, visit) : 0;
    this.#unread = read < bytes.length ? bytes.subarray(read) : undefined;
  }

  /** Where the frames begin, once the whole preface has come. */
  #preface(bytes: Buffer): number {
    const seen = Math.min(bytes.length, PREFACE.length);
    if (bytes.compare(PREFACE, 0, seen, 0, seen) !== 0) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'this is not HTTP/2');
    }
    this.#prefaced = seen === PREFACE.length;
    return seen;
  }
}

/** Returns where the first frame begins that is not whole. */
function readFrames(bytes: Buffer, start: number, visit: FrameVisitor): number {
  let at = start;
  while (bytes.length - at >= FRAME_HEADER_BYTES) {
    const length = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    if (length > DEFAULT_FRAME_BYTES) {
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'a frame is too large');
    }
    const from = at + FRAME_HEADER_BYTES;
    const end = from + length;
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
