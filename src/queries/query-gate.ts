/** Holds queries back while as many run as the policy allows at a time. */
import type { Clock, Timer } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import type { Policy } from '../model/policy.js';
import type { Query, QueryAdmission, QueryReports } from '../model/assignment.js';
import { QueryTable } from './query-table.js';
import { cancelled, notLeading, RETRY_MS } from '../model/refusals.js';
import { queryLimitExceeded, tooManyQueriesWaiting } from './query-refusals.js';

export interface QueryGateOptions {
  readonly policy: () => Policy;
  readonly clock: Clock;
  /** How often Envoys report a query that runs, milliseconds. */
  readonly intervalMs: number;
}

/** By namespace. */
export interface QueryCounts {
  readonly running: ReadonlyMap<string, number>;
  readonly waiting: ReadonlyMap<string, number>;
}

/** Records that may fail to come before a query is taken for ended. */
const MISSED_RECORDS = 3;
/** For which a record may be under way, and a sidecar's word of a query that goes on. */
const DELIVERY_MS = 5_000;
/** How often it is looked for queries of which nothing is heard, and for other limits. */
const SWEEP_MS = 1_000;
/** How long after its time to come back a query that was refused keeps its position. */
const RETURN_GRACE_MS = 30_000;
const MAX_WAITING_PER_NAMESPACE = 2_000;

interface Caller {
  readonly admitted: () => void;
  readonly refused: (error: GatewayError) => void;
}

export class QueryGate implements QueryAdmission, QueryReports {
  readonly #o: QueryGateOptions;
  readonly #table: QueryTable;
  /** Who waits for a query, by request id. A sidecar that lost its connection may ask twice. */
  readonly #callers = new Map<string, Set<Caller>>();
  #timer: Timer | undefined;
  /** Room may have been made since it was looked for those who wait. */
  #isLookDue = false;
  /** When it was looked. */
  #policy: Policy;

  constructor(options: QueryGateOptions) {
    this.#o = options;
    const { policy, intervalMs } = options;
    this.#policy = policy();
    this.#table = new QueryTable((namespace) => policy().limits?.(namespace), {
      unseenMs: intervalMs + DELIVERY_MS,
      silentMs: MISSED_RECORDS * intervalMs + DELIVERY_MS,
      endedMs: DELIVERY_MS,
    });
  }

  async admit(query: Query, holdMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw cancelled();
    const waiting = this.#waitingIn(query.namespace);
    if (waiting >= MAX_WAITING_PER_NAMESPACE && this.#table.full(query)) {
      throw tooManyQueriesWaiting(query.namespace, waiting);
    }
    // Whoever waits for what has just ended, or for another limit, came first.
    if (this.#isLookDue || this.#o.policy() !== this.#policy) this.#look();
    const isAdmitted = this.#table.enter(query, this.#o.clock.now());
    this.#sweepLater();
    if (!isAdmitted) await this.#wait(query, holdMs, signal);
  }

  resumed(query: Query): void {
    this.#table.runs(query, undefined, this.#o.clock.now());
    this.#sweepLater();
  }

  running(query: Query, source: object): void {
    this.#table.runs(query, source, this.#o.clock.now());
    this.#sweepLater();
  }

  ended(requestId: string, durationMs: number): void {
    const { clock } = this.#o;
    const onMs = this.#table.ended(requestId, durationMs, clock.now());
    // Envoy has ended it while it waited: nobody is there to run it.
    for (const { refused } of this.#callers.get(requestId) ?? []) refused(cancelled());
    this.#sweepLater();
    if (onMs === 0) this.#lookSoon();
    else {
      clock.setTimer(onMs, () => {
        this.#table.sweep(clock.now());
        this.#lookSoon();
      });
    }
  }

  lost(source: object): void {
    this.#table.lost(source, this.#o.clock.now());
  }

  counts(): QueryCounts {
    return {
      running: byNamespace(this.#table.running()),
      waiting: byNamespace(this.#table.inLine()),
    };
  }

  /** Those who wait are told to ask whoever leads then. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const callers of this.#callers.values()) {
      for (const { refused } of callers) refused(notLeading());
    }
  }

  #waitingIn(namespace: string): number {
    if (this.#table.waiting < MAX_WAITING_PER_NAMESPACE) return this.#table.waiting;
    return byNamespace(this.#table.inLine()).get(namespace) ?? 0;
  }

  #wait(query: Query, holdMs: number, signal: AbortSignal): Promise<void> {
    const { requestId } = query;
    const { clock } = this.#o;
    return new Promise((resolve, reject) => {
      const end = () => {
        hold.cancel();
        signal.removeEventListener('abort', aborted);
        const callers = this.#callers.get(requestId);
        callers?.delete(caller);
        const isLast = callers?.size === 0;
        if (isLast) this.#callers.delete(requestId);
        return isLast;
      };
      const caller: Caller = {
        admitted() {
          end();
          resolve();
        },
        refused(error) {
          end();
          reject(error);
        },
      };
      const aborted = () => {
        if (end()) this.#table.leave(requestId);
        reject(cancelled());
      };
      const hold = clock.setTimer(holdMs, () => {
        // A limit may have been raised meanwhile.
        this.#look();
        if (!this.#callers.get(requestId)?.has(caller)) return;
        const full = this.#table.full(query);
        const comesBackMs = clock.now() + RETRY_MS + RETURN_GRACE_MS;
        if (end()) this.#table.leave(requestId, comesBackMs);
        // Without a limit that is full it is not in the line.
        reject(full ? queryLimitExceeded(full, query, holdMs) : cancelled());
      });
      const callers = this.#callers.get(requestId) ?? new Set();
      this.#callers.set(requestId, callers.add(caller));
      signal.addEventListener('abort', aborted, { once: true });
    });
  }

  /** Once for all that a message of an access log tells. */
  #lookSoon(): void {
    if (this.#isLookDue || this.#table.waiting === 0) return;
    this.#isLookDue = true;
    queueMicrotask(() => {
      if (this.#isLookDue) this.#look();
    });
  }

  #look(): void {
    this.#isLookDue = false;
    this.#policy = this.#o.policy();
    for (const { requestId } of this.#table.look(this.#o.clock.now())) {
      for (const { admitted } of this.#callers.get(requestId) ?? []) admitted();
    }
  }

  #sweepLater(): void {
    if (this.#table.isEmpty) return;
    this.#timer ??= this.#o.clock.setTimer(SWEEP_MS, () => {
      this.#timer = undefined;
      this.#table.sweep(this.#o.clock.now());
      this.#look();
      this.#sweepLater();
    });
  }
}

function byNamespace(queries: Iterable<Query>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { namespace } of queries) counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
  return counts;
}
