/** What operators do and ask, passed on to the leader. */
import { create, type DescMessage, type DescMethod, type MessageShape } from '@bufbuild/protobuf';
import {
  AdministrationService,
  DiffPolicyRequestSchema,
  DrainRequestSchema,
  EvictRequestSchema,
  ReleaseRequestSchema,
  type DriverState,
} from '#gen/spark_gateway/v1/administration_pb.js';
import type { DriverOutcome, Operations, SessionOutcome } from '../../model/administration.js';
import { isDriverPhase, isSessionEnd } from '../../model/driver.js';
import { GatewayError } from '../../model/errors.js';
import type { DiffPolicy, PolicyDiffAnswer } from '../../model/policy-diff.js';
import type { Principal } from '../../model/principal.js';

/** Makes one call of the leader's service; rejects with a GatewayError. */
export type CallLeader = <I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
  message: MessageShape<I>,
) => Promise<MessageShape<O>>;

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
  return async (text) => {
    const { answer } = await call(method.diffPolicy, create(DiffPolicyRequestSchema, { text }));
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
