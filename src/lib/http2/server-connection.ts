/**
 * The server's side of one HTTP/2 connection (RFC 9113): bytes in, whole requests and bytes out.
 * It holds no socket and no timer.
 */
import { frameBudgets, HeldBytes, MAX_STREAMS } from './budgets.js';
import { ClientFrames } from './client-frames.js';
import {
  checkClientStream,
  ConnectionError,
  DEFAULT_FRAME_BYTES,
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FrameType,
  FrameWriter,
  LARGEST_STREAM_ID,
  LARGEST_WINDOW,
  Setting,
} from './frame.js';
import { FrameReader, type FrameVisitor } from './frame-reader.js';
import { CompressionError } from './hpack-decoder.js';
import { PeerSettings } from './peer-settings.js';
import { MAX_HEADER_LIST_BYTES } from './request-head.js';
import { RequestHeads } from './request-heads.js';
import { ResponseWriter, windowOverflow } from './response-writer.js';
import { ServerStream } from './server-stream.js';
import { StreamTable } from './stream-table.js';

export interface ServerConnectionOptions {
  /** The largest body that is taken, bytes. */
  readonly maxBodyBytes: number;
  /** A whole request has come. */
  readonly onRequest: (stream: ServerStream) => void;
  /** The head of a request has come. Where it sets the stream's `onData`, the body has no limit here. */
  readonly onOpen?: (stream: ServerStream) => void;
  /** A request has a larger body than is taken; the rest of it is dropped. */
  readonly onTooLarge: (stream: ServerStream) => void;
  /** There is output to take. Called again and again until it is taken. */
  readonly onOutput: () => void;
  /** What is kept for the peer at most, bytes; `MAX_HELD_BYTES` by default. */
  readonly maxHeldBytes?: number;
  /** Whether memory is kept for what the peer is told next. Default true. */
  readonly keepsRoom?: boolean;
  /** Milliseconds that never go back, for what a peer may send in a time. */
  readonly now: () => number;
}

/** What a client may send on the connection before it hears of more: many small requests at once. */
const RECEIVE_WINDOW = 16 * 1024 * 1024;
/** A peer that takes data tells so twice at most, for the stream and for the connection. */
const WINDOWS_PER_DATA = 2;
const SHUTDOWN_PING = Buffer.from('shutdown');
const ALIVE_PING = Buffer.from('alive?\0\0');

export class ServerConnection {
  readonly #options: ServerConnectionOptions;
  readonly #reader = new FrameReader();
  readonly #writer: FrameWriter;
  readonly #heads = new RequestHeads();
  readonly #peer = new PeerSettings();
  readonly #responses: ResponseWriter;
  readonly #budgets;
  readonly #frames: ClientFrames;
  readonly #held: HeldBytes;
  /** What each stream may send before it hears of more. */
  readonly #streamWindow: number;
  readonly #streams = new StreamTable();
  #consumed = 0;
  #shutdown: 'no' | 'announced' | 'final' = 'no';
  #failed = false;

