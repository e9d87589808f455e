/** The control plane's assignments as a sidecar uses them: asked once, then remembered. */
import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { Client, type ChannelCredentials } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import {
  AdmitRequestSchema,
  AssignmentService,
  InterruptRequestSchema,
  AssignRequestSchema,
  type AssignRequest as AssignRequestMessage,
  type Assignment as AssignmentMessage,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { channelOptions } from '../../lib/grpc/channels.js';
import type {
  ActivitySink,
  AssignRequest,
  Assigner,
  Assignment,
  SessionActivity,
  Query,
  QueryAdmission,
  SeenRequest,
  SeenRequestSink,
} from '../../model/assignment.js';
import type { Clock } from '../../model/clock.js';
import type { EnvoyCounts } from '../../model/envoy-counts.js';
import { GatewayError } from '../../model/errors.js';
import type { Interrupt, InterruptChannel } from '../../model/interrupt.js';
import { principalKey, samePrincipal } from '../../model/principal.js';
import type { SidecarPolicy } from '../../model/reports.js';
import { AssignStream } from './assign-stream.js';
import { abortReason, AssignmentCache, SharedFlights } from './assignment-cache.js';
import { callControlPlane } from './call-control-plane.js';
import { Follow } from './follow.js';
import { StatusReports } from './status-reports.js';

export interface AssignmentsClientOptions {
  /** gRPC targets of the control planes, such as `control-plane:18001`; any of them answers. */
  readonly addresses: readonly string[];
  readonly credentials: ChannelCredentials;
  /** Name in the control planes' certificate; undefined: the host of the address. */
  readonly serverName?: string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onCache?: (result: 'hit' | 'miss') => void;
  /** What people call this sidecar. Default: nothing. */
  readonly name?: string;
  /** What this sidecar decides by, told with its reports. Default: nothing is told. */
  readonly policy?: () => SidecarPolicy;
  /** What the Envoy beside it has counted so far, told with its reports. Default: nothing. */
  readonly counts?: () => readonly EnvoyCounts[];
  /** In [0, 1). Default Math.random. */
  readonly random?: () => number;
}

/** Time for the answer to arrive after the hold that was asked for. */
const ANSWER_MARGIN_MS = 5_000;
/** A query is not held up by a control plane that does not say so soon that it has taken it in. */
const ADMISSION_HEARD_MS = 2_000;
/** For all sidecars to apply an interrupt. */
const INTERRUPT_TIMEOUT_MS = 3_000;
/** The first pause before the control plane is asked again; it doubles. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
const NOTHING_COUNTED: readonly EnvoyCounts[] = [];
/** Answers in a row that notices may overtake: each takes the end of a session's driver at just that moment. */
const MAX_OVERTAKEN = 5;

export class AssignmentsClient
  implements
    Assigner,
    Pick<ActivitySink, 'activity'>,
    QueryAdmission,
    SeenRequestSink,
    InterruptChannel
{
  readonly #options: AssignmentsClientOptions;
  readonly #clients: readonly Client[];
  readonly #streams = new Map<Client, AssignStream>();
  readonly #cache: AssignmentCache;
  readonly #follow: Follow;
  readonly #status: StatusReports;
  readonly #flights = new SharedFlights<Assignment>();
  /** Index of the control plane that answered last. */
  #preferred = 0;

  constructor(options: AssignmentsClientOptions) {
    const { clock, logger, serverName } = options;
    this.#options = options;
    this.#clients = options.addresses.map(
      (address) => new Client(address, options.credentials, channelOptions('steady', serverName)),
    );
    this.#cache = new AssignmentCache(clock);
    const sidecarId = randomUUID();
    const policy = options.policy ?? (() => undefined);
    const counts = options.counts ?? (() => NOTHING_COUNTED);
    this.#status = new StatusReports({ sidecarId, policy, counts, clock, logger });
    this.#follow = new Follow({
      clients: this.#clients,
      sidecarId,
      name: options.name ?? '',
      cache: this.#cache,
      onFollowed: (client) => this.#status.tell(client),
      clock,
      logger,
      random: options.random ?? Math.random,
    });
  }

  /** Begins to follow the control plane, whether or not it answers yet. Without it nothing is remembered. */
  start(): void {
    this.#follow.start();
  }

  /** Reports what is left to report, for up to `limitMs`, and closes the connections. */
  async close(limitMs = 2_000): Promise<void> {
    this.#status.tell(undefined);
    await this.#follow.close(limitMs);
    for (const stream of this.#streams.values()) stream.close();
    for (const client of this.#clients) client.close();
  }

  /**
   * What is remembered answers only its own principal in its own namespace; every doubt is the
   * control plane's to decide. While that is away, known sessions go on for as long as the lease
   * lasts, and all others wait for up to `holdMs`.
   */
  assign(request: AssignRequest, signal: AbortSignal): Promise<Assignment> {
    const known = this.remembered(request);
    if (known) return Promise.resolve(known);
    this.#options.onCache?.('miss');
    return this.#flights.join(flightKey(request), signal, (shared) => this.#ask(request, shared));
  }

  remembered({ sessionId, principal, namespace }: AssignRequest): Assignment | undefined {
    const known = this.#cache.get(sessionId);
    if (!known || !samePrincipal(known.principal, principal) || known.namespace !== namespace) {
      return undefined;
    }
    this.#options.onCache?.('hit');
    return known;
  }

  activity(events: readonly SessionActivity[]): void {
    this.#follow.activity(events);
  }

  seen(request: SeenRequest): void {
    this.#status.seen(request);
  }

  async admit(query: Query, holdMs: number, signal: AbortSignal): Promise<void> {
    const message = create(AdmitRequestSchema, { ...query, holdMs });
    await this.#callAny(signal, (client) =>
      callControlPlane(client, AssignmentService.method.admit, message, {
        deadline: Date.now() + holdMs + ANSWER_MARGIN_MS,
        signal,
        heardWithin: { ms: ADMISSION_HEARD_MS, clock: this.#options.clock },
      }),
    );
  }

  /** What gets lost is told by the access log a little later. */
  resumed(query: Query): void {
    const message = create(AdmitRequestSchema, { ...query, resumed: true });
    const signal = new AbortController().signal;
    this.#callAny(signal, (client) =>
      callControlPlane(client, AssignmentService.method.admit, message, {
        deadline: Date.now() + ANSWER_MARGIN_MS,
        signal,
      }),
    ).catch(() => undefined);
  }

  async interrupt(interrupt: Interrupt): Promise<void> {
    const principal = { ...interrupt.principal };
    const message = create(InterruptRequestSchema, { interrupt: { ...interrupt, principal } });
    const { signal } = new AbortController();
    const call = (client: Client) =>
      callControlPlane(client, AssignmentService.method.interrupt, message, {
        deadline: Date.now() + INTERRUPT_TIMEOUT_MS,
        signal,
      });
    // Without a control plane there are no sidecars to tell.
    await this.#callAny(signal, call).catch(() => undefined);
  }

  onInterrupt(listener: (interrupt: Interrupt) => void): void {
    this.#follow.onInterrupt(listener);
  }

  /** Asks until there is an answer that no notice has overtaken, or the hold is over. */
  async #ask(request: AssignRequest, signal: AbortSignal): Promise<Assignment> {
    const { clock } = this.#options;
    const endMs = clock.now() + request.holdMs;
    let overtaken = 0;
    let pauseMs = FIRST_PAUSE_MS;
    for (;;) {
      const asking = this.#cache.begin(request.sessionId);
      try {
        const leftMs = Math.max(0, endMs - clock.now());
        const assignment = await this.#askAny(request, leftMs, signal);
        if (this.#cache.accept(asking, assignment)) return assignment;
        if (++overtaken === MAX_OVERTAKEN) throw changing();
      } catch (error) {
        if (signal.aborted || !isAway(error) || clock.now() + pauseMs >= endMs) throw error;
        await pause(pauseMs, clock, signal);
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      } finally {
        this.#cache.finish(asking);
      }
    }
  }

  async #askAny(request: AssignRequest, holdMs: number, signal: AbortSignal): Promise<Assignment> {
    const message = toMessage(request, holdMs);
    const { traceparent } = request;
    const timeoutMs = holdMs + ANSWER_MARGIN_MS;
    const answer = await this.#callAny(signal, (client) =>
      this.#streamTo(client).ask(message, { timeoutMs, signal, traceparent }),
    );
    return fromMessage(answer);
  }

  #streamTo(client: Client): AssignStream {
    const known = this.#streams.get(client);
    if (known) return known;
    const stream = new AssignStream(client, this.#options.clock);
    this.#streams.set(client, stream);
    return stream;
  }

  /** Calls the control plane that answered last, then the others. */
  async #callAny<T>(signal: AbortSignal, call: (client: Client) => Promise<T>): Promise<T> {
    let failure: unknown;
    for (let i = 0; i < this.#clients.length; i++) {
      const index = (this.#preferred + i) % this.#clients.length;
      const client = this.#clients[index];
      if (!client) continue;
      try {
        const answer = await call(client);
        this.#preferred = index;
        return answer;
      } catch (error) {
        if (signal.aborted || !isAway(error)) {
          this.#preferred = index;
          throw error;
        }
        failure = error;
      }
    }
    throw failure;
  }
}

