/** What a sidecar tells the control plane of the policy that it decides by. */
import type { ShadowTally } from '../authz/shadow-tally.js';
import type { SidecarPolicy } from '../model/reports.js';
import type { PolicySource } from '../policy/last-good.js';
import type { ShadowPolicy } from './shadow-policy.js';

export function sidecarPolicy(
  policy: Pick<PolicySource, 'status'>,
  candidate: Pick<ShadowPolicy, 'status'>,
  { counts, examples }: ShadowTally,
): SidecarPolicy {
  const { version, error: problem } = policy.status;
  const tried = candidate.status();
  const shadow =
    tried || counts.length > 0
      ? { version: tried?.version, problem: tried?.problem, counts, examples }
      : undefined;
  return { version, problem, shadow };
}
