/** `policy explain`. */
import { GatewayError } from '../../../model/errors.js';
import type { Explanation } from '../../../model/explanation.js';
import { renderExplanation } from '../../render/explanation.js';
import type { Shown } from '../../render/shown.js';
import { type OnlineContext, queryOf } from '../context.js';

export async function explain(context: OnlineContext): Promise<Shown> {
  const { options } = context;
  const principal = options.get('user');
  const groups = options.get('groups');
  const claims = options.get('claims');
  const userId = options.get('user-id');
  const explanation = await context.client.post<Explanation>('policy/explain', {
    ...queryOf(context, ['issuer', 'service', 'team', 'environment', 'host']),
    ...(principal === undefined ? {} : { principal }),
    ...(groups === undefined ? {} : { groups: groups.split(',').map((group) => group.trim()) }),
    ...(claims === undefined ? {} : { claims: claimsOf(claims) }),
    ...(userId === undefined ? {} : { userId }),
  });
  return { value: explanation, people: () => renderExplanation(explanation) };
}

function claimsOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new GatewayError('ARGUMENT_INVALID', `--claims ${text}: this is not JSON`, {
      cause: error,
    });
  }
}
