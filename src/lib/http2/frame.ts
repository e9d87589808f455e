/** HTTP/2 frames (RFC 9113, sections 4 and 6). */

export const FRAME_HEADER_BYTES = 9;
/** The largest payload that either side takes unless it says otherwise (RFC 9113, section 4.2). */
export const DEFAULT_FRAME_BYTES = 16_384;
export const LARGEST_FRAME_BYTES = 16_777_215;
/** What a window starts with unless SETTINGS say otherwise, and the most it may grow to (section 6.9). */
export const DEFAULT_WINDOW = 65_535;
export const LARGEST_WINDOW = 2 ** 31 - 1;
export const LARGEST_STREAM_ID = 2 ** 31 - 1;

export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const Flag = {
  ACK: 0x1,
  END_STREAM: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

export const Setting = {
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const;

/** RFC 9113, section 7. */
export const ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  FLOW_CONTROL_ERROR: 3,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  ENHANCE_YOUR_CALM: 11,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** Ends the connection with GOAWAY (RFC 9113, section 5.4.1). */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Throws ConnectionError for a frame that is about no stream. */
export function checkStream(streamId: number): void {
  if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a frame needs a stream');
}

/** Throws ConnectionError for a stream that only a server opens. */
export function checkClientStream(streamId: number): void {
  if (streamId % 2 !== 0) return;
  throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a client's streams have odd ids");
}

/** Throws ConnectionError for a frame about one stream that is none. */
export function checkConnection(streamId: number): void {
  if (streamId !== 0) {
    throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a frame is not about one stream');
  }
}

/** Of a PING's payload. */
export const PING_BYTES = 8;

export function wrongSize(type: string): ConnectionError {
  return new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, `${type} has another size`);
}

const WRITER_BYTES = 64 * 1024;
/** For a frame or two. */
const LEAST_BYTES = 512;
const NOTHING: Buffer = Buffer.alloc(0);

/** Collects frames that are to be written at once. */
export class FrameWriter {
  /** Whether room is kept for what comes next. */
  readonly #keepsRoom: boolean;
  #bytes: Buffer;
  #length = 0;

  /** `keepsRoom`: for a peer that is told much and often; without, a quiet one costs no memory. */
  constructor(keepsRoom = true) {
    this.#keepsRoom = keepsRoom;
    this.#bytes = keepsRoom ? Buffer.allocUnsafe(WRITER_BYTES) : NOTHING;
  }

  get empty(): boolean {
    return this.#length === 0;
  }

  /** Bytes that wait to be taken. */
  get length(): number {
    return this.#length;
  }

  frame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    this.#header(type, flags, streamId, payload.length);
    this.#bytes.set(payload, this.#length);
    this.#length += payload.length;
  }

  /** RST_STREAM and WINDOW_UPDATE: a payload of one number. */
  number(type: number, streamId: number, value: number): void {
    this.#header(type, 0, streamId, 4);
    this.#length = this.#bytes.writeUInt32BE(value, this.#length);
  }

  settings(values: readonly (readonly [setting: number, value: number])[]): void {
    this.#header(FrameType.SETTINGS, 0, 0, values.length * 6);
    for (const [setting, value] of values) {
      this.#length = this.#bytes.writeUInt16BE(setting, this.#length);
      this.#length = this.#bytes.writeUInt32BE(value, this.#length);
    }
  }

  goAway(lastStreamId: number, code: ErrorCode, message: string): void {
    const text = Buffer.from(message);
    this.#header(FrameType.GOAWAY, 0, 0, 8 + text.length);
    this.#length = this.#bytes.writeUInt32BE(lastStreamId, this.#length);
    this.#length = this.#bytes.writeUInt32BE(code, this.#length);
    this.#bytes.set(text, this.#length);
    this.#length += text.length;
  }

  /** All frames since the last call. */
  take(): Buffer {
    if (!this.#keepsRoom) {
      const all = this.#bytes.subarray(0, this.#length);
      this.#bytes = NOTHING;
      this.#length = 0;
      return all;
    }
    const taken = Buffer.from(this.#bytes.subarray(0, this.#length));
    this.#length = 0;
    // One burst is no reason to keep its room for good.
    if (this.#bytes.length > 16 * WRITER_BYTES) this.#bytes = Buffer.allocUnsafe(WRITER_BYTES);
    return taken;
  }

  #header(type: number, flags: number, streamId: number, length: number): void {
    this.#reserve(FRAME_HEADER_BYTES + length);
    const bytes = this.#bytes;
    const at = this.#length;
    bytes[at] = length >>> 16;
    bytes[at + 1] = length >>> 8;
    bytes[at + 2] = length;
    bytes[at + 3] = type;
    bytes[at + 4] = flags;
    bytes[at + 5] = streamId >>> 24;
    bytes[at + 6] = streamId >>> 16;
    bytes[at + 7] = streamId >>> 8;
    bytes[at + 8] = streamId;
    this.#length = at + FRAME_HEADER_BYTES;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2, LEAST_BYTES));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
