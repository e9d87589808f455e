/** What operators do and ask, passed on to the leader. */
import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import type { sendUnaryData, Server, ServerUnaryCall } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import {
  AdministrationService,
  DiffPolicyRequestSchema,
  DrainRequestSchema,
  EvictRequestSchema,
  ReleaseRequestSchema,
  UndrainRequestSchema,
  type DriverState,
  DiffPolicyResponseSchema,
  DrainResponseSchema,
  EvictResponseSchema,
  ReleaseResponseSchema,
  ShareFleetResponseSchema,
  UndrainResponseSchema,
  type DiffPolicyRequest,
  type DrainRequest,
  type EvictRequest,
  type ReleaseRequest,
  type ShareFleetRequest,
  type UndrainRequest,
} from '#gen/spark_gateway/v1/administration_pb.js';
import type { Principal as PrincipalMessage } from '#gen/spark_gateway/v1/assignments_pb.js';
import { serviceDefinition } from '../lib/grpc/channels.js';
import type { CallLeader } from '../lib/grpc/forward.js';
import { toServiceError } from '../lib/grpc/status-details.js';
import type { DriverOutcome, Operations, SessionOutcome } from '../model/administration.js';
import { isDriverPhase, isSessionEnd } from '../model/driver.js';
import { GatewayError, toGatewayError } from '../model/errors.js';
import type { DiffPolicy, PolicyDiffAnswer } from '../model/policy-diff.js';
import type { Principal } from '../model/principal.js';
import type { ReplicaTells, SharedFleet } from './shared-fleet.js';
import type { EndedList } from '../sign-in/ended-sessions.js';

const { method } = AdministrationService;

export class RemoteOperations implements Operations {
  readonly #call: CallLeader;

  constructor(call: CallLeader) {
    this.#call = call;
  }

