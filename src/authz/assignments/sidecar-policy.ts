/** What this sidecar decides by, as it tells the control plane: when it has changed, and on a new stream. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type SidecarPolicy as Message,
  SidecarPolicySchema,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import type { SidecarPolicy } from '../../model/reports.js';

/** Of a list of mistakes, characters. */
const LONGEST_PROBLEM = 4000;

export class PolicyReports {
  readonly #policy: () => SidecarPolicy | undefined;
  #told: string | undefined;

  constructor(policy: () => SidecarPolicy | undefined) {
    this.#policy = policy;
  }

  /** undefined: it is as it was told. It counts as told from now on. */
  next(nowMs: number): Message | undefined {
    const policy = this.#policy();
    if (!policy) return undefined;
    const text = JSON.stringify(policy);
    if (text === this.#told) return undefined;
    this.#told = text;
    return create(SidecarPolicySchema, messageOf(policy, nowMs));
  }

  /** To whom it is told next may not know of it. */
  tellAgain(): void {
    this.#told = undefined;
  }
}

function messageOf(
  { version, problem = '', shadow, issuers = [] }: SidecarPolicy,
  nowMs: number,
): MessageInitShape<typeof SidecarPolicySchema> {
  const told = {
    version,
    problem: problem.slice(0, LONGEST_PROBLEM),
    issuers: issuers.map((one) => ({ ...one, problem: one.problem.slice(0, LONGEST_PROBLEM) })),
  };
  if (!shadow) return told;
  return {
    ...told,
    shadow: {
      version: shadow.version ?? '',
      problem: (shadow.problem ?? '').slice(0, LONGEST_PROBLEM),
      counts: shadow.counts.map(({ count, ...kind }) => ({ ...kind, count: BigInt(count) })),
      examples: shadow.examples.map(({ atMs, principal, ...example }) => ({
        ...example,
        principal: { ...principal },
        ageMs: BigInt(Math.max(0, nowMs - atMs)),
      })),
    },
  };
}
