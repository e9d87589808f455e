/** AdministrationService (proto/spark_gateway/v1) on the leader's grpc-js server. */
import { create, type MessageShape, type DescMessage } from '@bufbuild/protobuf';
import type { sendUnaryData, Server, ServerUnaryCall } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import {
  AdministrationService,
  DiffPolicyResponseSchema,
  DrainResponseSchema,
  EvictResponseSchema,
  ReleaseResponseSchema,
  type DiffPolicyRequest,
  type DrainRequest,
  type EvictRequest,
  type ReleaseRequest,
} from '#gen/spark_gateway/v1/administration_pb.js';
import type { Principal as PrincipalMessage } from '#gen/spark_gateway/v1/assignments_pb.js';
import { serviceDefinition } from '../../grpc/service.js';
import { toServiceError } from '../../grpc/status-details.js';
import type { DriverOutcome, Operations } from '../../model/administration.js';
import { GatewayError, toGatewayError } from '../../model/errors.js';
import type { DiffPolicy } from '../../model/policy-diff.js';
import type { Principal } from '../../model/principal.js';

/** Registers the service. Who may call it is for the server to say. */
export function addAdministrationService(
  server: Server,
  options: {
    readonly operations: Operations;
    readonly diffPolicy: DiffPolicy;
    readonly logger: Logger;
  },
): void {
  const { operations, diffPolicy } = options;
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
    evict: answer<EvictRequest, typeof EvictResponseSchema>(async ({ driverUid, by }) =>
      create(EvictResponseSchema, {
        driver: driverState(await operations.evict(driverUid, principalOf(by))),
      }),
    ),
    release: answer<ReleaseRequest, typeof ReleaseResponseSchema>(async ({ sessionId, by }) => {
      const outcome = await operations.release(sessionId, principalOf(by));
      return create(ReleaseResponseSchema, { ...outcome, endedAtMs: BigInt(outcome.endedAtMs) });
    }),
    diffPolicy: answer<DiffPolicyRequest, typeof DiffPolicyResponseSchema>(async ({ text }) =>
      create(DiffPolicyResponseSchema, { answer: JSON.stringify(await diffPolicy(text)) }),
    ),
  });
}

function unary(logger: Logger) {
  return <Request, Response extends DescMessage>(
      handle: (request: Request) => Promise<MessageShape<Response>>,
    ) =>
    (
      call: ServerUnaryCall<Request, MessageShape<Response>>,
      callback: sendUnaryData<MessageShape<Response>>,
    ): void => {
      handle(call.request).then(
        (response) => callback(null, response),
        (error: unknown) => {
          if (toGatewayError(error).code === 'INTERNAL') {
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
