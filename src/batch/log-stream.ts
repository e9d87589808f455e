/**
 * A job's log from some line on: what was kept of attempts that are over, then what its backend tells of
 * the newest one, and so on until the job has ended. One stream, whatever happens to pods and attempts.
 */
import type { Clock, Timer } from '../model/clock.js';
import { hasEnded, type JobState } from '../model/job.js';
import type { BackendLogLine, LogRequest } from './backend.js';
import type { KeptAttempt } from './kept-log.js';

/** Of a line: its attempt, its time and which of the lines of that time it is. */
export interface LogPosition {
  readonly attempt: number;
  readonly time: string;
  readonly index: number;
}

export interface StreamedLine {
  readonly position: string;
  readonly text: string;
}

export interface LogBatch {
  readonly lines: readonly StreamedLine[];
  /** Some lines before these are lost. */
  readonly gap: boolean;
  /** When it is another than before. */
  readonly state?: JobState;
}

export interface LogSource {
  state(): JobState;
  /** The attempt that the backend can tell of now; undefined: none. */
  liveAttempt(): number | undefined;
  live(request: LogRequest): AsyncIterable<BackendLogLine>;
  kept(): Promise<readonly KeptAttempt[]>;
  /** Calls back when any of these may have changed. */
  onChange(listener: () => void): () => void;
}

