/** `policy diff`. */
import { readFile } from 'node:fs/promises';
import { GatewayError, reasonOf } from '../../../model/errors.js';
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
  const text = await read(file);
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

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const reason = reasonOf(error);
    throw new GatewayError('POLICY_INVALID', `${file}: this file cannot be read: ${reason}`, {
      cause: error,
    });
  }
}
