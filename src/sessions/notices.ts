/**
 * What each sidecar has still to be told: which sessions and drivers have ended. Per sidecar a set,
 * not a queue: a slow one gets the newest state, and one that missed too much drops its whole cache.
 *
 * Positions are comparable over restarts of this process: they begin at the wall time in
 * microseconds, so a position given by another process is out of the range of ours.
 */
import type { Clock, Timer } from '../model/clock.js';
import type { DriverRecord } from '../model/driver.js';
import type { Interrupt } from '../model/interrupt.js';
import type { Ledger } from '../model/ledger.js';
import type { SidecarCaches } from '../model/pool.js';
import type { SidecarPolicy, SidecarStatus } from '../model/reports.js';

export interface SidecarNoticesOptions {
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** How long a sidecar that is cut off may go on using what it has cached. */
  readonly cacheTtlMs: number;
}

/** Where a sidecar's notices go. */
export interface NoticeStream {
  /** False: no more until the stream is writable again. */
  send(notice: Notice): boolean;
  /** The sidecar opened a newer stream. */
  replaced(): void;
}

/** One open stream of a sidecar. */
export interface SidecarConnection {
  /** Whether the sidecar has a past that this process has not seen, so that something may have been missed. */
  readonly unknownPast: boolean;
  /** The sidecar has applied all up to `applied`, and its report was taken in. Renews its lease. */
  report(applied: bigint, report: bigint): void;
  writable(): void;
  closed(): void;
}

/** How long sidecars have for an interrupt: one that is cut off holds up nobody longer. */
const INTERRUPT_MS = 1_000;

export class SidecarNotices implements SidecarCaches {
  readonly #options: SidecarNoticesOptions;
  readonly #sidecars = new Map<string, SidecarState>();
  readonly #listeners = new Set<() => void>();
  /** The sessions of each driver as last told. */
  readonly #sessions = new Map<string, DriverRecord['sessions']>();
  /**
   * Drivers that a sidecar of before this process began may still use. Every assignment left a
   * session or a tombstone in its driver's record, and tombstones outlive caches.
   */
  readonly #suspects = new Set<string>();
  #position: bigint;

  constructor(options: SidecarNoticesOptions) {
    const { ledger, clock, cacheTtlMs } = options;
    this.#options = options;
    this.#position = BigInt(clock.now()) * 1000n;
    for (const record of ledger.all()) {
      this.#sessions.set(record.uid, record.sessions);
      if (Object.keys({ ...record.sessions, ...record.tombstones }).length > 0) {
        this.#suspects.add(record.uid);
      }
    }
    if (this.#suspects.size > 0) {
      clock.setTimer(cacheTtlMs, () => {
        this.#suspects.clear();
        this.#changed();
      });
    }
    ledger.onChange((uid) => this.#recordChanged(uid));
  }

  /** A sidecar opened its stream. `applied` is what it says it has applied, 0 for nothing; `name` is for people. */
  connect(sidecarId: string, applied: bigint, stream: NoticeStream, name = ''): SidecarConnection {
    const known = this.#sidecars.get(sidecarId);
    const state = known ?? new SidecarState(sidecarId);
    this.#sidecars.set(sidecarId, state);
    state.name = name;
    state.stream?.replaced();
    const unknownPast = !known || !known.mayHaveApplied(applied);
    state.open(stream, applied, unknownPast ? this.#next() : undefined);
    this.#renew(state);
    return {
      unknownPast: unknownPast && applied > 0n,
      report: (position, report) => {
        if (state.stream !== stream) return;
        const news = state.applied(position);
        state.acknowledgedReport = report;
        this.#renew(state);
        state.flush(this.#position);
        if (news) this.#changed();
      },
      writable: () => {
        if (state.stream === stream) state.resume(this.#position);
      },
      closed: () => {
        if (state.stream === stream) state.close();
      },
    };
  }

  /** The sidecar has told by what it decides. False: it has no open stream, so that it is not noted. */
  decidesBy(sidecarId: string, policy: SidecarPolicy): boolean {
    const state = this.#sidecars.get(sidecarId);
    if (!state?.stream) return false;
    state.policy = policy;
    return true;
  }

  haveForgotten(driverUid: string): boolean {
    // The record may have changed a moment ago, and the asker may have heard of it first.
    this.#recordChanged(driverUid);
    if (this.#suspects.has(driverUid)) return false;
    const sidecars = [...this.#sidecars.values()];
    const record = this.#options.ledger.get(driverUid);
    if (record && Object.keys(record.sessions).length > 0) return sidecars.length === 0;
    return sidecars.every((state) => !state.mayUse(driverUid));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells every sidecar; resolves when all that are connected have applied it, or after a second. */
  interrupt(interrupt: Interrupt): Promise<void> {
    const position = this.#next();
    const told = [...this.#sidecars.values()].filter(({ stream }) => stream !== undefined);
    for (const state of told) {
      state.interrupted(interrupt, position);
      state.flush(position);
    }
    return new Promise((resolve) => {
      const look = () => {
        if (!told.every((state) => state.hasApplied(position))) return;
        limit.cancel();
        forget();
        resolve();
      };
      const forget = this.onChange(look);
      const limit = this.#options.clock.setTimer(INTERRUPT_MS, () => {
        for (const state of told) state.forgetInterrupt(position);
        look();
      });
      look();
    });
  }

  sidecars(): readonly SidecarStatus[] {
    const { clock } = this.#options;
    return Array.from(this.#sidecars.values(), (state) => ({
      sidecarId: state.sidecarId,
      name: state.name,
      connected: state.stream !== undefined,
      leaseEndsMs: clock.now() + state.leaseEndsMs - clock.monotonic(),
      lastSeenMs: state.lastSeenMs,
      policy: state.policy,
      pendingNotices: state.pending,
    }));
  }

  #next(): bigint {
    this.#position += 1n;
    return this.#position;
  }

  #renew(state: SidecarState): void {
    const { clock, cacheTtlMs } = this.#options;
    state.lastSeenMs = clock.now();
    state.leaseEndsMs = clock.monotonic() + cacheTtlMs;
    state.leaseTimer ??= this.#watchLease(state, cacheTtlMs);
  }

  /** Forgets the sidecar when its lease has ended while it was cut off. */
  #watchLease(state: SidecarState, delayMs: number): Timer {
    return this.#options.clock.setTimer(delayMs, () => {
      const leftMs = state.leaseEndsMs - this.#options.clock.monotonic();
      if (leftMs > 0 || state.stream) {
        const nextMs = leftMs > 0 ? leftMs : this.#options.cacheTtlMs;
        state.leaseTimer = this.#watchLease(state, nextMs);
        return;
      }
      this.#sidecars.delete(state.sidecarId);
      this.#changed();
    });
  }

  #recordChanged(uid: string): void {
    const record = this.#options.ledger.get(uid);
    const before = this.#sessions.get(uid);
    const isOver = !record || record.phase === 'gone';
    if (isOver) this.#sessions.delete(uid);
    else this.#sessions.set(uid, record.sessions);
    if (before === undefined || (!isOver && before === record.sessions)) return;
    const after = record?.sessions ?? {};
    const ended = Object.keys(before).filter((sessionId) => !Object.hasOwn(after, sessionId));
    if (!isOver && ended.length === 0) return;
    const position = this.#next();
    for (const state of this.#sidecars.values()) {
      if (isOver) state.driverEnded(uid, position);
      for (const sessionId of ended) state.sessionEnded(sessionId, position);
      state.flush(position);
    }
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

