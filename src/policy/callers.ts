/** Callers without a token: services known by their certificate, and source networks. */
import { BlockList, isIP } from 'node:net';
import { quote } from '../lib/yaml/problem.js';
import type { Reader } from '../lib/yaml/schema.js';
import { GatewayError } from '../model/errors.js';
import type { PeerCertificate, IssuerPolicy, AdministrationRole } from '../model/policy.js';
import { type Caller, CERTIFICATE_ISSUER, NETWORK_ISSUER } from '../model/principal.js';
import type {
  ServiceEntry,
  SourceNetworkEntry,
  IssuerEntry,
  UserIdEntry,
  AdministrationEntry,
} from './document.js';
import { compileGlob, type Glob } from './name-patterns.js';
import { hasNoToken, checkWho, compileWho, type KnownNames, matchesWho } from './who.js';

/** Finds the first service whose names match the certificate. */
export function compileServices(
  entries: readonly ServiceEntry[],
): (peer: PeerCertificate) => Caller | undefined {
  const services = entries.map((entry) => ({
    caller: callerOf(CERTIFICATE_ISSUER, entry.name),
    uriSans: entry.uri_sans.map((pattern) => compileGlob(pattern, '/')),
    dnsSans: entry.dns_sans.map((pattern) => compileGlob(pattern, '.')),
    subjects: new Set(entry.subjects),
  }));
  return (peer) =>
    services.find(
      ({ uriSans, dnsSans, subjects }) =>
        anyMatch(uriSans, peer.uriSans) ||
        anyMatch(dnsSans, peer.dnsSans) ||
        subjects.has(peer.subject),
    )?.caller;
}

/** Finds the first entry that holds the address. */
export function compileSourceNetworks(
  entries: readonly SourceNetworkEntry[],
  reader: Reader,
): (address: string) => Caller | undefined {
  const networks = entries.map((entry) => {
    const addresses = new BlockList();
    for (const network of entry.networks) {
      const [address = '', prefix = ''] = network.split('/');
      const family = isIP(address);
      if (family === 0 || Number(prefix) > (family === 4 ? 32 : 128)) {
        reader.refuseAt(
          entry,
          'networks',
          `"${network}" is not a network such as 10.1.0.0/16 or fd00::/8`,
        );
      } else addresses.addSubnet(address, Number(prefix), family === 4 ? 'ipv4' : 'ipv6');
    }
    return { caller: callerOf(NETWORK_ISSUER, entry.name), addresses };
  });
  return (address) => {
    const plain =
      address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
    const family = isIP(plain);
    if (family === 0 || networks.length === 0) return undefined;
    const found = networks.find(({ addresses }) =>
      addresses.check(plain, family === 4 ? 'ipv4' : 'ipv6'),
    );
    return found?.caller;
  };
}

function callerOf(issuer: string, subject: string): Caller {
  return Object.freeze({
    principal: Object.freeze({ issuer, subject }),
    groups: Object.freeze([]),
    claims: Object.freeze({}),
  });
}

function anyMatch(globs: readonly Glob[], names: readonly string[]): boolean {
  return globs.some((glob) => names.some((name) => glob.matches(name)));
}

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
    ...(entry.ca_file === undefined ? {} : { caFile: entry.ca_file }),
    audiences: Object.freeze([...entry.audiences]),
    clientIds: Object.freeze([...entry.client_ids]),
    algorithms: Object.freeze([...entry.algorithms]),
    groupsClaim: entry.groups_claim,
    principalClaim: entry.principal_claim,
    clockSkewMs: entry.clock_skew,
  });
}

// Whether the `user_id` that a client claims must be the caller's own.

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

// Who may see the gateway's state, and who may operate it.

export function compileAdministration(
  entry: AdministrationEntry | undefined,
  known: KnownNames,
  reader: Reader,
): (caller: Caller) => AdministrationRole {
  if (!entry) return () => 'none';
  for (const who of [...entry.read, ...entry.admin]) {
    checkWho(who, known, reader);
    const isOfTokens = who.groups.length + who.principals.length > 0;
    if (!isOfTokens || who.issuers.length > 0 || known.issuers.length < 2) continue;
    // Whoever runs one of the issuers could otherwise write a name of another's into a token.
    reader.refuseAt(
      who,
      undefined,
      `with several issuers it must say whose tokens it is for: add issuers: [<one or more of ${known.issuers.join(', ')}>]`,
    );
  }
  const admins = entry.admin.map(compileWho);
  const readers = entry.read.map(compileWho);
  return (caller) => {
    if (admins.some((who) => matchesWho(who, caller))) return 'admin';
    return readers.some((who) => matchesWho(who, caller)) ? 'read' : 'none';
  };
}
