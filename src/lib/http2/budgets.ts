/**
 * What one peer may cost. None of it is reached by a peer that asks and reads, however busy: Envoy, grpc-js
 * and node:http2 stay far below. Whoever goes beyond is told ENHANCE_YOUR_CALM, and left.
 */
import { ConnectionError, ErrorCode } from './frame.js';

/** Requests under way at a time. A client that has more opens another connection (RFC 9113, section 5.1.2). */
export const MAX_STREAMS = 2000;
/** Of unfinished requests, their bodies while they are answered, and answers that wait to be taken, bytes. */
export const MAX_HELD_BYTES = 32 * 1024 * 1024;
/** What a request counts for beside its body: its own objects. */
export const STREAM_BYTES = 1024;
/** A header block, in frames and bytes: what is behind is an attack (CVE-2024-27316). */
export const MAX_CONTINUATIONS = 16;
export const MAX_BLOCK_BYTES = 128 * 1024;

/** A number of frames at once, and so many a second; some work earns more. */
export class FrameBudget {
  readonly #what: string;
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  #left: number;
  #filledMs: number;

  /** `now`: milliseconds that never go back. */
  constructor(what: string, burst: number, perSecond: number, now: () => number) {
    this.#what = what;
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#left = burst;
    this.#filledMs = now();
  }

  /** Throws ConnectionError. */
  spend(): void {
    if (this.#left < 1) this.#fill();
    if (this.#left < 1) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, `too many ${this.#what}`);
    }
    this.#left--;
  }

  earn(frames: number): void {
    this.#left = Math.min(this.#burst, this.#left + frames);
  }

  #fill(): void {
    const nowMs = this.#now();
    this.earn(((nowMs - this.#filledMs) / 1000) * this.#perSecond);
    this.#filledMs = nowMs;
  }
}

export interface FrameBudgets {
  /** Streams that end early, at the peer's wish or by its fault (CVE-2023-44487, CVE-2025-8671). */
  readonly resets: FrameBudget;
  /** SETTINGS, PING, PRIORITY, empty DATA, frames of unknown types and of streams that are over. */
  readonly control: FrameBudget;
  /** WINDOW_UPDATE; what is sent earns them. */
  readonly windows: FrameBudget;
}

export function frameBudgets(now: () => number): FrameBudgets {
  return {
    // All requests under way may be taken back at once, and others after them.
    resets: new FrameBudget('streams that are reset', 2 * MAX_STREAMS, 500, now),
    control: new FrameBudget('frames that ask for nothing', 1000, 100, now),
    windows: new FrameBudget('window updates', 2 * MAX_STREAMS, 1000, now),
  };
}

/** Bytes that a connection keeps for its peer. */
export class HeldBytes {
  readonly most: number;
  bytes = 0;

  constructor(most = MAX_HELD_BYTES) {
    this.most = most;
  }

  get tooMany(): boolean {
    return this.bytes > this.most;
  }
}
