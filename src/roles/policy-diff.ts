/** What a policy would change, said by the leader: it knows the sessions and, from its sidecars, who has them. */
import { GatewayError } from '../model/errors.js';
import type { Ledger } from '../model/ledger.js';
import type { DiffPolicy } from '../model/policy-diff.js';
import type { Policy } from '../model/policy.js';
import type { SeenRequest } from '../model/seen-request.js';
import { compilePolicy, type PolicyOptions } from '../policy/compile.js';
import { diffPolicies } from '../policy/diff.js';

export interface PolicyDiffOptions {
  /** In force. */
  readonly policy: () => Policy;
  readonly compile: PolicyOptions;
  readonly ledger: Pick<Ledger, 'all'>;
  readonly seen: { list(): readonly SeenRequest[] };
}

export function policyDiffer({ policy, compile, ledger, seen }: PolicyDiffOptions): DiffPolicy {
  return async (text) => {
    try {
      const records = [...ledger.all()].filter(({ phase }) => phase !== 'gone');
      return diffPolicies(policy(), compilePolicy(text, 'candidate', compile), {
        sessions: records.flatMap(({ namespace, sessions }) =>
          Object.values(sessions).map(({ sessionId, principal }) => ({
            session: sessionId,
            principal,
            namespace,
          })),
        ),
        seen: seen.list(),
        namespaces: records.map(({ namespace }) => namespace),
      });
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'POLICY_INVALID') throw error;
      return { problems: error.message.split('\n') };
    }
  };
}
