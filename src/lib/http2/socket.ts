/** One HTTP/2 connection on its socket: what is answered in one turn of the event loop is written at once. */
import type { Socket } from 'node:net';
import { MAX_HELD_BYTES } from './budgets.js';
import { ServerConnection, type ServerConnectionOptions } from './server-connection.js';

export interface Timers {
  /** Milliseconds that never go back. */
  monotonic(): number;
  setTimer(delayMs: number, callback: () => void): { cancel(): void };
}

export interface SocketOptions extends Omit<ServerConnectionOptions, 'onOutput' | 'now'> {
  readonly timers: Timers;
  /** Default: a peer that says nothing is kept for as long as its socket is open. */
  readonly keepAlive?: KeepAlive;
  /** The socket failed, or was left because its peer asks for too much. */
  readonly onError: (error: Error) => void;
}

/** A peer that has said nothing for `everyMs` is asked for a sign of life, and left without one after `withinMs`. */
export interface KeepAlive {
  readonly everyMs: number;
  readonly withinMs: number;
}

/** A peer that does not read is not read from, bytes. */
const PAUSE_BYTES = 1024 * 1024;
/** By then a peer has said that it speaks HTTP/2. */
const PREFACE_MS = 10_000;
/** For a peer to take the last that it is told. */
const LAST_WORDS_MS = 1000;

/** Serves HTTP/2 on a socket that a peer has connected to, until it is closed. */
export function serveHttp2(socket: Socket, options: SocketOptions): ServerConnection {
  const served = new ServedSocket(socket, options);
  served.start();
  return served.connection;
}

class ServedSocket {
  readonly connection: ServerConnection;
  readonly #socket: Socket;
  readonly #options: SocketOptions;
  #timer: { cancel(): void };
  #isHeard = false;
  #isReading = false;
  #isScheduled = false;
  #isEnding = false;

  constructor(socket: Socket, options: SocketOptions) {
    const { timers } = options;
    this.#socket = socket;
    this.#options = options;
    this.connection = new ServerConnection({
      ...options,
      now: () => timers.monotonic(),
      onOutput: () => this.#flushSoon(),
    });
    this.#timer = timers.setTimer(PREFACE_MS, () => {
      if (this.connection.established) this.#watch();
      else socket.destroy();
    });
  }

  start(): void {
    const socket = this.#socket;
    this.#flush();
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('drain', () => socket.resume());
    socket.on('error', (error) => this.#options.onError(error));
    socket.on('close', () => {
      this.#timer.cancel();
      this.connection.disconnected();
    });
  }

  /** Looks now and then whether the peer has said something since. */
  #watch(): void {
    const { keepAlive, timers } = this.#options;
    if (!keepAlive || this.#isEnding) return;
    this.#isHeard = false;
    this.#timer = timers.setTimer(keepAlive.everyMs, () => {
      if (this.#isHeard) {
        this.#watch();
        return;
      }
      this.connection.ping();
      this.#timer = timers.setTimer(keepAlive.withinMs, () => {
        if (this.#isHeard) this.#watch();
        else this.#socket.destroy(new Error('the peer gives no sign of life'));
      });
    });
  }

  #receive(chunk: Buffer): void {
    this.#isHeard = true;
    this.#isReading = true;
    try {
      this.connection.receive(chunk);
    } catch (error) {
      this.#socket.destroy(error instanceof Error ? error : new Error(String(error)));
    }
    this.#isReading = false;
    this.#flush();
  }

  #flushSoon(): void {
    if (this.#isReading || this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const socket = this.#socket;
    const output = this.connection.takeOutput();
    if (output && socket.writable) socket.write(output);
    if (this.connection.finished) this.#end();
    if (socket.writableLength <= PAUSE_BYTES) return;
    socket.pause();
    if (
      socket.writableLength + this.connection.heldBytes >
      (this.#options.maxHeldBytes ?? MAX_HELD_BYTES)
    ) {
      socket.destroy(new Error('the peer does not read its answers'));
    }
  }

  /** The peer may neither read what it is told nor go: then it is left. */
  #end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#timer.cancel();
    this.#socket.end();
    this.#timer = this.#options.timers.setTimer(LAST_WORDS_MS, () => this.#socket.destroy());
  }
}