export interface LogStreamOptions {
  readonly after: LogPosition | undefined;
  readonly follow: boolean;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

const MOST_LINES = 500;
const MOST_BYTES = 128 * 1024;
/** Lines that come within this time of each other are sent together. */
const LINGER_MS = 25;
/** A backend that has nothing to tell is asked again after this time, if nothing changes. */
const ASK_AGAIN_MS = 2_000;

export function parsePosition(text: string): LogPosition | undefined {
  const match = /^(\d{1,6})\.(\d{4}-\d\d-\d\dT[\d:.]{8,18}Z)\.(\d{1,9})$/.exec(text);
  if (!match) return undefined;
  const [, attempt, time = '', index] = match;
  return { attempt: Number(attempt), time, index: Number(index) };
}

export function formatPosition({ attempt, time, index }: LogPosition): string {
  return `${attempt}.${time}.${index}`;
}

export async function* streamLog(
  source: LogSource,
  { after, follow, signal, clock }: LogStreamOptions,
): AsyncGenerator<LogBatch, void> {
  const wake = new Wake();
  const stop = source.onChange(() => wake.wake());
  const abort = () => wake.wake();
  signal.addEventListener('abort', abort);
  const cursor = new Cursor(after);
  let told: JobState | undefined;
  const withState = (lines: readonly StreamedLine[], gap = false): LogBatch => {
    const state = source.state();
    const news = state === told ? {} : { state };
    told = state;
    return { lines, gap, ...news };
  };
  try {
    yield withState([]);
    while (!signal.aborted) {
      const isOver = hasEnded(source.state());
      const live = source.liveAttempt();
      for (const { lines, gap } of cursor.passAll(await source.kept(), live)) {
        for (const part of parts(lines)) yield withState(part, gap);
      }
      if (live !== undefined) {
        const request = { ...cursor.since(live), follow: follow && !isOver, signal };
        const pump = new Pump(source.live(request), wake);
        try {
          for await (const part of linesOf(pump, cursor, wake, clock, signal)) {
            if (part.length > 0 || source.state() !== told) yield withState(part);
          }
        } finally {
          pump.end();
        }
      }
      if (isOver && live !== undefined) {
        // Its pod may be gone although its application is not.
        for (const { lines, gap } of cursor.passAll(await source.kept(), undefined)) {
          for (const part of parts(lines)) yield withState(part, gap);
        }
      }
      if (!follow || isOver) break;
      if (source.state() !== told) yield withState([]);
      if (hasEnded(source.state())) continue;
      await wake.wait(clock, ASK_AGAIN_MS);
    }
    if (!signal.aborted && source.state() !== told) yield withState([]);
  } finally {
    stop();
    signal.removeEventListener('abort', abort);
  }
}

/** Lines as they come, some at a time; empty when something else may have changed. */
async function* linesOf(
  pump: Pump,
  cursor: Cursor,
  wake: Wake,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<readonly StreamedLine[], void> {
  let lines: StreamedLine[] = [];
  let bytes = 0;
  let sinceMs = 0;
  while (!signal.aborted) {
    const result = pump.take();
    if (result === 'end') break;
    if (result) {
      const line = cursor.pass(result);
      if (!line) continue;
      if (lines.length === 0) sinceMs = clock.monotonic();
      lines.push(line);
      bytes += line.text.length;
      const isFull = lines.length >= MOST_LINES || bytes >= MOST_BYTES;
      if (!isFull && clock.monotonic() - sinceMs < LINGER_MS) continue;
    } else {
      const isWoken = await wake.wait(clock, lines.length > 0 ? LINGER_MS : undefined);
      if (isWoken && pump.isReady) continue;
    }
    yield lines;
    lines = [];
    bytes = 0;
  }
  if (lines.length > 0) yield lines;
}

function* parts(lines: readonly StreamedLine[]): Generator<readonly StreamedLine[], void> {
  for (let from = 0; from < lines.length; from += MOST_LINES) {
    yield lines.slice(from, from + MOST_LINES);
  }
}

/** Where a stream is, so that no line is sent twice although backends tell some of them again. */
class Cursor {
  #at: LogPosition | undefined;
  /** Of the time of `#at`: which of its lines the source told last, while it tells them again. */
  #again: { readonly attempt: number; readonly time: string; index: number } | undefined;

  constructor(at: LogPosition | undefined) {
    this.#at = at;
  }

  /** Where to ask the backend to begin, for its newest attempt. */
  since(attempt: number): { readonly since?: string } {
    this.#again = undefined;
    return this.#at?.attempt === attempt ? { since: this.#at.time } : {};
  }

  pass({ attempt, time, text }: BackendLogLine): StreamedLine | undefined {
    const at = this.#at;
    if (this.#again?.attempt === attempt && this.#again.time === time) this.#again.index += 1;
    else this.#again = { attempt, time, index: 0 };
    const { index } = this.#again;
    if (at && attempt < at.attempt) return undefined;
    if (at?.attempt === attempt) {
      if (time < at.time) return undefined;
      if (time === at.time && index <= at.index) return undefined;
    }
    this.#at = { attempt, time, index };
    return { position: formatPosition(this.#at), text };
  }

  /** What was kept of the attempts before this one, or of all; without those that add nothing. */
  *passAll(
    kept: readonly KeptAttempt[],
    before: number | undefined,
  ): Generator<{ readonly lines: readonly StreamedLine[]; readonly gap: boolean }, void> {
    for (const attempt of kept) {
      if (before !== undefined && attempt.attempt >= before) return;
      const passed = this.#passKept(attempt);
      if (passed.lines.length > 0) yield passed;
    }
  }

  #passKept(kept: KeptAttempt): { readonly lines: readonly StreamedLine[]; readonly gap: boolean } {
    const { attempt, truncated } = kept;
    const at = this.#at;
    const [first] = kept.lines;
    const isBefore =
      at === undefined ||
      at.attempt < attempt ||
      (at.attempt === attempt && first !== undefined && at.time < first.time);
    this.#again = undefined;
    const lines = kept.lines.flatMap((line) => this.pass({ attempt, ...line }) ?? []);
    return { lines, gap: truncated && isBefore };
  }
}

/** Something that may be worth a look has happened. Waiting leaves nothing behind, however often it is done. */
class Wake {
  #isSet = false;
  #resolve: ((woken: boolean) => void) | undefined;

  wake(): void {
    this.#isSet = true;
    this.#resolve?.(true);
  }

  /** Whether it was woken, and not just over. */
  async wait(clock: Clock, atMostMs: number | undefined): Promise<boolean> {
    if (!this.#isSet) {
      let timer: Timer | undefined;
      await new Promise<boolean>((resolve) => {
        this.#resolve = resolve;
        if (atMostMs !== undefined) timer = clock.setTimer(atMostMs, () => resolve(false));
      });
      timer?.cancel();
      this.#resolve = undefined;
    }
    const wasSet = this.#isSet;
    this.#isSet = false;
    return wasSet;
  }
}

/** Asks a source for its next line when the former was taken: a slow reader holds up the source, and no memory. */
class Pump {
  readonly #iterator: AsyncIterator<BackendLogLine>;
  readonly #wake: Wake;
  #result: IteratorResult<BackendLogLine> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #isOver = false;

  constructor(source: AsyncIterable<BackendLogLine>, wake: Wake) {
    this.#iterator = source[Symbol.asyncIterator]();
    this.#wake = wake;
    this.#ask();
  }

  get isReady(): boolean {
    return this.#result !== undefined || this.#failure !== undefined;
  }

  /** undefined: none has come yet. Throws what the source failed with. */
  take(): BackendLogLine | 'end' | undefined {
    if (this.#failure) throw this.#failure.error;
    const result = this.#result;
    if (!result) return undefined;
    this.#result = undefined;
    if (result.done === true) return 'end';
    this.#ask();
    return result.value;
  }

  end(): void {
    this.#isOver = true;
    this.#iterator.return?.().catch(() => undefined);
  }

  #ask(): void {
    this.#iterator.next().then(
      (result) => {
        if (this.#isOver) return;
        this.#result = result;
        this.#wake.wake();
      },
      (error: unknown) => {
        if (this.#isOver) return;
        this.#failure = { error };
        this.#wake.wake();
      },
    );
  }
}