// One sidecar as the control plane knows it: its lease and what it has still to apply.

export interface Notice {
  readonly sequence: bigint;
  readonly endedSessions: readonly string[];
  readonly endedDrivers: readonly string[];
  /** Drop every cached assignment. */
  readonly reset: boolean;
  readonly acknowledgedReport: bigint;
  readonly interrupts: readonly Interrupt[];
}

/** With more than this to tell, the sidecar is told to drop everything instead. */
const MAX_PENDING = 10_000;

class SidecarState {
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
  /** By position: they are events, which a sidecar that comes back too late has no use for. */
  readonly #interrupts = new Map<bigint, Interrupt>();
  /** Of those, what has not been sent on this stream. */
  readonly #unsent = new Map<bigint, Interrupt>();
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
    this.#unsent.clear();
    this.#writable = true;
    this.acknowledgedReport = 0n;
    this.#sentReport = 0n;
    if (resetAt === undefined) {
      this.applied(applied);
      this.#sent = applied;
      for (const [position, interrupt] of this.#interrupts) this.#unsent.set(position, interrupt);
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

  interrupted(interrupt: Interrupt, position: bigint): void {
    this.#interrupts.set(position, interrupt);
    this.#unsent.set(position, interrupt);
  }

  /** Whether an interrupt has been applied, or is no longer to be. */
  hasApplied(position: bigint): boolean {
    return !this.#interrupts.has(position);
  }

  forgetInterrupt(position: bigint): void {
    this.#interrupts.delete(position);
    this.#unsent.delete(position);
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
    let isNews = this.pending < before;
    for (const at of this.#interrupts.keys()) {
      if (at > position) break;
      isNews = this.#interrupts.delete(at);
    }
    return isNews;
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
    const interrupts = [...this.#unsent.values()];
    const ends = endedSessions.length + endedDrivers.length;
    const anything = reset || ends > 0 || interrupts.length > 0;
    if (!anything && this.acknowledgedReport <= this.#sentReport) return;
    this.#sent = head;
    this.#last = head;
    this.#sentReport = this.acknowledgedReport;
    this.#unsent.clear();
    this.#writable = this.stream.send({
      sequence: head,
      endedSessions,
      endedDrivers,
      reset,
      acknowledgedReport: this.acknowledgedReport,
      interrupts,
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
