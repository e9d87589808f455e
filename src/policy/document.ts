/**
 * The format of a routing policy, as people write it. A new part is a field here, a file that
 * compiles it, and a line in compile.ts.
 */
import {
  type Field,
  list,
  object,
  optional,
  record,
  required,
  text,
  type TypeOf,
  withDefault,
} from '../yaml/schema.js';
import { choice, integer, issuerUrl, plainText, boolean, textType } from '../yaml/text-type.js';
import { duration } from '../yaml/units.js';
import { DEFAULT_TEMPLATE } from './namespace-template.js';

export const API_VERSION = 'spark-gateway/v1alpha1';

/** Asymmetric only: with HMAC, whoever can check a token can make one (RFC 8725 section 3.1). */
const algorithms = choice(
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
);

const name = textType('a name of letters, digits, ".", "_" and "-"', (written) =>
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(written) ? written : undefined,
);

const label = textType('lower-case letters, digits and "-"', (written) =>
  /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(written) ? written : undefined,
);

const pattern = textType('a name, in which * stands for any text', (written) =>
  written.trim() === '' ? undefined : written,
);

const labelPattern = textType(
  'lower-case letters, digits and "-", in which * stands for any text',
  (written) => (/^[a-z0-9*-]{1,63}$/.test(written) ? written : undefined),
);

const teamPattern = textType(
  'lower-case letters, digits and "-", in which * stands for any text; or ${claim}, for the team that this claim of the token names',
  (written) =>
    /^[a-z0-9*-]{1,63}$/.test(written) || /^\$\{[^{}]+\}$/.test(written) ? written : undefined,
);

const hostPattern = textType('a host name, in which * stands for any text', (written) =>
  /^[a-z0-9.*:-]{1,253}$/.test(written) ? written : undefined,
);

const network = textType('a network such as 10.1.0.0/16 or fd00::/8', (written) =>
  /^[0-9a-fA-F.:]+\/\d{1,3}$/.test(written) ? written : undefined,
);

/** Text, or "never" for no end. */
const durationOrNever = textType(`${duration('1s').allowed}; or never`, (written) =>
  written === 'never' ? Number.POSITIVE_INFINITY : duration('1s').parse(written, ''),
);

const patterns = (): Field<readonly string[]> => withDefault(list(text(pattern)), []);

const issuer = object('an issuer', {
  issuer: required(text(issuerUrl)),
  discovery_url: optional(text(issuerUrl)),
  jwks_uri: optional(text(issuerUrl)),
  audiences: withDefault(list(text(plainText)), []),
  client_ids: withDefault(list(text(plainText)), []),
  algorithms: withDefault(list(text(algorithms), { least: 1 }), ['RS256']),
  groups_claim: withDefault(text(plainText), 'groups'),
  principal_claim: withDefault(text(plainText), 'sub'),
  clock_skew: withDefault(text(duration('0', '5m')), 60_000),
});

const service = object('a service', {
  name: required(text(name)),
  uri_sans: patterns(),
  dns_sans: patterns(),
  subjects: withDefault(list(text(plainText)), []),
});

const sourceNetwork = object('a source network', {
  name: required(text(name)),
  networks: required(list(text(network), { least: 1 })),
});

const targets = object('targets', {
  namespace: withDefault(text(plainText), DEFAULT_TEMPLATE),
  environments: optional(list(text(label), { least: 1 })),
  team_claim: optional(text(plainText)),
  environment_by_host: withDefault(record(hostPattern, text(label)), new Map<string, string>()),
});

const userId = object('a user_id rule', {
  claim: required(text(plainText)),
  ignore_domain: withDefault(text(boolean), false),
});

const who = object('who', {
  groups: patterns(),
  principals: patterns(),
  services: patterns(),
  issuers: withDefault(list(text(issuerUrl)), []),
});

const access = object('an access rule', {
  name: optional(text(plainText)),
  who: required(who),
  what: required(
    object('what', {
      teams: required(list(text(teamPattern), { least: 1 })),
      environments: required(list(text(labelPattern), { least: 1 })),
    }),
  ),
});

/** Who may see and who may operate the gateway; nobody unless it says so. */
const administration = object('administration', {
  read: withDefault(list(who), []),
  admin: withDefault(list(who), []),
});

/** Which namespaces an entry is for; it must meet each field that is there. */
const match = object('match', {
  namespaces: withDefault(list(text(labelPattern)), []),
  teams: withDefault(list(text(labelPattern)), []),
  environments: withDefault(list(text(labelPattern)), []),
});

const pool = object('a pool', {
  match: optional(match),
  size: optional(text(integer(0, 1000))),
  maximum: optional(text(integer(1, 10_000))),
  sessions_per_driver: withDefault(text(integer(1, 100)), 1),
  sharing: withDefault(text(choice('principal', 'team')), 'principal'),
  after_use: withDefault(text(choice('replace', 'reuse')), 'replace'),
  idle_ttl: withDefault(text(durationOrNever), 30 * 60_000),
  start_timeout: optional(text(duration('5s', '1h'))),
});

const quota = object('a quota', {
  match: optional(match),
  sessions_per_principal: optional(text(integer(0, 1_000_000))),
  sessions_per_team: optional(text(integer(0, 1_000_000))),
  sessions_per_namespace: optional(text(integer(0, 1_000_000))),
});

export const policyDocument = object('a routing policy', {
  apiVersion: required(text(choice(API_VERSION)), API_VERSION),
  kind: required(text(choice('RoutingPolicy')), 'RoutingPolicy'),
  issuers: withDefault(list(issuer), []),
  services: withDefault(list(service), []),
  source_networks: withDefault(list(sourceNetwork), []),
  targets: optional(targets),
  user_id: optional(userId),
  access: required(list(access), []),
  administration: optional(administration),
  pools: optional(list(pool)),
  warm_namespaces: withDefault(list(text(label)), []),
  quotas: withDefault(list(quota), []),
});

export type PolicyDocument = TypeOf<typeof policyDocument>;
export type IssuerEntry = TypeOf<typeof issuer>;
export type ServiceEntry = TypeOf<typeof service>;
export type SourceNetworkEntry = TypeOf<typeof sourceNetwork>;
export type TargetsEntry = TypeOf<typeof targets>;
export type UserIdEntry = TypeOf<typeof userId>;
export type WhoEntry = TypeOf<typeof who>;
export type AccessEntry = TypeOf<typeof access>;
export type AdministrationEntry = TypeOf<typeof administration>;
export type MatchEntry = TypeOf<typeof match>;
export type PoolEntry = TypeOf<typeof pool>;
export type QuotaEntry = TypeOf<typeof quota>;
