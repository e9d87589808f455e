/** What a policy would change, said by the leader: it knows the sessions and, from its sidecars, who has them. */
import { GatewayError } from '../model/errors.js';
import type { Ledger } from '../model/ledger.js';
import type { DiffPolicy, PolicyDiffAnswer } from '../model/policy-diff.js';
import type { Policy } from '../model/policy.js';
import type { SeenRequest } from '../model/seen-request.js';
import { compileAside } from '../policy/aside/compile-aside.js';
import type { PolicyOptions } from '../policy/compile.js';
import { diffPolicies } from '../policy/diff.js';
import { inSlices } from '../policy/steps.js';

export interface PolicyDiffOptions {
  /** In force. */
  readonly policy: () => Policy;
  readonly compile: PolicyOptions;
  readonly ledger: Pick<Ledger, 'all'>;
  readonly seen: { list(): readonly SeenRequest[] };
}

/** One at a time, beside what else this process does. */
export function policyDiffer({ policy, compile, ledger, seen }: PolicyDiffOptions): DiffPolicy {
  async function diff(text: string): Promise<PolicyDiffAnswer> {
    try {
      const candidate = await compileAside({ text, file: 'candidate' }, compile);
      const records = [...ledger.all()].filter(({ phase }) => phase !== 'gone');
      const present = {
        sessions: records.flatMap(({ namespace, sessions }) =>
          Object.values(sessions).map(({ sessionId, principal }) => ({
            session: sessionId,
            principal,
            namespace,
          })),
        ),
        seen: seen.list(),
        namespaces: records.map(({ namespace }) => namespace),
      };
      return await inSlices(diffPolicies(policy(), candidate.policy, present));
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'POLICY_INVALID') throw error;
      return { problems: error.message.split('\n') };
    }
  }
  let last: Promise<unknown> = Promise.resolve();
  return (text) => {
    const answer = last.then(() => diff(text));
    last = answer.catch(() => undefined);
    return answer;
  };
}
