/** From access records to what sessions did. */
import type { ActivitySink } from '../model/assignment.js';
import type { Clock, Timer } from '../model/clock.js';
import type { AccessRecord } from './record.js';

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
    const streamId = `${this.#reporter}/${record.streamId}`;
    if (record.kind === 'running') this.#running(streamId, record.session, nowMs);
    else this.#ended(streamId, record.session, nowMs);
    if (isRelease(record)) this.#sink.released(record.session, nowMs);
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

/** Whether the driver has let go of the session for good. */
function isRelease({ method, kind, grpcStatus, comesBack }: AccessRecord): boolean {
  return (
    method === RELEASE_METHOD && kind === 'ended' && grpcStatus === 0 && comesBack === undefined
  );
}

function keyOf(sessionId: string, streamId: string): string {
  return `${sessionId} ${streamId}`;
}
