/** `policy diff`. */
import { readNamedText } from '../../../files/read.js';
import { GatewayError } from '../../../model/errors.js';
import {
  isPolicyDiff,
  type PolicyDiff,
  type PolicyDiffAnswer,
} from '../../../model/policy-diff.js';
import { renderPolicyDiff } from '../../render/policy-diff.js';
import type { Shown } from '../../render/shown.js';
import type { OnlineContext } from '../context.js';

/** Throws POLICY_INVALID with every mistake, as `policy validate` does. */
export async function policyDiff({ client, operands }: OnlineContext): Promise<Shown> {
  const [file = ''] = operands;
  const text = await readNamedText(file, 'POLICY_INVALID', 'this file');
  const answer = await client.post<PolicyDiffAnswer>('policy/diff', text, 'application/yaml');
  if (!isPolicyDiff(answer)) {
    const named = answer.problems.map((problem) => problem.replace(/^candidate(?=:)/, file));
    throw new GatewayError('POLICY_INVALID', named.join('\n'));
  }
  return {
    value: answer,
    people: (style) => renderPolicyDiff(answer, style),
    differs: !changesNothing(answer),
  };
}

/** Nothing is known to change, and nobody is left of whom it cannot be said. */
function changesNothing({ counts }: PolicyDiff): boolean {
  const { gained, lost, moved, namespaces, unknown } = counts;
  return gained + lost + moved + namespaces + unknown === 0;
}
