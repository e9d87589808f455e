/** Which queries run, and which wait because as many run as a limit allows. Time is handed in. */
import { limitsQueries } from '../model/limit-refusals.js';
import type { LimitPolicy } from '../model/policy.js';
import { principalKey } from '../model/principal.js';
import type { Query } from '../model/assignment.js';

export const QUERY_SCOPES = ['session', 'principal', 'team', 'namespace'] as const;
export type QueryScope = (typeof QUERY_SCOPES)[number];

/** The limit that leaves no room for a query. */
export interface FullLimit {
  readonly scope: QueryScope;
  readonly limit: number;
}

/** How long a query that nothing is heard of counts, milliseconds. */
export interface QueryLapses {
  /** It was let in, and no record of it has come. Also when the log that told of it has broken off. */
  readonly unseenMs: number;
  /** Since the newest record. */
  readonly silentMs: number;
  /** For which the end of a query is remembered, as its beginning may be told later. */
  readonly endedMs: number;
}

interface Running {
  readonly query: Query;
  readonly keys: Keys;
  source: object | undefined;
  untilMs: number;
  /** Its stream has ended; it counts until `untilMs`, or until it is taken up by another stream. */
  isOver: boolean;
}

interface Waiting {
  readonly query: Query;
  readonly keys: Keys;
  /** Position in the line. */
  readonly order: number;
}

type Keys = Readonly<Record<QueryScope, string>>;

/**
 * Of a stream's duration, for which its query counts on: Spark ends the stream of a long query every
 * two minutes, and its client fetches on with ReattachExecute.
 */
const TAKE_UP_SHARE = 0.02;
const LONGEST_TAKE_UP_MS = 1_000;

interface Returning {
  readonly order: number;
  readonly untilMs: number;
}

/**
 * First come, first served among those who may run: a query whose own limits have room overtakes one
 * that waits for another limit, so that one principal's line holds up nobody else. One that was told
 * to come back keeps its session's position.
 */
export class QueryTable {
  readonly #limits: (namespace: string) => LimitPolicy | undefined;
  readonly #lapses: QueryLapses;
  /** By request id. */
  readonly #running = new Map<string, Running>();
  readonly #counts = new Map<string, number>();
  /** In order. */
  #waiting: readonly Waiting[] = [];
  /** By session id. */
  readonly #returning = new Map<string, readonly Returning[]>();
  /** By request id: when. The oldest first. */
  readonly #ended = new Map<string, number>();
  #nextOrder = 0;

  constructor(limits: (namespace: string) => LimitPolicy | undefined, lapses: QueryLapses) {
    this.#limits = limits;
    this.#lapses = lapses;
  }

