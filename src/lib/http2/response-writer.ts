/** Writes responses no faster than the peer takes them (RFC 9113, section 5.2). */
import {
  ConnectionError,
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FrameType,
  type FrameWriter,
  LARGEST_WINDOW,
  DEFAULT_FRAME_BYTES,
  LARGEST_FRAME_BYTES,
  Setting,
} from './frame.js';
import type { ServerStream } from './server-stream.js';

export class ResponseWriter {
  readonly #writer: FrameWriter;
  readonly #peer: PeerSettings;
  readonly #onEnd: (stream: ServerStream) => void;
  /** Streams whose data waits for a window. */
  readonly #blocked = new Set<ServerStream>();
  /** What the peer takes of all streams together before it says more. */
  #window = DEFAULT_WINDOW;

  /** `onEnd`: a response is complete. */
  constructor(writer: FrameWriter, peer: PeerSettings, onEnd: (stream: ServerStream) => void) {
    this.#writer = writer;
    this.#peer = peer;
    this.#onEnd = onEnd;
  }

  headers(stream: ServerStream, block: Uint8Array, endStream: boolean): void {
    stream.responded = true;
    const most = this.#peer.maxFrameBytes;
    const end = endStream ? Flag.END_STREAM : 0;
    const whole = block.length <= most;
    this.#writer.frame(
      FrameType.HEADERS,
      whole ? end | Flag.END_HEADERS : end,
      stream.id,
      whole ? block : block.subarray(0, most),
    );
    for (let at = most; at < block.length; at += most) {
      const last = at + most >= block.length;
      const flags = last ? Flag.END_HEADERS : 0;
      this.#writer.frame(FrameType.CONTINUATION, flags, stream.id, block.subarray(at, at + most));
    }
    if (endStream) this.#onEnd(stream);
  }

  data(stream: ServerStream, data: Uint8Array): void {
    // What fits goes at once, as nearly every response does.
    if (stream.waiting.length === 0 && data.length <= this.#most(stream)) {
      this.#send(stream, data);
      return;
    }
    stream.waiting.push(data);
    this.flow(stream);
  }

  /** They follow when all the data is on its way. */
  trailers(stream: ServerStream, block: Uint8Array): void {
    stream.trailers = block;
    this.flow(stream);
  }

  /** Sends as much of what waits as the windows allow. */
  flow(stream: ServerStream): void {
    const { waiting } = stream;
    for (let data = waiting[0]; data; data = waiting[0]) {
      const most = this.#most(stream);
      if (most <= 0 && data.length > 0) {
        this.#blocked.add(stream);
        return;
      }
      const part = data.length <= most ? data : data.subarray(0, most);
      this.#send(stream, part);
      if (part === data) waiting.shift();
      else waiting[0] = data.subarray(most);
    }
    this.#blocked.delete(stream);
    if (stream.trailers) this.headers(stream, stream.trailers, true);
  }

  /** What one frame may hold now. */
  #most(stream: ServerStream): number {
    return Math.min(stream.sendWindow, this.#window, this.#peer.maxFrameBytes);
  }

  #send(stream: ServerStream, data: Uint8Array): void {
    this.#writer.frame(FrameType.DATA, 0, stream.id, data);
    stream.sendWindow -= data.length;
    this.#window -= data.length;
  }

  /** The peer takes so many bytes more on the connection. Throws ConnectionError. */
  grow(increment: number): void {
    this.#window += increment;
    if (this.#window > LARGEST_WINDOW) throw windowOverflow();
    this.unblock();
  }

  /** Windows have grown: goes on with what waits. */
  unblock(): void {
    for (const stream of this.#blocked) this.flow(stream);
  }

  /** The stream is over; what waits of it is dropped. */
  forget(stream: ServerStream): void {
    this.#blocked.delete(stream);
  }
}

export function windowOverflow(): ConnectionError {
  return new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'a window is too large');
}

// What the peer has said in SETTINGS (RFC 9113, section 6.5).

const SETTING_BYTES = 6;

export class PeerSettings {
  /** Whether the peer has said anything yet. */
  known = false;
  /** What each of its streams takes before it says more. */
  initialWindow = DEFAULT_WINDOW;
  maxFrameBytes = DEFAULT_FRAME_BYTES;

  /** Applies a payload. Returns by how much the window of open streams grows. Throws ConnectionError. */
  read(payload: Buffer): number {
    if (payload.length % SETTING_BYTES !== 0) {
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'SETTINGS have another size');
    }
    this.known = true;
    const before = this.initialWindow;
    for (let at = 0; at < payload.length; at += SETTING_BYTES) {
      this.#apply(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    }
    return this.initialWindow - before;
  }

  #apply(setting: number, value: number): void {
    if (setting === Setting.INITIAL_WINDOW_SIZE) {
      if (value > LARGEST_WINDOW) {
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'the initial window is too large');
      }
      this.initialWindow = value;
    } else if (setting === Setting.MAX_FRAME_SIZE) {
      if (value < DEFAULT_FRAME_BYTES || value > LARGEST_FRAME_BYTES) {
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'the frame size is out of range');
      }
      this.maxFrameBytes = value;
    } else if (setting === Setting.ENABLE_PUSH && value > 1) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'ENABLE_PUSH is neither 0 nor 1');
    }
  }
}

// Writes header blocks for responses: few fields, known beforehand, so without a table of their own.

const STATUS_INDEX = 8;
/** Values of `:status` that have an entry of their own in the static table. */
const STATUS_ENTRIES = new Map([
  [200, 8],
  [204, 9],
  [206, 10],
  [304, 11],
  [400, 12],
  [404, 13],
  [500, 14],
]);

/** Fields as HPACK literals without indexing (RFC 7541, section 6.2.2); values are ASCII. */
export function headerBlock(
  httpStatus: number | undefined,
  fields: Readonly<Record<string, string>>,
): Buffer {
  const parts: Buffer[] = [];
  if (httpStatus !== undefined) {
    const entry = STATUS_ENTRIES.get(httpStatus);
    parts.push(
      entry === undefined
        ? Buffer.concat([Buffer.from([STATUS_INDEX]), string(String(httpStatus))])
        : Buffer.from([0x80 | entry]),
    );
  }
  for (const [name, value] of Object.entries(fields)) {
    parts.push(Buffer.from([0]), string(name), string(value));
  }
  return Buffer.concat(parts);
}

function string(text: string): Buffer {
  const octets = Buffer.from(text, 'latin1');
  return Buffer.concat([Buffer.from(integer(octets.length)), octets]);
}

/** With a prefix of 7 bits (RFC 7541, section 5.1). */
function integer(value: number): number[] {
  if (value < 127) return [value];
  const octets = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) | 0x80);
  octets.push(rest);
  return octets;
}
