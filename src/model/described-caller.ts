/** A caller that somebody asks about, as its token or certificate would show it. */
import type { Policy } from './policy.js';
import { type Caller, CERTIFICATE_ISSUER } from './principal.js';

export interface CallerDescription {
  /** The verified subject of a token. */
  readonly principal?: string | undefined;
  /** Left out: the policy's first issuer. */
  readonly issuer?: string | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
  /** A service or source network by name, instead of a principal. */
  readonly service?: string | undefined;
}

/** Fills in the claims that name the subject and its groups, unless they are given. */
export function describedCaller(
  description: CallerDescription,
  { issuers }: Pick<Policy, 'issuers'>,
): Caller {
  const { principal = '', service, groups = [], claims = {} } = description;
  if (service !== undefined) {
    return { principal: { issuer: CERTIFICATE_ISSUER, subject: service }, groups: [], claims: {} };
  }
  const issuer = description.issuer ?? issuers[0]?.issuer ?? '';
  const known = issuers.find((candidate) => candidate.issuer === issuer);
  return {
    principal: { issuer, subject: principal },
    groups,
    claims: known
      ? { [known.principalClaim]: principal, [known.groupsClaim]: groups, ...claims }
      : claims,
  };
}
