/** What one access log stream tells of activity, to this process while it leads. */
import type { ActivitySink, QueryReports } from '../../model/assignment.js';
import type { Clock, Timer } from '../../model/clock.js';
import { QUERY_RPCS } from '../../model/names.js';
import type { AccessRecord } from './access-record.js';
import type { AccessLogMessage } from './entry-reader.js';
import { whichAreNews } from './news.js';
import type { Logger } from 'pino';

export interface ReceivedMessage extends Pick<
  AccessLogMessage,
  'records' | 'places' | 'connectionEnds'
> {
  /** As it came. */
  readonly bytes: Buffer;
}

export interface ActivityFeed {
  tell(message: ReceivedMessage): void;
  close(): void;
}

export function localFeed(
  reporter: string,
  options: {
    readonly sink: ActivitySink;
    readonly queries: QueryReports;
    readonly reporters: Reporters;
    readonly clock: Clock;
    readonly intervalMs: number;
  },
): ActivityFeed {
  const { sink, queries, reporters, clock, intervalMs } = options;
  const activity = new StreamActivity(reporter, sink, clock, intervalMs);
  let isKnown = false;
  const feed: ActivityFeed = {
    tell({ records, connectionEnds }) {
      if (!isKnown) {
        isKnown = true;
        reporters.add(reporter, Math.min(...records.map(({ startedAtMs }) => startedAtMs)));
      }
      const areNews = whichAreNews(records, intervalMs);
      for (const [index, record] of records.entries()) {
        if (!areNews[index]) continue;
        activity.record(record);
        tellOfQuery(record, feed, queries);
      }
      for (const { connection, atMs } of connectionEnds) {
        sink.connectionEnded(`${reporter}/${connection}`, atMs);
      }
    },
    close() {
      activity.close();
      sink.connectionsMissed(reporter);
      queries.lost(feed);
      if (isKnown) reporters.delete(reporter);
    },
  };
  return feed;
}

// From access records to what sessions did.

const RELEASE_METHOD = 'ReleaseSession';

/** Records that may fail to come before a stream is taken for ended. */
const MISSED_RECORDS = 3;

/** For which a record may be under way: Envoy collects them for a moment, and a host may stall. */
const DELIVERY_MS = 5_000;

interface OpenStream {
  readonly sessionId: string;
  readonly streamId: string;
  seenAtMs: number;
}

/**
 * Follows the RPCs that one connection of an Envoy reports. A running one is open from its first
 * record, whether or not the control plane saw it start, until its end, until its records stop coming
 * (the end was lost), or until the connection ends. Times are the control plane's own.
 */
export class StreamActivity {
  readonly #sink: ActivitySink;
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #reporter: string;
  /** By session and stream id, as a client may choose the latter; the one heard of last at the end. */
  readonly #open = new Map<string, OpenStream>();
  #timer: Timer | undefined;

  /**
   * @param reporter the Envoy; the ids of its streams begin with it
   * @param intervalMs how often it reports a running RPC
   */
  constructor(reporter: string, sink: ActivitySink, clock: Clock, intervalMs: number) {
    this.#reporter = reporter;
    this.#sink = sink;
    this.#clock = clock;
    this.#silenceMs = MISSED_RECORDS * intervalMs + DELIVERY_MS;
  }

  record(record: AccessRecord): void {
    // A refused request says nothing of the session it named: the caller may have no part in it.
    if (record.session === undefined || record.refusal !== undefined) return;
    const nowMs = this.#clock.now();
    const streamId = `${this.#reporter}/${record.requestId}`;
    if (record.kind === 'running') this.#running(streamId, record.session, nowMs);
    else this.#ended(streamId, record.session, nowMs);
    const { connection, session, startedAtMs } = record;
    if (connection !== undefined) {
      this.#sink.connectionUsed(session, `${this.#reporter}/${connection}`, startedAtMs);
    }
    if (isAnswer(record)) this.#sink.answered?.(record.session);
    if (isRelease(record)) this.#sink.released(record.session, nowMs);
    if (record.sessionClosed && record.driver !== undefined) {
      this.#sink.closedByDriver?.(record.session, record.driver);
    }
  }