  async drain(
    driverUid: string,
    deadlineMs: number | undefined,
    by: Principal,
  ): Promise<DriverOutcome> {
    const request = create(DrainRequestSchema, {
      driverUid,
      by: { issuer: by.issuer, subject: by.subject },
      ...(deadlineMs === undefined ? {} : { deadlineMs: BigInt(deadlineMs) }),
    });
    return driverOutcome((await this.#call(method.drain, request)).driver);
  }

  async undrain(driverUid: string, by: Principal): Promise<DriverOutcome> {
    const request = create(UndrainRequestSchema, {
      driverUid,
      by: { issuer: by.issuer, subject: by.subject },
    });
    return driverOutcome((await this.#call(method.undrain, request)).driver);
  }

  async evict(driverUid: string, by: Principal): Promise<DriverOutcome> {
    const request = create(EvictRequestSchema, {
      driverUid,
      by: { issuer: by.issuer, subject: by.subject },
    });
    return driverOutcome((await this.#call(method.evict, request)).driver);
  }

  async release(sessionId: string, by: Principal): Promise<SessionOutcome> {
    const request = create(ReleaseRequestSchema, {
      sessionId,
      by: { issuer: by.issuer, subject: by.subject },
    });
    const { driverUid, end, endedAtMs, ...answer } = await this.#call(method.release, request);
    if (!isSessionEnd(end)) throw unreadable();
    return { sessionId: answer.sessionId, driverUid, end, endedAtMs: Number(endedAtMs) };
  }
}

export function remoteDiff(call: CallLeader): DiffPolicy {
  return async (text, signal) => {
    const request = create(DiffPolicyRequestSchema, { text });
    const { answer } = await call(method.diffPolicy, request, signal);
    try {
      const read: unknown = JSON.parse(answer);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- replicas of one release agree on it
      return read as PolicyDiffAnswer;
    } catch {
      throw unreadable();
    }
  };
}

function driverOutcome(state: DriverState | undefined): DriverOutcome {
  if (!state || !isDriverPhase(state.phase)) throw unreadable();
  const { uid, phase, sessions, drainDeadlineMs } = state;
  return {
    uid,
    phase,
    sessions,
    drainDeadlineMs: drainDeadlineMs === undefined ? undefined : Number(drainDeadlineMs),
  };
}

function unreadable(): GatewayError {
  return new GatewayError(
    'CONTROL_PLANE_UNAVAILABLE',
    'The leading control plane gave an answer that this one does not understand; it may be of another release. Try again when both are of the same.',
  );
}

// AdministrationService (proto/spark_gateway/v1) on the leader's grpc-js server.

/** Registers the service. Who may call it is for the server to say. */
export function addAdministrationService(
  server: Server,
  options: {
    readonly operations: Operations;
    readonly diffPolicy: DiffPolicy;
    readonly shared: Pick<SharedFleet, 'take'>;
    readonly logger: Logger;
  },
): void {
  const { operations, diffPolicy, shared } = options;
  const answer = unary(options.logger);
  server.addService(serviceDefinition(AdministrationService), {
    drain: answer<DrainRequest, typeof DrainResponseSchema>(async ({ driverUid, deadlineMs, by }) =>
      create(DrainResponseSchema, {
        driver: driverState(
          await operations.drain(
            driverUid,
            deadlineMs === undefined ? undefined : Number(deadlineMs),
            principalOf(by),
          ),
        ),
      }),
    ),
    undrain: answer<UndrainRequest, typeof UndrainResponseSchema>(async ({ driverUid, by }) =>
      create(UndrainResponseSchema, {
        driver: driverState(await operations.undrain(driverUid, principalOf(by))),
      }),
    ),
    evict: answer<EvictRequest, typeof EvictResponseSchema>(async ({ driverUid, by }) =>
      create(EvictResponseSchema, {
        driver: driverState(await operations.evict(driverUid, principalOf(by))),
      }),
    ),
    release: answer<ReleaseRequest, typeof ReleaseResponseSchema>(async ({ sessionId, by }) => {
      const outcome = await operations.release(sessionId, principalOf(by));
      return create(ReleaseResponseSchema, { ...outcome, endedAtMs: BigInt(outcome.endedAtMs) });
    }),
    diffPolicy: answer<DiffPolicyRequest, typeof DiffPolicyResponseSchema>(
      async ({ text }, signal) =>
        create(DiffPolicyResponseSchema, {
          answer: JSON.stringify(await diffPolicy(text, signal)),
        }),
    ),
    shareFleet: answer<ShareFleetRequest, typeof ShareFleetResponseSchema>(
      async ({ replica, envoys, problems, issuers, ended }) => {
        const tells = {
          replica,
          envoys: listOf(envoys),
          problems: listOf(problems),
          issuers: listOf(issuers),
        };
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- replicas of one release agree on it
        const fleet = shared.take(tells as ReplicaTells, listOf(ended) as EndedList);
        return create(ShareFleetResponseSchema, { fleet: JSON.stringify(fleet) });
      },
    ),
  });
}

/** A replica of an older release tells less. */
function listOf(text: string): unknown {
  return text === '' ? [] : JSON.parse(text);
}

function unary(logger: Logger) {
  return <Request, Response extends DescMessage>(
      handle: (request: Request, signal: AbortSignal) => Promise<MessageShape<Response>>,
    ) =>
    (
      call: ServerUnaryCall<Request, MessageShape<Response>>,
      callback: sendUnaryData<MessageShape<Response>>,
    ): void => {
      const gone = new AbortController();
      call.on('cancelled', () => gone.abort());
      handle(call.request, gone.signal).then(
        (response) => callback(null, response),
        (error: unknown) => {
          if (toGatewayError(error).code === 'INTERNAL' && !gone.signal.aborted) {
            logger.error({ err: error }, 'what an operator asked another replica for failed');
          }
          callback(toServiceError(error));
        },
      );
    };
}

function driverState({ uid, phase, sessions, drainDeadlineMs }: DriverOutcome) {
  return {
    uid,
    phase,
    sessions,
    ...(drainDeadlineMs === undefined ? {} : { drainDeadlineMs: BigInt(drainDeadlineMs) }),
  };
}

function principalOf(message: PrincipalMessage | undefined): Principal {
  if (!message || message.issuer === '' || message.subject === '') {
    throw new GatewayError('INTERNAL', 'The replica did not say on whose behalf it asks.');
  }
  return { issuer: message.issuer, subject: message.subject };
}
