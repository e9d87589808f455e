/**
 * An HTTP/2 client that costs little beside the servers that it measures: it sends one request over
 * and over, and looks at nothing in the answers but their length. Like Envoy's, its header fields are
 * in the peer's table after the first request, and what it asks at once leaves in one write.
 */
import { connect, type Socket } from 'node:net';
import { CHECK_PATH } from '../../src/authz/authz-server.js';

const FRAME_HEADER_BYTES = 9;
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const WINDOW_UPDATE = 8;
const END_STREAM = 0x1;
const ACK = 0x1;
const END_HEADERS = 0x4;
const INITIAL_WINDOW_SIZE = 4;
const DEFAULT_WINDOW = 65_535;
/** What the server may send before it hears of more. */
const WINDOW = 2 ** 30;
/** A refusal is shorter than a route: it counts as a failure here. */
const LEAST_ANSWER_BYTES = 300;

/** What Envoy's gRPC client sends beside method, scheme and path. */
const FIELDS = [
  [':authority', 'authz'],
  ['te', 'trailers'],
  ['grpc-timeout', '65000m'],
  ['content-type', 'application/grpc'],
  ['x-envoy-internal', 'true'],
  ['x-forwarded-for', '10.1.2.3'],
] as const;
/** POST and http by their index, the path as a literal: HTTP/2 libraries keep paths out of the table. */
const PSEUDO_FIELDS = Buffer.concat([Buffer.from([0x83, 0x86, 0x04]), text(CHECK_PATH)]);
/** Literals that the peer's table is to remember (RFC 7541, section 6.2.1). */
const FIRST_BLOCK = Buffer.concat([
  PSEUDO_FIELDS,
  ...FIELDS.flatMap(([name, value]) => [Buffer.from([0x40]), text(name), text(value)]),
]);
/** The newest entry of the table has index 62. */
const NEXT_BLOCK = Buffer.concat([
  PSEUDO_FIELDS,
  Buffer.from(FIELDS.map((_, i) => 0x80 | (62 + FIELDS.length - 1 - i))),
]);

export interface Slice {
  readonly seconds: number;
  readonly latenciesMs: readonly number[];
  readonly failures: number;
}

interface Running {
  readonly count: number;
  readonly latenciesMs: number[];
  readonly startedMs: number;
  readonly done: (slice: Slice) => void;
  asked: number;
  failures: number;
}

interface Asked {
  readonly startedMs: number;
  bytes: number;
}

export class CheckLoad {
  readonly #socket: Socket;
  readonly #messages: readonly Buffer[];
  readonly #asked = new Map<number, Asked>();
  #unread: Buffer = Buffer.alloc(0);
  #output: Buffer[] = [];
  #nextStream = 1;
  #window = DEFAULT_WINDOW;
  /** Asked for while the window was shut. */
  #waiting = 0;
  #received = 0;
  #running: Running | undefined;

  /** `messages`: framed requests, sent in turn. */
  constructor(path: string, messages: readonly Buffer[]) {
    this.#messages = messages;
    this.#socket = connect(path);
    this.#socket.on('data', (chunk) => this.#read(chunk));
    this.#socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    const window = Buffer.alloc(6);
    window.writeUInt16BE(INITIAL_WINDOW_SIZE);
    window.writeUInt32BE(WINDOW, 2);
    this.#frame(SETTINGS, 0, 0, window);
    this.#grow(WINDOW - DEFAULT_WINDOW);
    this.#flush();
  }

  /** Asks `count` times, `outstanding` at once. */
  run(count: number, outstanding: number): Promise<Slice> {
    return new Promise((done) => {
      const startedMs = performance.now();
      this.#running = { count, latenciesMs: [], startedMs, done, asked: 0, failures: 0 };
      for (let i = 0; i < outstanding; i++) this.#ask();
      this.#flush();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #ask(): void {
    const running = this.#running;
    if (!running || running.asked === running.count) return;
    const message = this.#messages[running.asked % this.#messages.length] ?? Buffer.alloc(0);
    if (this.#window < message.length) {
      this.#waiting++;
      return;
    }
    running.asked++;
    this.#window -= message.length;
    const id = this.#nextStream;
    this.#nextStream += 2;
    this.#asked.set(id, { startedMs: performance.now(), bytes: 0 });
    this.#frame(HEADERS, END_HEADERS, id, id === 1 ? FIRST_BLOCK : NEXT_BLOCK);
    this.#frame(DATA, END_STREAM, id, message);
  }

  #read(chunk: Buffer): void {
    const bytes = this.#unread.length > 0 ? Buffer.concat([this.#unread, chunk]) : chunk;
    let at = 0;
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const end = at + FRAME_HEADER_BYTES + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      const payload = bytes.subarray(at + FRAME_HEADER_BYTES, end);
      this.#take(bytes[at + 3] ?? 0, bytes[at + 4] ?? 0, bytes.readUInt32BE(at + 5), payload);
      at = end;
    }
    this.#unread = bytes.subarray(at);
    this.#flush();
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    const asked = this.#asked.get(id);
    if (type === DATA) {
      if (asked) asked.bytes += payload.length;
      this.#received += payload.length;
      if (this.#received > WINDOW / 2) this.#grow(this.#received);
    } else if (type === SETTINGS && !(flags & ACK)) this.#frame(SETTINGS, ACK, 0, Buffer.alloc(0));
    else if (type === PING && !(flags & ACK)) this.#frame(PING, ACK, 0, payload);
    else if (type === WINDOW_UPDATE && id === 0) this.#opened(payload.readUInt32BE(0));
    else if (type === GOAWAY) throw new Error('the server has ended the connection');
    const over = (type === HEADERS || type === DATA) && (flags & END_STREAM) !== 0;
    if (asked && (over || type === RST_STREAM)) this.#answered(id, asked);
  }

  #opened(increment: number): void {
    this.#window += increment;
    const waiting = this.#waiting;
    this.#waiting = 0;
    for (let i = 0; i < waiting; i++) this.#ask();
  }

  #answered(id: number, { startedMs, bytes }: Asked): void {
    const running = this.#running;
    this.#asked.delete(id);
    if (!running) return;
    const endedMs = performance.now();
    running.latenciesMs.push(endedMs - startedMs);
    if (bytes < LEAST_ANSWER_BYTES) running.failures++;
    if (running.latenciesMs.length < running.count) {
      this.#ask();
      return;
    }
    this.#running = undefined;
    const { latenciesMs, failures } = running;
    running.done({ seconds: (endedMs - running.startedMs) / 1000, latenciesMs, failures });
  }

  #grow(increment: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(increment);
    this.#frame(WINDOW_UPDATE, 0, 0, payload);
    this.#received = 0;
  }

  #frame(type: number, flags: number, id: number, payload: Buffer): void {
    const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
    header.writeUIntBE(payload.length, 0, 3);
    header[3] = type;
    header[4] = flags;
    header.writeUInt32BE(id, 5);
    this.#output.push(header, payload);
  }

  #flush(): void {
    if (this.#output.length === 0) return;
    this.#socket.write(Buffer.concat(this.#output));
    this.#output = [];
  }
}

/** Without Huffman code; shorter than 127 octets. */
function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
}
