/** One job: its status while it changes, its log as it grows, its results at the end. */
import { ApiError, messageOf } from '../../lib/page/request.js';
import { hasEnded } from '../../model/job.js';
import type { JobStatusView, ResultsView } from '../../model/playground-api.js';
import { api } from './api.js';
import { appended, EMPTY_LOG, type Log } from './log-buffer.js';
import { type LogConnection, LogStream } from './log-stream.js';

export interface JobInView {
  readonly id: string;
  readonly status: JobStatusView | undefined;
  /** Why the status cannot be told now; what is shown may be old. */
  readonly failure: string | undefined;
  /** It is no use to ask again: the job is not known, or not shown to this person. */
  readonly refused: boolean;
  /** When the status was told last, milliseconds since the epoch. */
  readonly checkedAtMs: number | undefined;
  readonly log: Log;
  readonly logConnection: LogConnection;
  readonly results: ResultsView | { readonly failure: string } | undefined;
}

export interface JobListener {
  change(job: JobInView): void;
  signedOut(): void;
}

const CHECK_EVERY_MS = 2_000;
const LONGEST_PAUSE_MS = 15_000;
/** A log may come in thousands of events a second. */
const LINES_EVERY_MS = 100;

export class JobFollower {
  readonly #listener: JobListener;
  readonly #stream: LogStream;
  #job: JobInView;
  #timer = 0;
  #linesTimer = 0;
  #lines: string[] = [];
  #failures = 0;
  #stopped = false;
  #checking = false;
  #again = false;

  constructor(id: string, listener: JobListener) {
    this.#listener = listener;
    this.#job = {
      id,
      status: undefined,
      failure: undefined,
      refused: false,
      checkedAtMs: undefined,
      log: EMPTY_LOG,
      logConnection: { kind: 'opening' },
      results: undefined,
    };
    this.#stream = new LogStream(id, {
      lines: (lines) => this.#addLines(lines),
      gap: () => this.#addLines(['… some lines are missing here …']),
      jobState: (state) => {
        if (state !== this.#job.status?.state) void this.check();
      },
      connection: (logConnection) => {
        if (logConnection.kind === 'signed out') this.#signedOut();
        else this.#set({ logConnection });
      },
    });
  }

  start(): void {
    this.#listener.change(this.#job);
    void this.check();
    void this.#stream.follow();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#linesTimer);
    this.#stream.stop();
  }

  /** Asks for the status now. */
  async check(): Promise<void> {
    // One that is under way may have been answered before what this one is to tell.
    if (this.#checking) {
      this.#again = true;
      return;
    }
    this.#checking = true;
    clearTimeout(this.#timer);
    try {
      const status = await api.status(this.#job.id);
      this.#failures = 0;
      this.#set({ status, failure: undefined, checkedAtMs: Date.now() });
      if (hasEnded(status.state)) await this.#readResults();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#checking = false;
    }
    if (this.#again) {
      this.#again = false;
      await this.check();
    } else this.#checkLater();
  }

  #checkLater(): void {
    const { status, refused, results } = this.#job;
    const isOver = status !== undefined && hasEnded(status.state) && results !== undefined;
    if (this.#stopped || refused || isOver) return;
    const pauseMs = Math.min(CHECK_EVERY_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.check(), pauseMs);
  }

  async #readResults(): Promise<void> {
    const { id, results } = this.#job;
    if (results && !('failure' in results)) return;
    try {
      this.#set({ results: await api.results(id) });
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) throw error;
      this.#set({ results: { failure: messageOf(error) } });
    }
  }

  #failed(error: unknown): void {
    if (error instanceof ApiError && error.status === 401) {
      this.#signedOut();
      return;
    }
    const isFinal =
      error instanceof ApiError &&
      error.status >= 400 &&
      error.status < 500 &&
      error.status !== 429;
    this.#failures += 1;
    this.#set({ failure: messageOf(error), refused: isFinal });
    if (isFinal) this.#stream.stop();
  }

  #signedOut(): void {
    this.stop();
    this.#listener.signedOut();
  }

  #addLines(lines: readonly string[]): void {
    for (const line of lines) this.#lines.push(line);
    if (this.#linesTimer !== 0) return;
    this.#linesTimer = setTimeout(() => {
      this.#linesTimer = 0;
      const log = appended(this.#job.log, this.#lines);
      this.#lines = [];
      this.#set({ log });
    }, LINES_EVERY_MS);
  }

  #set(change: Partial<JobInView>): void {
    if (this.#stopped) return;
    this.#job = { ...this.#job, ...change };
    this.#listener.change(this.#job);
  }
}