  /** The connection ended: what it reported on is unknown from now on. */
  close(): void {
    this.#timer?.cancel();
    const nowMs = this.#clock.now();
    for (const { sessionId, streamId } of this.#open.values()) {
      this.#sink.streamClosed(sessionId, streamId, nowMs);
    }
    this.#open.clear();
  }

  #running(streamId: string, sessionId: string, nowMs: number): void {
    const key = keyOf(sessionId, streamId);
    if (!this.#open.delete(key))
      this.#sink.streamOpened(sessionId, streamId, nowMs, this.#reporter);
    this.#open.set(key, { sessionId, streamId, seenAtMs: nowMs });
    this.#scheduleSweep();
  }

  #ended(streamId: string, sessionId: string, nowMs: number): void {
    if (this.#open.delete(keyOf(sessionId, streamId)))
      this.#sink.streamClosed(sessionId, streamId, nowMs);
    else this.#sink.activity([{ sessionId, atMs: nowMs, released: false }], this.#reporter);
  }

  #scheduleSweep(): void {
    this.#timer ??= this.#clock.setTimer(this.#silenceMs, () => {
      this.#timer = undefined;
      const nowMs = this.#clock.now();
      for (const [key, { sessionId, streamId, seenAtMs }] of this.#open) {
        if (nowMs - seenAtMs < this.#silenceMs) break;
        this.#open.delete(key);
        this.#sink.streamClosed(sessionId, streamId, seenAtMs);
      }
      if (this.#open.size > 0) this.#scheduleSweep();
    });
  }
}

/** Whether the driver has surely answered. */
function isAnswer({ kind, grpcStatus, comesBack }: AccessRecord): boolean {
  return kind === 'ended' && grpcStatus === 0 && comesBack === undefined;
}

/** Whether the driver has let go of the session for good. */
function isRelease({ method, kind, grpcStatus, comesBack }: AccessRecord): boolean {
  return (
    method === RELEASE_METHOD && kind === 'ended' && grpcStatus === 0 && comesBack === undefined
  );
}

function keyOf(sessionId: string, streamId: string): string {
  return `${sessionId} ${streamId}`;
}

// From access records to the queries that run.

const METHODS = new Set<string>(QUERY_RPCS);

/** `source`: stands for the stream of the access log. */
function tellOfQuery(record: AccessRecord, source: object, reports: QueryReports): void {
  if (!METHODS.has(record.method)) return;
  // Whether or not authz knew whose it was: a client may go away while its query waits.
  if (record.kind === 'ended') reports.ended(record.requestId, record.durationMs ?? 0);
  const { issuer, namespace, principal, refusal, requestId, session, team } = record;
  if (record.kind === 'ended' || refusal !== undefined) return;
  if (session === undefined || principal === undefined || issuer === undefined) return;
  if (team === undefined || namespace === undefined) return;
  const query = {
    requestId,
    sessionId: session,
    principal: { issuer, subject: principal },
    team,
    namespace,
  };
  reports.running(query, source);
}
/** Who tells a sink of activity now, with the number of streams of each. */

export class Reporters {
  readonly #sink: ActivitySink;
  readonly #logger: Logger;
  readonly #streams = new Map<string, number>();
  readonly #sinceMs: number;

  /** @param sinceMs when `sink` began to listen */
  constructor(sink: ActivitySink, logger: Logger, sinceMs: number) {
    this.#sink = sink;
    this.#logger = logger;
    this.#sinceMs = sinceMs;
  }

  /** @param earliestMs start of the oldest RPC in the first message; before our own: there is a past we did not see */
  add(reporter: string, earliestMs: number): void {
    const streams = this.#streams.get(reporter) ?? 0;
    this.#streams.set(reporter, streams + 1);
    if (streams > 0) return;
    this.#logger.info({ reporter }, 'access log connected');
    if (earliestMs < this.#sinceMs) this.#sink.reporterDisconnected(reporter);
    this.#sink.reporterConnected(reporter);
  }

  delete(reporter: string): void {
    const streams = (this.#streams.get(reporter) ?? 0) - 1;
    if (streams > 0) {
      this.#streams.set(reporter, streams);
      return;
    }
    this.#streams.delete(reporter);
    this.#logger.info({ reporter }, 'access log disconnected');
    this.#sink.reporterDisconnected(reporter);
  }
}
