/** What the leading control plane says of a policy in the resource itself. */
import { LONGEST_MESSAGE } from './crd.js';

/** https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties. */
export interface Condition {
  readonly type: 'Accepted' | 'Programmed';
  readonly status: 'True' | 'False';
  readonly observedGeneration: number;
  /** RFC 3339. */
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

export interface PolicyResourceStatus {
  readonly observedGeneration?: number;
  /** The last good policy. */
  readonly inForce?: { readonly version: string; readonly document: string };
  readonly conditions?: readonly Condition[];
}

export interface Judgement {
  readonly generation: number;
  /** Every mistake of `spec`; undefined: it is good. */
  readonly error: string | undefined;
  readonly inForce: PolicyResourceStatus['inForce'];
}

/** A condition that stays as it was keeps the time of its last transition. */
export function statusOf(
  { generation, error, inForce }: Judgement,
  before: PolicyResourceStatus,
  nowMs: number,
): PolicyResourceStatus {
  const now = new Date(nowMs).toISOString();
  const condition = (
    type: Condition['type'],
    holds: boolean,
    reason: string,
    message: string,
  ): Condition => {
    const status = holds ? 'True' : 'False';
    const last = before.conditions?.find((known) => known.type === type);
    return {
      type,
      status,
      observedGeneration: generation,
      lastTransitionTime: last?.status === status ? last.lastTransitionTime : now,
      reason,
      message: message.slice(0, LONGEST_MESSAGE),
    };
  };
  const version = inForce?.version ?? '';
  return {
    observedGeneration: generation,
    ...(inForce ? { inForce } : {}),
    conditions:
      error === undefined
        ? [
            condition('Accepted', true, 'Valid', `Version ${version}.`),
            condition('Programmed', true, 'InForce', `Version ${version} decides.`),
          ]
        : [
            condition('Accepted', false, 'Invalid', error),
            inForce
              ? condition(
                  'Programmed',
                  false,
                  'LastGoodInForce',
                  `The last good policy, version ${version}, decides.`,
                )
              : condition(
                  'Programmed',
                  false,
                  'NoGoodPolicy',
                  'There was no good policy so far: nobody can use the gateway.',
                ),
          ],
  };
}