  get isEmpty(): boolean {
    const { size } = this.#running;
    return size + this.#waiting.length + this.#ended.size + this.#returning.size === 0;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  running(): Iterable<Query> {
    return Array.from(this.#running.values(), ({ query }) => query);
  }

  inLine(): Iterable<Query> {
    return this.#waiting.map(({ query }) => query);
  }

  /** True: it runs from now on, or does already. False: it waits, until `look` lets it in or it leaves. */
  enter(query: Query, nowMs: number): boolean {
    const { requestId, namespace } = query;
    if (!this.#isLimited(namespace)) return true;
    if (this.#running.has(requestId) || this.#ended.has(requestId)) return true;
    if (this.#waiting.some((other) => other.query.requestId === requestId)) return false;
    const keys = keysOf(query);
    const order = this.#returnOf(query.sessionId, nowMs) ?? this.#nextOrder++;
    if (!this.#full(keys, namespace)) {
      this.#begin(query, keys, nowMs);
      return true;
    }
    const at = this.#waiting.findLastIndex((other) => other.order < order) + 1;
    this.#waiting = this.#waiting.toSpliced(at, 0, { query, keys, order });
    return false;
  }

  /** It no longer waits. `comesBackUntilMs`: until then the next query of its session has its position. */
  leave(requestId: string, comesBackUntilMs?: number): void {
    const found = this.#waiting.find(({ query }) => query.requestId === requestId);
    if (!found) return;
    this.#waiting = this.#waiting.filter((other) => other !== found);
    if (comesBackUntilMs === undefined) return;
    const { sessionId } = found.query;
    const returning = { order: found.order, untilMs: comesBackUntilMs };
    this.#returning.set(sessionId, [...(this.#returning.get(sessionId) ?? []), returning]);
  }

  /** Why a query would have to wait now. */
  full(query: Query): FullLimit | undefined {
    return this.#full(keysOf(query), query.namespace);
  }

  /** It runs, whatever the limits. `source`: the log that says so. */
  runs(query: Query, source: object | undefined, nowMs: number): void {
    const { requestId, namespace } = query;
    if (!this.#isLimited(namespace) || this.#ended.has(requestId)) return;
    const running = this.#running.get(requestId) ?? this.#takeUp(query, nowMs);
    if (!source) return;
    running.source = source;
    running.untilMs = nowMs + this.#lapses.silentMs;
  }

  /** Its stream has ended after `durationMs`. Returns how long it counts on, milliseconds. */
  ended(requestId: string, durationMs: number, nowMs: number): number {
    this.#ended.delete(requestId);
    this.#ended.set(requestId, nowMs);
    this.leave(requestId);
    const running = this.#running.get(requestId);
    const onMs = Math.floor(Math.min(durationMs * TAKE_UP_SHARE, LONGEST_TAKE_UP_MS));
    if (!running || onMs === 0) {
      this.#end(requestId);
      return 0;
    }
    running.isOver = true;
    running.untilMs = nowMs + onMs;
    return onMs;
  }

  lost(source: object, nowMs: number): void {
    for (const running of this.#running.values()) {
      if (running.source !== source || running.isOver) continue;
      running.source = undefined;
      running.untilMs = Math.min(running.untilMs, nowMs + this.#lapses.unseenMs);
    }
  }

  /** Forgets what nothing is heard of. */
  sweep(nowMs: number): void {
    for (const [requestId, { untilMs }] of this.#running) {
      if (untilMs <= nowMs) this.#end(requestId);
    }
    for (const [requestId, endedMs] of this.#ended) {
      if (endedMs + this.#lapses.endedMs > nowMs) break;
      this.#ended.delete(requestId);
    }
    for (const [sessionId, returning] of this.#returning) {
      const left = returning.filter(({ untilMs }) => untilMs > nowMs);
      if (left.length === 0) this.#returning.delete(sessionId);
      else if (left.length < returning.length) this.#returning.set(sessionId, left);
    }
  }

  /** Lets in those for whom there is room now, in their order. */
  look(nowMs: number): readonly Query[] {
    if (this.#waiting.length === 0) return [];
    const admitted: Query[] = [];
    this.#waiting = this.#waiting.filter(({ query, keys }) => {
      // It may run already: another sidecar let it in, or a log says so.
      if (!this.#running.has(query.requestId)) {
        if (this.#full(keys, query.namespace)) return true;
        this.#begin(query, keys, nowMs);
      }
      admitted.push(query);
      return false;
    });
    return admitted;
  }

  #isLimited(namespace: string): boolean {
    const limits = this.#limits(namespace);
    return limits !== undefined && limitsQueries(limits);
  }

  #full(keys: Keys, namespace: string): FullLimit | undefined {
    const limits = this.#limits(namespace);
    if (!limits) return undefined;
    for (const scope of QUERY_SCOPES) {
      const limit = limits[LIMITS[scope]];
      if (limit !== undefined && (this.#counts.get(keys[scope]) ?? 0) >= limit) {
        return { scope, limit };
      }
    }
    return undefined;
  }

  #begin(query: Query, keys: Keys, nowMs: number): Running {
    const untilMs = nowMs + this.#lapses.unseenMs;
    const running: Running = { query, keys, source: undefined, untilMs, isOver: false };
    this.#running.set(query.requestId, running);
    for (const scope of QUERY_SCOPES) {
      this.#counts.set(keys[scope], (this.#counts.get(keys[scope]) ?? 0) + 1);
    }
    return running;
  }

  /** It counts in the place of a stream of its session that has just ended, if there is one. */
  #takeUp(query: Query, nowMs: number): Running {
    for (const [requestId, { query: former, isOver }] of this.#running) {
      if (!isOver || former.sessionId !== query.sessionId) continue;
      this.#end(requestId);
      break;
    }
    return this.#begin(query, keysOf(query), nowMs);
  }

  #end(requestId: string): void {
    const running = this.#running.get(requestId);
    if (!running) return;
    this.#running.delete(requestId);
    for (const scope of QUERY_SCOPES) {
      const key = running.keys[scope];
      const count = (this.#counts.get(key) ?? 0) - 1;
      if (count > 0) this.#counts.set(key, count);
      else this.#counts.delete(key);
    }
  }

  #returnOf(sessionId: string, nowMs: number): number | undefined {
    const [first, ...rest] = (this.#returning.get(sessionId) ?? []).filter(
      ({ untilMs }) => untilMs > nowMs,
    );
    if (rest.length > 0) this.#returning.set(sessionId, rest);
    else this.#returning.delete(sessionId);
    return first?.order;
  }
}

const LIMITS = {
  session: 'queriesPerSession',
  principal: 'queriesPerPrincipal',
  team: 'queriesPerTeam',
  namespace: 'queriesPerNamespace',
} as const satisfies Record<QueryScope, keyof LimitPolicy>;

function keysOf({ sessionId, principal, team, namespace }: Query): Keys {
  return {
    session: `s ${sessionId}`,
    principal: `p ${principalKey(principal)}`,
    team: `t ${team}`,
    namespace: `n ${namespace}`,
  };
}
