/** What the verified claims of a token say of its caller. */
import { GatewayError } from './errors.js';
import { isObject } from './json.js';
import type { IssuerPolicy, Policy } from './policy.js';
import { type Caller, CERTIFICATE_ISSUER, NETWORK_ISSUER } from './principal.js';
import { issuerUnknown, tokenMissing } from './refusals.js';

type Claims = Readonly<Record<string, unknown>>;

const MAX_SUBJECT_LENGTH = 256;

/**
 * Okta's access tokens name the client in `cid`, OpenID Connect in `azp`, RFC 9068 in `client_id`; an
 * ID token names it as its audience. undefined: accepted. TOKEN_AUDIENCE_REFUSED otherwise.
 */
export function refuseClient(claims: Claims, issuer: IssuerPolicy): GatewayError | undefined {
  if (issuer.clientIds.length === 0) return undefined;
  const named = claims['cid'] ?? claims['azp'] ?? claims['client_id'];
  const clients = named === undefined ? [claims['aud'] ?? []].flat() : [named];
  if (clients.some((client) => typeof client === 'string' && issuer.clientIds.includes(client))) {
    return undefined;
  }
  return new GatewayError(
    'TOKEN_AUDIENCE_REFUSED',
    `Your token was made for client ${JSON.stringify(clients.length === 1 ? clients[0] : clients).slice(0, 200)}; accepted: ${issuer.clientIds.join(', ')}.`,
  );
}

/** Throws TOKEN_MALFORMED when the claims name nobody. */
export function callerOf(claims: Claims, issuer: IssuerPolicy): Caller {
  const subject = claims[issuer.principalClaim];
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  const unfit = /[\u0000-\u001f\u007f]/;
  if (
    typeof subject !== 'string' ||
    subject === '' ||
    subject.length > MAX_SUBJECT_LENGTH ||
    unfit.test(subject)
  ) {
    throw new GatewayError(
      'TOKEN_MALFORMED',
      `Your token has no usable claim "${issuer.principalClaim}", which says who you are.`,
    );
  }
  const groups = [claims[issuer.groupsClaim] ?? []].flat();
  return {
    principal: { issuer: issuer.issuer, subject },
    groups: groups.filter((group) => typeof group === 'string'),
    claims,
  };
}

/**
 * Whether the issuer left the groups out because there are too many for a token, as Microsoft's do (claims
 * `_claim_names` and `hasgroups` of their reference on groups overage).
 */
export function leavesGroupsOut(claims: Claims, groupsClaim: string): boolean {
  if (claims[groupsClaim] !== undefined) return false;
  const elsewhere = claims['_claim_names'];
  const hasGroups = claims['hasgroups'];
  return (
    (isObject(elsewhere) && Object.hasOwn(elsewhere, groupsClaim)) ||
    hasGroups === true ||
    hasGroups === 'true'
  );
}

/** The caller with the name and groups that this policy takes from its token; audiences are not compared. */
export function callerFor({ issuers, services }: Policy, caller: Caller): Caller | GatewayError {
  const { issuer, subject } = caller.principal;
  if (issuer === CERTIFICATE_ISSUER || issuer === NETWORK_ISSUER) {
    return services.includes(subject) ? caller : tokenMissing();
  }
  const trusted = issuers.find((one) => one.issuer === issuer);
  if (!trusted) {
    return issuerUnknown(
      issuer,
      issuers.map((one) => one.issuer),
    );
  }
  try {
    return refuseClient(caller.claims, trusted) ?? callerOf(caller.claims, trusted);
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
}
