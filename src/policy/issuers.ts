import type { IssuerPolicy } from '../model/policy.js';
import type { Reader } from '../yaml/schema.js';
import type { IssuerEntry } from './document.js';

/** The policy's issuers, then those that come from elsewhere and that it does not name itself. */
export function compileIssuers(
  entries: readonly IssuerEntry[],
  further: readonly IssuerPolicy[],
  reader: Reader,
): readonly IssuerPolicy[] {
  const byIssuer = new Map<string, IssuerPolicy>();
  for (const entry of entries) {
    if (byIssuer.has(entry.issuer)) {
      reader.refuseAt(entry, 'issuer', `issuer ${entry.issuer} is given twice`);
    }
    if (entry.discovery_url !== undefined && entry.jwks_uri !== undefined) {
      reader.refuseAt(entry, 'jwks_uri', 'give discovery_url or jwks_uri, not both');
    }
    byIssuer.set(entry.issuer, compileIssuer(entry));
  }
  for (const issuer of further) {
    if (!byIssuer.has(issuer.issuer)) byIssuer.set(issuer.issuer, issuer);
  }
  return Object.freeze([...byIssuer.values()]);
}

function compileIssuer(entry: IssuerEntry): IssuerPolicy {
  return Object.freeze({
    issuer: entry.issuer,
    ...(entry.discovery_url === undefined ? {} : { discoveryUrl: entry.discovery_url }),
    ...(entry.jwks_uri === undefined ? {} : { jwksUri: entry.jwks_uri }),
    audiences: Object.freeze([...entry.audiences]),
    clientIds: Object.freeze([...entry.client_ids]),
    algorithms: Object.freeze([...entry.algorithms]),
    groupsClaim: entry.groups_claim,
    principalClaim: entry.principal_claim,
    clockSkewMs: entry.clock_skew,
  });
}
