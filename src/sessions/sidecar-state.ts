/** One sidecar as the control plane knows it: its lease and what it has still to apply. */
import type { Timer } from '../model/clock.js';
import type { SidecarPolicy } from '../model/reports.js';
import type { NoticeStream } from './notices.js';

export interface Notice {
  readonly sequence: bigint;
  readonly endedSessions: readonly string[];
  readonly endedDrivers: readonly string[];
  /** Drop every cached assignment. */
  readonly reset: boolean;
  readonly acknowledgedReport: bigint;
}

/** With more than this to tell, the sidecar is told to drop everything instead. */
const MAX_PENDING = 10_000;

export class SidecarState {
  readonly sidecarId: string;
  stream: NoticeStream | undefined;
  /** By the monotonic clock. */
  leaseEndsMs = 0;
  lastSeenMs = 0;
  /** For people; may be empty. */
  name = '';
  /** As it told last. */
  policy: SidecarPolicy | undefined;
  leaseTimer: Timer | undefined;
  acknowledgedReport = 0n;
  /** Position of the reset that it has not applied yet. */
  #resetAt: bigint | undefined;
  /** Ends that it has not applied yet, with their positions. */
  readonly #sessions = new Map<string, bigint>();
  readonly #drivers = new Map<string, bigint>();
  /** The highest position sent on this stream. */
  #sent = 0n;
  #sentReport = 0n;
  /** The range of positions that this process may have told it. */
  #first = 0n;
  #last = 0n;
  #writable = false;

  constructor(sidecarId: string) {
    this.sidecarId = sidecarId;
  }

  get pending(): number {
    return this.#sessions.size + this.#drivers.size + (this.#resetAt === undefined ? 0 : 1);
  }

  /** Whether `applied` can be the answer to something this process sent. */
  mayHaveApplied(applied: bigint): boolean {
    return applied >= this.#first && applied <= this.#last;
  }

  /** `resetAt`: its past is unknown, so it is told to drop everything. */
  open(stream: NoticeStream, applied: bigint, resetAt: bigint | undefined): void {
    this.stream = stream;
    this.#writable = true;
    this.acknowledgedReport = 0n;
    this.#sentReport = 0n;
    if (resetAt === undefined) {
      this.applied(applied);
      this.#sent = applied;
    } else {
      this.#reset(resetAt);
      this.#sent = 0n;
      this.#first = resetAt;
    }
  }

  close(): void {
    this.stream = undefined;
    this.#writable = false;
  }

  driverEnded(uid: string, position: bigint): void {
    this.#drivers.set(uid, position);
    if (this.pending > MAX_PENDING) this.#reset(position);
  }

  sessionEnded(sessionId: string, position: bigint): void {
    this.#sessions.set(sessionId, position);
    if (this.pending > MAX_PENDING) this.#reset(position);
  }

  /** Returns whether that was news. */
  applied(position: bigint): boolean {
    if (!this.mayHaveApplied(position)) return false;
    const before = this.pending;
    if (this.#resetAt !== undefined && this.#resetAt <= position) this.#resetAt = undefined;
    for (const ends of [this.#sessions, this.#drivers]) {
      for (const [id, at] of ends) {
        if (at <= position) ends.delete(id);
      }
    }
    return this.pending < before;
  }

  /** Whether a cached assignment to this ended driver may still be used. */
  mayUse(driverUid: string): boolean {
    return this.#resetAt !== undefined || this.#drivers.has(driverUid);
  }

  resume(head: bigint): void {
    this.#writable = true;
    this.flush(head);
  }

  /** Sends what is new since the last notice, if the stream takes it now. `head`: the newest position there is. */
  flush(head: bigint): void {
    if (!this.stream || !this.#writable) return;
    const reset = this.#resetAt !== undefined && this.#resetAt > this.#sent;
    const endedSessions = newer(this.#sessions, this.#sent);
    const endedDrivers = newer(this.#drivers, this.#sent);
    const anything = reset || endedSessions.length > 0 || endedDrivers.length > 0;
    if (!anything && this.acknowledgedReport <= this.#sentReport) return;
    this.#sent = head;
    this.#last = head;
    this.#sentReport = this.acknowledgedReport;
    this.#writable = this.stream.send({
      sequence: head,
      endedSessions,
      endedDrivers,
      reset,
      acknowledgedReport: this.acknowledgedReport,
    });
  }

  #reset(position: bigint): void {
    this.#sessions.clear();
    this.#drivers.clear();
    this.#resetAt = position;
  }
}

function newer(ends: ReadonlyMap<string, bigint>, than: bigint): string[] {
  return Array.from(ends)
    .filter(([, position]) => position > than)
    .map(([id]) => id);
}
