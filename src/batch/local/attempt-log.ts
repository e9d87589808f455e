/** The log of an attempt: each line with the time at which it came, in one file and the one before it. */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { hasCode } from '../../model/errors.js';

/** A longer line goes on in the next, as container runtimes do it. */
const LONGEST_LINE = 16 * 1024;
const NEWLINE = 0x0a;

/** Nanoseconds since the epoch, never the same twice; as the log's readers compare them. */
export function stampSource(): () => string {
  const offset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  let last = 0n;
  return () => {
    const now = process.hrtime.bigint() + offset;
    last = now > last ? now : last + 1n;
    const seconds = new Date(Number(last / 1_000_000n)).toISOString().slice(0, 19);
    return `${seconds}.${String(last % 1_000_000_000n).padStart(9, '0')}Z`;
  };
}

/** Writes the log. Never throws: a full disk costs lines, not the job. */
export class AttemptLogWriter {
  readonly #path: string;
  readonly #mostBytes: number;
  readonly #stamp = stampSource();
  #file: number | undefined;
  #size = 0;

  /** `mostBytes`: of both files together. */
  constructor(path: string, mostBytes: number) {
    this.#path = path;
    this.#mostBytes = mostBytes;
    this.#open();
  }

  /** Takes what one stream brings; answers how to end it, which writes a last line without an end. */
  stream(): { write(chunk: Uint8Array): void; end(): void } {
    let rest = Buffer.alloc(0);
    return {
      write: (chunk) => {
        rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
        const lines: Buffer[] = [];
        for (;;) {
          const end = rest.indexOf(NEWLINE);
          if (end < 0 && rest.length < LONGEST_LINE) break;
          const length = end < 0 ? LONGEST_LINE : Math.min(end, LONGEST_LINE);
          lines.push(rest.subarray(0, length));
          rest = rest.subarray(length === end ? end + 1 : length);
        }
        this.#write(lines);
      },
      end: () => {
        if (rest.length > 0) this.#write([rest]);
        rest = Buffer.alloc(0);
      },
    };
  }

  /** A line of our own. */
  say(text: string): void {
    this.#write([Buffer.from(text)]);
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #write(lines: readonly Buffer[]): void {
    if (lines.length === 0) return;
    const content = Buffer.concat(
      lines.flatMap((line) => [Buffer.from(`${this.#stamp()} `), line, Buffer.from('\n')]),
    );
    try {
      if (this.#size > 0 && this.#size + content.length > this.#mostBytes / 2) this.#rotate();
      if (this.#file === undefined) this.#open();
      if (this.#file !== undefined) this.#size += writeSync(this.#file, content);
    } catch {
      // The lines are lost.
    }
  }

  #rotate(): void {
    this.close();
    renameSync(this.#path, former(this.#path));
    this.#open();
  }

  #open(): void {
    try {
      this.#file = openSync(this.#path, 'a', 0o600);
      this.#size = fstatSync(this.#file).size;
    } catch {
      this.#file = undefined;
    }
  }
}

function former(path: string): string {
  return `${path}.1`;
}

export interface StampedLine {
  readonly time: string;
  readonly text: string;
}

const STAMP = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{9}Z /;
const BLOCK_BYTES = 64 * 1024;

/** `undefined`: it is no line of ours, such as one that a full disk has cut. */
function parseLine(line: string): StampedLine | undefined {
  const stamp = STAMP.exec(line)?.[0];
  return stamp === undefined
    ? undefined
    : { time: stamp.trimEnd(), text: line.slice(stamp.length) };
}

/** With `tail`, what lies further back than this from the end is not looked at. */
const TAIL_BYTES = 2 * 1024 * 1024;

interface OpenLog {
  readonly file: FileHandle;
  readonly inode: number;
  position: number;
}

/** Reads a log from its beginning, or from near its end, while it may be written to and turned over. */
export class AttemptLogReader {
  readonly #path: string;
  readonly #nearEnd: boolean;
  /** What is being read, and what follows it. */
  readonly #open: OpenLog[] = [];
  #rest = Buffer.alloc(0);

  constructor(path: string, nearEnd = false) {
    this.#path = path;
    this.#nearEnd = nearEnd;
  }

  /** What has come since, a part of bounded size at a time; empty when that was all for now. */
  async next(): Promise<readonly StampedLine[]> {
    if (this.#open.length === 0) await this.#begin();
    for (;;) {
      const [log] = this.#open;
      if (!log) return [];
      const block = Buffer.alloc(BLOCK_BYTES);
      const { bytesRead } = await log.file.read(block, 0, BLOCK_BYTES, log.position);
      log.position += bytesRead;
      if (bytesRead > 0) {
        const lines = this.#split(block.subarray(0, bytesRead));
        if (lines.length > 0) return lines;
      } else if (this.#open.length > 1) {
        this.#open.shift();
        await log.file.close();
        this.#rest = Buffer.alloc(0);
      } else {
        const newer = await openLog(this.#path);
        if (!newer) return [];
        if (newer.inode === log.inode) {
          await newer.file.close();
          return [];
        }
        // What came to the former one before it was put aside is read first.
        this.#open.push(newer);
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.splice(0).map(({ file }) => file.close()));
  }

  async #begin(): Promise<void> {
    const current = await openLog(this.#path);
    if (!current) return;
    const before = await openLog(former(this.#path));
    if (before?.inode === current.inode) await before.file.close();
    else if (before) this.#open.push(before);
    this.#open.push(current);
    if (!this.#nearEnd) return;
    let left = TAIL_BYTES;
    for (const log of this.#open.toReversed()) {
      const { size } = await log.file.stat();
      log.position = Math.max(0, size - left);
      left = Math.max(0, left - size);
    }
  }

  #split(chunk: Buffer): StampedLine[] {
    const bytes = Buffer.concat([this.#rest, chunk]);
    const end = bytes.lastIndexOf(NEWLINE);
    this.#rest = bytes.subarray(end + 1);
    if (end < 0) return [];
    const lines = bytes.subarray(0, end).toString('utf8').split('\n');
    return lines.flatMap((line) => parseLine(line) ?? []);
  }
}

async function openLog(path: string): Promise<OpenLog | undefined> {
  try {
    const file = await open(path, 'r');
    return { file, inode: (await file.stat()).ino, position: 0 };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
