/** Writes responses no faster than the peer takes them (RFC 9113, section 5.2). */
import {
  ConnectionError,
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FrameType,
  type FrameWriter,
  LARGEST_WINDOW,
} from './frame.js';
import type { PeerSettings } from './peer-settings.js';
import type { ServerStream } from './server-stream.js';

export class ResponseWriter {
  readonly #writer: FrameWriter;
  readonly #peer: PeerSettings;
  readonly #onEnd: (stream: ServerStream) => void;
  /** Told of each frame of data. */
  readonly #onData: () => void;
  /** Streams whose data waits for the connection's window. For one of its own a stream is looked for. */
  readonly #blocked = new Set<ServerStream>();
  /** What the peer takes of all streams together before it says more. */
  #window = DEFAULT_WINDOW;

  /** `onEnd`: a response is complete. */
  constructor(
    writer: FrameWriter,
    peer: PeerSettings,
    onEnd: (stream: ServerStream) => void,
    onData: () => void,
  ) {
    this.#writer = writer;
    this.#peer = peer;
    this.#onEnd = onEnd;
    this.#onData = onData;
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
    stream.hold(data.length);
    this.#flow(stream);
  }

  /** They follow when all the data is on its way. */
  trailers(stream: ServerStream, block: Uint8Array): void {
    stream.trailers = block;
    this.#flow(stream);
  }

  /** A window has grown: sends as much of what waits as is allowed now. */
  flow(stream: ServerStream): void {
    const waited = stream.waiting.length > 0;
    this.#flow(stream);
    if (waited && stream.waiting.length === 0 && !stream.closed) stream.onDrain();
  }

  #flow(stream: ServerStream): void {
    const { waiting } = stream;
    for (let data = waiting[0]; data; data = waiting[0]) {
      const most = this.#most(stream);
      if (most <= 0 && data.length > 0) {
        if (stream.sendWindow > 0) this.#blocked.add(stream);
        else this.#blocked.delete(stream);
        return;
      }
      const part = data.length <= most ? data : data.subarray(0, most);
      this.#send(stream, part);
      stream.hold(-part.length);
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
    this.#onData();
  }

  /** The peer takes so many bytes more on the connection. Throws ConnectionError. */
  grow(increment: number): void {
    this.#window += increment;
    if (this.#window > LARGEST_WINDOW) throw windowOverflow();
    for (const stream of this.#blocked) {
      // A window that grows by little costs little, however many wait for it.
      if (this.#window <= 0) return;
      this.flow(stream);
    }
  }

  /** The stream is over; what waits of it is dropped. */
  forget(stream: ServerStream): void {
    this.#blocked.delete(stream);
  }
}

export function windowOverflow(): ConnectionError {
  return new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'a window is too large');
}
