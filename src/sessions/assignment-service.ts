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
  type AssignRequest as AssignMessage,
  type AssignResponse,
  type FollowRequest,
  type FollowResponse,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { serviceDefinition } from '../grpc/service.js';
import { toServiceError } from '../grpc/status-details.js';
import type { ActivitySink, AssignRequest, Assigner } from '../model/assignment.js';
import type { Clock } from '../model/clock.js';
import { GatewayError, toGatewayError } from '../model/errors.js';
import type { Leadership } from '../model/ledger.js';
import { TRACE_HEADER } from '../model/names.js';
import type { Principal } from '../model/principal.js';
import type { QueryAdmission } from '../model/query.js';
import type { SeenRequestSink } from '../model/seen-request.js';
import type { AssignmentWatch } from './assignment-watch.js';
import { follow } from './follow.js';
import type { SidecarNotices } from './notices.js';

/** However long a sidecar asks for, an answer is held no longer; the setting allows as much. */
const MAXIMUM_HOLD_MS = 5 * 60_000;
/** Kept back from the call's deadline for the answer's way. */
const ANSWER_MARGIN_MS = 500;

export interface AssignmentServiceOptions {
  readonly assigner: Assigner;
  readonly notices: SidecarNotices;
  readonly activity: ActivitySink;
  readonly seen: SeenRequestSink;
  readonly queries: QueryAdmission;
  readonly leadership: Leadership;
  readonly watch: AssignmentWatch;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Registers the service. Streams end with the server, or with the leadership. */
export function addAssignmentService(server: Server, options: AssignmentServiceOptions): void {
  const { assigner, clock, logger, queries, watch } = options;
  server.addService(serviceDefinition(AssignmentService), {
    assign(
      call: ServerUnaryCall<AssignMessage, AssignResponse>,
      callback: sendUnaryData<AssignResponse>,
    ) {
      const abort = new AbortController();
      call.on('cancelled', () => abort.abort());
      const answered = watch.begin(call.request, traceparentOf(call.metadata));
      assign(call.request, holdMs(call, clock), assigner, abort.signal).then(
        (response) => {
          answered({ driver: response.assignment?.driverUid });
          callback(null, response);
        },
        (error: unknown) => {
          const { code } = toGatewayError(error);
          if (code === 'INTERNAL') logger.error({ err: error }, 'assignment failed');
          answered({ failure: code });
          callback(toServiceError(error));
        },
      );
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
): Promise<AssignResponse> {
  const { driverToken, ...assignment } = await assigner.assign(
    { ...fromMessage(message), holdMs: Math.min(message.holdMs, longestHoldMs) },
    signal,
  );
  return create(AssignResponseSchema, {
    assignment: { ...assignment, driverToken: driverToken ?? '' },
  });
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
  const { sessionId, userId, team, environment, namespace, mayCreate, cloneOf, method } = message;
  return {
    sessionId,
    principal: principalOf(message),
    userId,
    team,
    environment,
    namespace,
    mayCreate,
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
