/** Whether the `user_id` that a client claims must be the caller's own. */
import { GatewayError } from '../model/errors.js';
import type { Caller } from '../model/principal.js';
import { quote } from '../yaml/problem.js';
import type { UserIdEntry } from './document.js';
import { hasNoToken } from './who.js';

/** Services act for people, so the rule is for callers with a token only. */
export function compileUserIdRule(
  entry: UserIdEntry | undefined,
): (caller: Caller, userId: string) => GatewayError | undefined {
  if (!entry) return () => undefined;
  const { claim, ignore_domain: ignoreDomain } = entry;
  const plain = (name: string): string => (ignoreDomain ? (name.split('@')[0] ?? name) : name);
  return (caller, userId) => {
    if (hasNoToken(caller)) return undefined;
    const own = Object.hasOwn(caller.claims, claim) ? caller.claims[claim] : undefined;
    if (typeof own !== 'string' || own === '') {
      return new GatewayError(
        'USER_ID_MISMATCH',
        `The policy compares user_id with the claim ${quote(claim)}, which this token does not have.`,
      );
    }
    return userId !== '' && plain(userId) === plain(own)
      ? undefined
      : new GatewayError(
          'USER_ID_MISMATCH',
          `user_id ${quote(userId)} is not yours: put ;user_id=${plain(own)} into the sc:// URL.`,
        );
  };
}
