/** What the rules of a policy that are in shadow mode would do. */
import type { GatewayError } from '../model/errors.js';
import type { ShadowFinding, ShadowRequest } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import type { AccessRules } from './access.js';
import type { ConfigRules } from './config-rules.js';

interface Parts {
  readonly access: AccessRules;
  readonly config: ConfigRules;
  /** undefined: the rule is enforced, or there is none. */
  readonly userId: ((caller: Caller, userId: string) => GatewayError | undefined) | undefined;
}

/** undefined: no rule is in shadow mode. */
export function compileShadows({
  access,
  config,
  userId,
}: Parts): ((request: ShadowRequest) => readonly ShadowFinding[]) | undefined {
  if (!access.hasShadows && !config.shadows && !userId) return undefined;
  return (request) => {
    const found: ShadowFinding[] = [];
    const allowing = access.allows(request) ? undefined : access.shadowFor(request);
    if (allowing !== undefined) {
      found.push({ rule: allowing, refusal: undefined, message: 'no other rule allows it' });
    }
    const refusal = userId?.(request.caller, request.userId);
    if (refusal) found.push({ rule: 'user_id', refusal, message: refusal.message });
    const refused = config.shadows?.(request);
    if (refused) found.push(refused);
    return found;
  };
}
