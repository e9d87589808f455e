/**
 * The stream that keeps this sidecar's cache in step with the control plane
 * (`AssignmentService.Follow`): reports go up, notices come down.
 */
import { create } from '@bufbuild/protobuf';
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import {
  AssignmentService,
  FollowRequestSchema,
  type FollowRequest,
  type FollowResponse,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { methodDefinition } from '../../lib/grpc/channels.js';
import type { SessionActivity } from '../../model/assignment.js';
import { interruptOfMessage, type Interrupt } from '../../model/interrupt.js';
import { Backoff, type Clock, momentOf, passedMs, type Timer } from '../../model/clock.js';
import { ActivityReports } from './activity-reports.js';
import type { AssignmentCache } from './assignment-cache.js';

export interface FollowOptions {
  /** The control planes; any of them will do. */
  readonly clients: readonly Client[];
  /** Unique for this process and the same for its life. */
  readonly sidecarId: string;
  /** For people. */
  readonly name: string;
  readonly cache: AssignmentCache;
  /** Called with the control plane that follows this sidecar from now on; undefined: none does. */
  readonly onFollowed: (client: Client | undefined) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  /** In [0, 1), for the pauses between attempts. */
  readonly random: () => number;
}

/** Half of what the control plane asks for at least. */
const REPORT_INTERVAL_MS = 5_000;
/** A release frees its driver: it is told soon, with others that come meanwhile. */
const RELEASE_DELAY_MS = 100;
/** A control plane that acknowledges nothing for so long is left for another one. */
const ACKNOWLEDGEMENT_TIMEOUT_MS = 15_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

const method = methodDefinition(AssignmentService.method.follow);

export class Follow {
  readonly #options: FollowOptions;
  readonly #reports = new ActivityReports();
  #stream: ClientDuplexStream<FollowRequest, FollowResponse> | undefined;
  /** A report on this stream was acknowledged. */
  #isFollowed = false;
  /** The highest notice that was applied. */
  #applied = 0n;
  readonly #backoff: Backoff;
  #client = 0;
  #reportTimer: Timer | undefined;
  #retryTimer: Timer | undefined;
  #releaseTimer: Timer | undefined;
  #closing = false;
  /** The gRPC status for want of which there is no connection, as it was logged. */
  #trouble: number | undefined;
  #closed: () => void = () => undefined;
  #interrupted: (interrupt: Interrupt) => void = () => undefined;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, options.random);
  }

  start(): void {
    this.#connect();
  }

  activity(events: readonly SessionActivity[]): void {
    let released = false;
    for (const event of events) {
      this.#reports.add(event);
      released ||= event.released;
    }
    if (released && !this.#releaseTimer && this.#stream) {
      this.#releaseTimer = this.#options.clock.setTimer(RELEASE_DELAY_MS, () => this.#report());
    }
  }

  onInterrupt(listener: (interrupt: Interrupt) => void): void {
    this.#interrupted = listener;
  }

  /** Sends what is left to report and waits, up to `limitMs`, for the control plane to take it in. */
  async close(limitMs: number): Promise<void> {
    this.#closing = true;
    this.#retryTimer?.cancel();
    const stream = this.#stream;
    if (!stream) return;
    await new Promise<void>((resolve) => {
      const limit = this.#options.clock.setTimer(limitMs, resolve);
      this.#closed = () => {
        limit.cancel();
        resolve();
      };
      this.#report();
    });
    this.#cancelTimers();
    this.#stream = undefined;
    stream.cancel();
  }

  #connect(): void {
    const { clients, logger } = this.#options;
    const client = clients[this.#client % clients.length];
    if (!client) return;
    const stream = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
    );
    this.#stream = stream;
    stream.on('data', (notice: FollowResponse) => {
      if (this.#stream === stream) this.#apply(notice, client);
    });
    // Every end of the stream, with or without an error, has a status.
    stream.on('error', () => undefined);
    stream.on('status', (status) => {
      if (this.#stream !== stream) return;
      if (!this.#closing && this.#trouble !== status.code) {
        logger.warn(
          { code: status.code, details: status.details },
          'the control plane does not answer: known sessions go on for a while, new ones wait; is it running, and do assignments.connect_addr and the certificates of mtls fit?',
        );
        this.#trouble = status.code;
      }
      this.#disconnected();
    });
    this.#report();
  }

  #disconnected(): void {
    this.#stream = undefined;
    this.#cancelTimers();
    this.#reports.takeBack(momentOf(this.#options.clock));
    this.#isFollowed = false;
    this.#options.onFollowed(undefined);
    this.#closed();
    if (this.#closing) return;
    this.#client++;
    this.#retryTimer = this.#options.clock.setTimer(this.#backoff.next(), () => this.#connect());
  }

  #report(): void {
    const stream = this.#stream;
    if (!stream) return;
    this.#cancelTimers();
    const { clock, name, sidecarId } = this.#options;
    const silentSince = this.#reports.waitingSince;
    if (silentSince && passedMs(clock, silentSince) >= ACKNOWLEDGEMENT_TIMEOUT_MS) {
      stream.cancel();
      this.#disconnected();
      return;
    }
    const now = momentOf(clock);
    const { report, activity } = this.#reports.next(now);
    stream.write(
      create(FollowRequestSchema, {
        sidecarId,
        name,
        applied: this.#applied,
        report,
        activity: activity.map(({ sessionId, atMs, released }) => ({
          sessionId,
          ageMs: Math.max(0, now.wallMs - atMs),
          released,
        })),
      }),
    );
    this.#reportTimer = clock.setTimer(REPORT_INTERVAL_MS, () => this.#report());
  }

  #apply(notice: FollowResponse, client: Client): void {
    const { cache } = this.#options;
    if (notice.reset) cache.reset();
    cache.end(notice.endedSessions, notice.endedDrivers);
    if (notice.reset || notice.sequence > this.#applied) this.#applied = notice.sequence;
    for (const message of notice.interrupts) {
      const interrupt = interruptOfMessage(message);
      if (interrupt) this.#interrupted(interrupt);
    }
    const sentAt = this.#reports.acknowledge(notice.acknowledgedReport);
    if (sentAt) {
      cache.renew(sentAt);
      this.#backoff.reset();
      if (this.#trouble !== undefined) this.#options.logger.info('the control plane answers again');
      this.#trouble = undefined;
      if (!this.#isFollowed && !this.#closing) this.#options.onFollowed(client);
      this.#isFollowed = true;
      if (this.#closing && this.#reports.waitingSince === undefined) this.#closed();
    }
    // An address is given to a new driver only when every sidecar has confirmed the end of the old one;
    // an interrupt is answered when every sidecar has applied it.
    const { reset, endedDrivers, interrupts } = notice;
    if (reset || endedDrivers.length > 0 || interrupts.length > 0) this.#report();
  }

  #cancelTimers(): void {
    this.#reportTimer?.cancel();
    this.#releaseTimer?.cancel();
    this.#releaseTimer = undefined;
  }
}
