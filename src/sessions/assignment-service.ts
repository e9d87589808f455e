/** AssignmentService (proto/spark_gateway/v1) on a grpc-js server: messages to calls and back. */
import { create } from '@bufbuild/protobuf';
import {
  type Deadline,
  Metadata,
  type sendUnaryData,
  type Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import {
  AdmitResponseSchema,
  AssignmentService,
  AssignResponseSchema,
  type AdmitRequest,
  type AdmitResponse,
  type Assignment as AssignmentMessage,
  AssignmentSchema,
  type AssignManyRequest,
  type AssignManyResponse,
  type AssignRequest as AssignMessage,
  type AssignResponse,
  type FollowRequest,
  type FollowResponse,
  type InterruptRequest,
  InterruptResponseSchema,
  type InterruptResponse,
  type ReportStatusRequest,
  ReportStatusResponseSchema,
  type ReportStatusResponse,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { serviceDefinition } from '../lib/grpc/channels.js';
import { toServiceError } from '../lib/grpc/status-details.js';
import type {
  ActivitySink,
  AssignRequest,
  Assigner,
  QueryAdmission,
  SeenRequestSink,
} from '../model/assignment.js';
import type { Tracer } from '../model/audit.js';
import type { Clock } from '../model/clock.js';
import type { EnvoyCounts } from '../model/envoy-counts.js';
import { GatewayError, toGatewayError } from '../model/errors.js';
import { interruptOfMessage } from '../model/interrupt.js';
import type { Leadership } from '../model/ledger.js';
import { TRACE_HEADER } from '../model/names.js';
import type { DriverStart, DriverStarts } from '../model/pool.js';
import type { Principal } from '../model/principal.js';
import { assignMany } from './assign-stream.js';
import type { SidecarNotices } from './notices.js';
import { takeStatus } from './sidecar-status.js';
import { follow } from './sidecar-stream.js';

/** However long a sidecar asks for, an answer is held no longer; the setting allows as much. */
const MAXIMUM_HOLD_MS = 5 * 60_000;
/** Kept back from the call's deadline for the answer's way. */
const ANSWER_MARGIN_MS = 500;

export interface AssignmentServiceOptions {
  readonly assigner: Assigner;
  readonly notices: SidecarNotices;
  readonly activity: ActivitySink;
  readonly seen: SeenRequestSink;
  /** Told of what a sidecar's Envoy has counted so far. */
  readonly counted?: (sidecarId: string, counts: readonly EnvoyCounts[]) => void;
  readonly queries: QueryAdmission;
  readonly leadership: Leadership;
  readonly watch: AssignmentWatch;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Registers the service. Streams end with the server, or with the leadership. */
export function addAssignmentService(server: Server, options: AssignmentServiceOptions): void {
  const { assigner, clock, logger, queries, watch } = options;
  const answerAssign = async (
    message: AssignMessage,
    traceparent: string | undefined,
    signal: AbortSignal,
    longestHoldMs = MAXIMUM_HOLD_MS,
  ): Promise<AssignmentMessage> => {
    const answered = watch.begin(message, traceparent);
    try {
      const assignment = await assign(message, longestHoldMs, assigner, signal);
      answered({ driver: assignment.driverUid });
      return assignment;
    } catch (error) {
      const { code } = toGatewayError(error);
      if (code === 'INTERNAL') logger.error({ err: error }, 'assignment failed');
      answered({ failure: code });
      throw error;
    }
  };
  server.addService(serviceDefinition(AssignmentService), {
    assign(
      call: ServerUnaryCall<AssignMessage, AssignResponse>,
      callback: sendUnaryData<AssignResponse>,
    ) {
      const abort = new AbortController();
      call.on('cancelled', () => abort.abort());
      answerAssign(
        call.request,
        traceparentOf(call.metadata),
        abort.signal,
        holdMs(call, clock),
      ).then(
        (assignment) => callback(null, create(AssignResponseSchema, { assignment })),
        (error: unknown) => callback(toServiceError(error)),
      );
    },
    assignMany(call: ServerDuplexStream<AssignManyRequest, AssignManyResponse>) {
      assignMany(call, answerAssign);
    },
    admit(
      call: ServerUnaryCall<AdmitRequest, AdmitResponse>,
      callback: sendUnaryData<AdmitResponse>,
    ) {
      const abort = new AbortController();
      call.on('cancelled', () => abort.abort());
      // The sidecar hears at once that its query waits here.
      call.sendMetadata(new Metadata());
      admit(call.request, holdMs(call, clock), queries, abort.signal).then(
        () => callback(null, create(AdmitResponseSchema)),
        (error: unknown) => callback(toServiceError(error)),
      );
    },
    interrupt(
      call: ServerUnaryCall<InterruptRequest, InterruptResponse>,
      callback: sendUnaryData<InterruptResponse>,
    ) {
      const message = call.request.interrupt;
      const interrupt = message && interruptOfMessage(message);
      if (!interrupt) {
        callback(toServiceError(new GatewayError('INTERNAL', 'The sidecar sent no principal.')));
        return;
      }
      void options.notices
        .interrupt(interrupt)
        .then(() => callback(null, create(InterruptResponseSchema)));
    },
    reportStatus(
      { request }: ServerUnaryCall<ReportStatusRequest, ReportStatusResponse>,
      callback: sendUnaryData<ReportStatusResponse>,
    ) {
      try {
        takeStatus(request, options);
        callback(null, create(ReportStatusResponseSchema));
      } catch (error) {
        callback(toServiceError(error));
      }
    },
    follow(call: ServerDuplexStream<FollowRequest, FollowResponse>) {
      follow(call, options);
    },
  });
}

async function assign(
  message: AssignMessage,
  longestHoldMs: number,
  assigner: Assigner,
  signal: AbortSignal,
): Promise<AssignmentMessage> {
  const { driverToken, ...assignment } = await assigner.assign(
    { ...fromMessage(message), holdMs: Math.min(message.holdMs, longestHoldMs) },
    signal,
  );
  return create(AssignmentSchema, { ...assignment, driverToken: driverToken ?? '' });
}

async function admit(
  message: AdmitRequest,
  longestHoldMs: number,
  queries: QueryAdmission,
  signal: AbortSignal,
): Promise<void> {
  const { requestId, sessionId, team, namespace, resumed } = message;
  const query = { requestId, sessionId, principal: principalOf(message), team, namespace };
  if (resumed) queries.resumed(query);
  else await queries.admit(query, Math.min(message.holdMs, longestHoldMs), signal);
}

/** Who asks, for what. */
function principalOf({
  principal,
  namespace,
}: Pick<AssignMessage, 'namespace'> & { readonly principal?: Principal | undefined }): Principal {
  if (!principal || principal.subject === '' || namespace === '') {
    throw new GatewayError('INTERNAL', 'The sidecar sent no principal or no namespace.');
  }
  const { issuer, subject } = principal;
  return { issuer, subject };
}

function fromMessage(message: AssignMessage): Omit<AssignRequest, 'holdMs'> {
  const { sessionId, userId, team, environment, namespace, cloneOf, method } = message;
  const { mayCreate, incidental } = message;
  return {
    sessionId,
    principal: principalOf(message),
    userId,
    team,
    environment,
    namespace,
    mayCreate,
    incidental,
    ...(cloneOf === '' ? {} : { cloneOf }),
    method,
  };
}

function traceparentOf(metadata: Metadata): string | undefined {
  return metadata.get(TRACE_HEADER)[0]?.toString();
}

/** What the call's deadline leaves for holding the answer. */
function holdMs(call: { getDeadline(): Deadline }, clock: Clock): number {
  const leftMs = Number(call.getDeadline()) - clock.now() - ANSWER_MARGIN_MS;
  return Math.max(0, Math.min(MAXIMUM_HOLD_MS, leftMs));
}

// How long assignments take, and which of them had to wait for a driver: for traces and metrics.

/** How an assignment was made. `cold`: its driver was not there when it was asked for. */
export type AssignmentKind = 'warm' | 'cold' | 'refused';

export interface AssignmentWatchOptions {
  readonly tracer: Tracer;
  readonly starts: DriverStarts;
  readonly clock: Clock;
  readonly onAssigned: (kind: AssignmentKind, durationMs: number) => void;
}

export class AssignmentWatch {
  readonly #o: AssignmentWatchOptions;

  constructor(options: AssignmentWatchOptions) {
    this.#o = options;
  }

  /** @returns what is to be called with the answer */
  begin(
    { sessionId, method }: { readonly sessionId: string; readonly method: string },
    traceparent: string | undefined,
  ): (answer: { readonly driver?: string | undefined; readonly failure?: string }) => void {
    const { tracer, starts, clock, onAssigned } = this.#o;
    const startedMs = clock.now();
    const span = tracer.start('assignment', traceparent);
    return ({ driver, failure }) => {
      const start = driver === undefined ? undefined : starts.startOf(driver);
      const cold = start !== undefined && start.readyAtMs > startedMs ? start : undefined;
      const kind = failure === undefined ? (cold ? 'cold' : 'warm') : 'refused';
      onAssigned(kind, clock.now() - startedMs);
      if (!span) return;
      span.set('spark_gateway.session', sessionId);
      span.set('rpc.method', method);
      span.set('spark_gateway.start', kind);
      if (driver !== undefined) span.set('spark_gateway.driver', driver);
      if (cold && driver !== undefined) addStart(span, cold, driver);
      span.end(failure);
    };
  }
}

function addStart(span: NonNullable<ReturnType<Tracer['start']>>, start: DriverStart, uid: string) {
  span.addPart('driver start', start.createdAtMs, start.readyAtMs, {
    'spark_gateway.driver': uid,
    'spark_gateway.namespace': start.namespace,
  });
}