  constructor(options: ServerConnectionOptions) {
    this.#options = options;
    this.#budgets = frameBudgets(options.now);
    this.#held = new HeldBytes(options.maxHeldBytes);
    this.#writer = new FrameWriter(options.keepsRoom);
    this.#responses = new ResponseWriter(
      this.#writer,
      this.#peer,
      (stream) => this.#ended(stream),
      () => this.#budgets.windows.earn(WINDOWS_PER_DATA),
    );
    // No stream needs more than its largest body, so only the connection's window is kept open.
    this.#streamWindow = Math.max(DEFAULT_WINDOW, options.maxBodyBytes + DEFAULT_FRAME_BYTES);
    this.#frames = new ClientFrames(this.#budgets, {
      data: (streamId, data, length, end) => this.#readData(streamId, data, length, end),
      headers: (streamId, block, end) => this.#readHeaders(streamId, block, end),
      settings: (payload) => this.#readSettings(payload),
      ping: (payload) => this.#writer.frame(FrameType.PING, Flag.ACK, 0, payload),
      pong: (payload) => this.#readPong(payload),
      windowUpdate: (streamId, increment) => this.#readWindowUpdate(streamId, increment),
      reset: (streamId) => this.#readReset(streamId),
      unreadablePriority: (streamId) => this.#refusePriority(streamId),
    });
    this.#writer.settings([
      [Setting.MAX_CONCURRENT_STREAMS, MAX_STREAMS],
      [Setting.INITIAL_WINDOW_SIZE, this.#streamWindow],
      [Setting.MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST_BYTES],
    ]);
    this.#writer.number(FrameType.WINDOW_UPDATE, 0, RECEIVE_WINDOW - DEFAULT_WINDOW);
  }

  /** Whether all has been said once the output is taken, so that the socket can be ended. */
  get finished(): boolean {
    return this.#failed || (this.#shutdown === 'final' && this.#streams.size === 0);
  }

  /** Whether the peer has shown that it speaks HTTP/2. */
  get established(): boolean {
    return this.#peer.known;
  }

  /** Bytes that are kept for the peer: unfinished requests, and answers that it has not taken. */
  get heldBytes(): number {
    return this.#held.bytes + this.#writer.length;
  }

  /** What is to be written now; undefined for nothing. */
  takeOutput(): Buffer | undefined {
    return this.#writer.empty ? undefined : this.#writer.take();
  }

  /** Reads what has come. A peer that breaks the protocol is told so, and the connection is finished. */
  receive(chunk: Buffer): void {
    if (this.#failed) return;
    try {
      this.#reader.read(chunk, this.#frame);
    } catch (error) {
      this.#fail(error);
    }
    this.#announce();
  }

  /** Sends a response's headers, and with `end` nothing else. */
  respond(stream: ServerStream, block: Uint8Array, end: boolean): void {
    if (stream.closed) return;
    this.#responses.headers(stream, block, end);
    this.#announce();
  }

  send(stream: ServerStream, data: Uint8Array): void {
    if (stream.closed) return;
    this.#responses.data(stream, data);
    if (this.heldBytes > this.#held.most) {
      this.#fail(new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'answers are not taken'));
    }
    this.#announce();
  }

  /** Ends a response with trailers, once all its data is on its way. */
  finish(stream: ServerStream, trailers: Uint8Array): void {
    if (stream.closed) return;
    this.#responses.trailers(stream, trailers);
    this.#announce();
  }

  reset(stream: ServerStream, code: ErrorCode): void {
    if (stream.closed) return;
    this.#abandon(stream, code);
    this.#announce();
  }

  /**
   * Tells the peer to go (RFC 9113, section 6.8): requests that are on their way when it hears of it
   * are still taken, and those under way finish.
   */
  shutDown(): void {
    if (this.#failed || this.#shutdown !== 'no') return;
    this.#shutdown = 'announced';
    this.#writer.goAway(LARGEST_STREAM_ID, ErrorCode.NO_ERROR, '');
    this.#writer.frame(FrameType.PING, 0, 0, SHUTDOWN_PING);
    this.#announce();
  }

  /** Asks the peer for a sign of life. */
  ping(): void {
    if (this.#failed) return;
    this.#writer.frame(FrameType.PING, 0, 0, ALIVE_PING);
    this.#announce();
  }

  /** The socket has gone: every stream is over. */
  disconnected(): void {
    this.#failed = true;
    for (const stream of this.#streams.open()) this.#close(stream);
  }

  readonly #frame: FrameVisitor = (type, flags, streamId, payload) => {
    if (!this.#failed) this.#frames.take(type, flags, streamId, payload);
  };

  #readData(streamId: number, data: Buffer, length: number, endStream: boolean): void {
    this.#consume(length);
    const stream = this.#open(streamId);
    if (!stream || (data.length === 0 && !endStream)) this.#budgets.control.spend();
    if (!stream) {
      if (!this.#streams.isAbandoned(streamId)) {
        this.#writer.number(FrameType.RST_STREAM, streamId, ErrorCode.STREAM_CLOSED);
      }
      return;
    }
    if (stream.remoteClosed) {
      this.#refuse(stream, ErrorCode.STREAM_CLOSED);
      return;
    }
    const taken = !!stream.onData || stream.bodyBytes <= this.#options.maxBodyBytes;
    if (taken) stream.receive(data);
    if (stream.closed) return;
    if (stream.onData) this.#giveBack(stream, length);
    else if (taken && stream.bodyBytes > this.#options.maxBodyBytes) {
      this.#budgets.resets.spend();
      this.#options.onTooLarge(stream);
      return;
    }
    if (this.#held.tooMany) this.#refuse(stream, ErrorCode.ENHANCE_YOUR_CALM);
    else if (endStream) this.#requested(stream);
  }

  #readHeaders(streamId: number, block: Buffer, endStream: boolean): void {
    // Also of a stream that is refused: the table is the connection's.
    const head = this.#heads.read(block);
    if (this.#streams.wasOpened(streamId)) {
      this.#readTrailers(streamId, endStream);
      return;
    }
    checkClientStream(streamId);
    // Said to be left to another connection (RFC 9113, section 6.8).
    if (this.#shutdown === 'final') return;
    const stream = new ServerStream(streamId, head, this.#peer.initialWindow, this.#held);
    this.#streams.add(stream);
    if (head.tooLarge) this.#refuse(stream, ErrorCode.ENHANCE_YOUR_CALM);
    else if (head.malformed) this.#refuse(stream, ErrorCode.PROTOCOL_ERROR);
    else if (this.#streams.size > MAX_STREAMS || this.#held.tooMany) {
      this.#refuse(stream, ErrorCode.REFUSED_STREAM);
    } else {
      this.#options.onOpen?.(stream);
      if (endStream && !stream.closed) this.#requested(stream);
    }
  }

  #readTrailers(streamId: number, endStream: boolean): void {
    if (this.#streams.isAbandoned(streamId)) return this.#budgets.control.spend();
    const stream = this.#streams.get(streamId);
    if (!stream || stream.remoteClosed) {
      throw new ConnectionError(ErrorCode.STREAM_CLOSED, 'headers on a stream that is closed');
    }
    if (endStream) this.#requested(stream);
    else this.#refuse(stream, ErrorCode.PROTOCOL_ERROR);
  }

  #requested(stream: ServerStream): void {
    stream.remoteClosed = true;
    const { contentLength } = stream.head;
    if (contentLength !== undefined && contentLength !== stream.bodyBytes) {
      this.#refuse(stream, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    if (stream.onData) stream.onEnd();
    else this.#options.onRequest(stream);
  }

  #readSettings(payload: Buffer): void {
    const grown = this.#peer.read(payload);
    this.#writer.frame(FrameType.SETTINGS, Flag.ACK, 0, Buffer.alloc(0));
    if (grown === 0) return;
    for (const stream of this.#streams.open()) {
      stream.sendWindow += grown;
      if (stream.sendWindow > LARGEST_WINDOW) throw windowOverflow();
      if (stream.waiting.length > 0) this.#responses.flow(stream);
    }
  }

  #readPong(payload: Buffer): void {
    if (this.#shutdown !== 'announced' || !payload.equals(SHUTDOWN_PING)) return;
    this.#shutdown = 'final';
    this.#writer.goAway(this.#streams.lastId, ErrorCode.NO_ERROR, '');
  }

  #readWindowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) {
      if (increment === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'an empty window');
      this.#responses.grow(increment);
      return;
    }
    const stream = this.#open(streamId);
    if (!stream) return;
    stream.sendWindow += increment;
    if (increment === 0) this.#refuse(stream, ErrorCode.PROTOCOL_ERROR);
    else if (stream.sendWindow > LARGEST_WINDOW) this.#refuse(stream, ErrorCode.FLOW_CONTROL_ERROR);
    else this.#responses.flow(stream);
  }

  #readReset(streamId: number): void {
    const stream = this.#open(streamId);
    if (stream) this.#close(stream);
  }

  /** The stream need not exist (RFC 9113, section 5.3.2). */
  #refusePriority(streamId: number): void {
    this.#writer.number(FrameType.RST_STREAM, streamId, ErrorCode.FRAME_SIZE_ERROR);
    const stream = this.#streams.get(streamId);
    if (stream) this.#close(stream);
  }

  /** undefined: it has ended already, and what is still on its way to it is dropped. */
  #open(streamId: number): ServerStream | undefined {
    if (!this.#streams.wasOpened(streamId) && this.#shutdown !== 'final') {
      throw new ConnectionError(
        ErrorCode.PROTOCOL_ERROR,
        'a frame on a stream that was not opened',
      );
    }
    return this.#streams.get(streamId);
  }

  /** All that comes is read at once, so the window is opened again when half of it is used. */
  #consume(bytes: number): void {
    this.#consumed += bytes;
    if (this.#consumed < RECEIVE_WINDOW / 2) return;
    this.#writer.number(FrameType.WINDOW_UPDATE, 0, this.#consumed);
    this.#consumed = 0;
  }

  /** Of a stream whose body is taken as it comes. */
  #giveBack(stream: ServerStream, bytes: number): void {
    stream.consumed += bytes;
    if (stream.consumed < this.#streamWindow / 2) return;
    this.#writer.number(FrameType.WINDOW_UPDATE, stream.id, stream.consumed);
    stream.consumed = 0;
  }

  /** The response is complete. What is still on its way of the request is not wanted (RFC 9113, section 8.1). */
  #ended(stream: ServerStream): void {
    if (stream.remoteClosed) this.#close(stream);
    else this.#abandon(stream, ErrorCode.NO_ERROR);
  }

  #abandon(stream: ServerStream, code: ErrorCode): void {
    this.#writer.number(FrameType.RST_STREAM, stream.id, code);
    this.#streams.abandon(stream.id);
    this.#close(stream);
  }

  /** Ends a request that its peer is to blame for. Throws ConnectionError. */
  #refuse(stream: ServerStream, code: ErrorCode): void {
    this.#budgets.resets.spend();
    this.reset(stream, code);
  }

  #close(stream: ServerStream): void {
    if (stream.closed) return;
    stream.closed = true;
    stream.letGo();
    this.#streams.remove(stream.id);
    this.#responses.forget(stream);
    stream.onClose();
  }

  #fail(error: unknown): void {
    const known =
      error instanceof CompressionError
        ? new ConnectionError(ErrorCode.COMPRESSION_ERROR, error.message)
        : error;
    if (!(known instanceof ConnectionError)) throw error;
    this.#writer.goAway(this.#streams.lastId, known.code, known.message);
    this.disconnected();
  }

  #announce(): void {
    if (!this.#writer.empty || this.finished) this.#options.onOutput();
  }
}