/** Whether asking again, or another control plane, makes sense within the same hold. */
function isAway(error: unknown): boolean {
  return (
    error instanceof GatewayError &&
    (error.code === 'CONTROL_PLANE_UNAVAILABLE' || error.code === 'SHUTTING_DOWN')
  );
}

function changing(): GatewayError {
  return new GatewayError(
    'DRIVER_UNREACHABLE',
    'The driver of this session is changing right now; try again shortly.',
    { retryAfterMs: FIRST_PAUSE_MS },
  );
}

/** Everything on which an answer depends. */
function flightKey(request: AssignRequest): string {
  const { sessionId, principal, userId, namespace, mayCreate, incidental = false } = request;
  const { cloneOf = '' } = request;
  return `${sessionId} ${namespace} ${mayCreate} ${incidental} ${cloneOf} ${principalKey(principal)} ${userId}`;
}

/** Rejects with the signal's reason when that fires first. */
function pause(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      timer.cancel();
      reject(abortReason(signal));
    };
    const timer = clock.setTimer(ms, () => {
      signal.removeEventListener('abort', aborted);
      resolve();
    });
    if (signal.aborted) aborted();
    else signal.addEventListener('abort', aborted, { once: true });
  });
}

// Assignments as messages of spark_gateway.v1.

function toMessage(request: AssignRequest, holdMs: number): AssignRequestMessage {
  const { sessionId, principal, userId, team, environment, namespace, mayCreate, method } = request;
  return create(AssignRequestSchema, {
    sessionId,
    principal: { issuer: principal.issuer, subject: principal.subject },
    userId,
    team,
    environment,
    namespace,
    mayCreate,
    holdMs,
    incidental: request.incidental ?? false,
    cloneOf: request.cloneOf ?? '',
    method,
  });
}

/** Throws INTERNAL for an answer without an assignment. */
function fromMessage(assignment: AssignmentMessage | undefined): Assignment {
  if (!assignment?.principal) {
    throw new GatewayError('INTERNAL', 'The control plane answered without an assignment.');
  }
  const { sessionId, principal, driverUid, cluster, address, driverToken } = assignment;
  return {
    sessionId,
    principal: { issuer: principal.issuer, subject: principal.subject },
    userId: assignment.userId,
    driverUid,
    cluster,
    address,
    driverToken: driverToken === '' ? undefined : driverToken,
    team: assignment.team,
    environment: assignment.environment,
    namespace: assignment.namespace,
    cacheTtlMs: assignment.cacheTtlMs,
  };
}
