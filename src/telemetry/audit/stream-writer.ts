/** Records as lines of a stream that is there already, such as standard output. */
import { constants, fstatSync, openSync, write, writeSync } from 'node:fs';
import type { Clock } from '../../model/clock.js';
import { hasCode } from '../../model/errors.js';
import type { AuditLine, AuditWriter, NotTaken } from './destination.js';

/** A pipe takes so much at once or nothing, so that lines of others cannot come between (PIPE_BUF on Linux). */
const ATOMIC_BYTES = 4096;
/** A file takes as much as it is given. */
const BATCH_BYTES = 1024 * 1024;
const FULL_PIPE_PAUSE_MS = 20;

/**
 * Never blocks the process, which writing to a pipe in the usual way does while nobody reads it: a
 * pipe is opened once more, by itself and non-blocking. Anything else is written by a thread.
 */
export class StreamWriter implements AuditWriter {
  readonly #fd: number;
  /** What is written at once, unless one line is longer. */
  readonly #pieceBytes: number;
  readonly #clock: Clock;
  readonly #write: (bytes: Buffer) => Promise<number>;
  /** What of `batch` is left to write, should it be tried again. */
  #unfinished: { readonly batch: readonly AuditLine[]; readonly rest: Buffer[] } | undefined;

  constructor(fd: number, clock: Clock) {
    const stream = fstatSync(fd);
    const pipe = stream.isFIFO();
    this.#clock = clock;
    this.#pieceBytes = stream.isFile() ? BATCH_BYTES : ATOMIC_BYTES;
    this.#fd = pipe
      ? openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
      : fd;
    this.#write = pipe ? (bytes) => this.#writeNow(bytes) : (bytes) => this.#writeByThread(bytes);
  }

  async write(batch: readonly AuditLine[]): Promise<NotTaken> {
    if (this.#unfinished?.batch !== batch) {
      this.#unfinished = { batch, rest: pieces(batch, this.#pieceBytes) };
    }
    const { rest } = this.#unfinished;
    for (let [first] = rest; first; [first] = rest) {
      const written = await this.#write(first);
      if (written === first.length) rest.shift();
      else rest[0] = first.subarray(written);
    }
    this.#unfinished = undefined;
    return {};
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #writeNow(bytes: Buffer): Promise<number> {
    try {
      return writeSync(this.#fd, bytes);
    } catch (error) {
      // The pipe is full.
      if (!hasCode(error, 'EAGAIN')) throw error;
      await new Promise<void>((resolve) => this.#clock.setTimer(FULL_PIPE_PAUSE_MS, resolve));
      return 0;
    }
  }

  async #writeByThread(bytes: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      write(this.#fd, bytes, (error, written) => (error ? reject(error) : resolve(written)));
    });
  }
}

/** Whole lines, as many in one piece as there is room for. */
function pieces(batch: readonly AuditLine[], pieceBytes: number): Buffer[] {
  const texts: string[] = [];
  let text = '';
  let bytes = 0;
  for (const line of batch) {
    if (bytes > 0 && bytes + line.bytes > pieceBytes) {
      texts.push(text);
      text = '';
      bytes = 0;
    }
    text += line.line;
    bytes += line.bytes;
  }
  texts.push(text);
  return texts.map((piece) => Buffer.from(piece));
}
