/**
 * The format of a routing policy, as people write it. A new part is a field here, a file that
 * compiles it, and a line in compile.ts.
 */
import {
  about,
  list,
  object,
  optional,
  record,
  required,
  text,
  type TypeOf,
  withDefault,
} from '../lib/yaml/schema.js';
import {
  boolean,
  choice,
  integer,
  issuerUrl,
  plainText,
  duration,
} from '../lib/yaml/text-types.js';
import {
  distinctNames,
  namesApart,
  sizeWithinMaximum,
  modeField,
  absolutePath,
  algorithms,
  durationOrNever,
  hostPattern,
  label,
  labelPattern,
  name,
  network,
  patterns,
  teamPattern,
} from './texts.js';
import { batchEntry } from './batch/entries.js';
import { canaryEntry } from './canaries.js';
import { expressionText } from './expression.js';
import { configRuleEntry } from './config-rules.js';
import { limitEntry, rateLimitEntry } from './limits.js';
import { matchField } from './match.js';
import { DEFAULT_TEMPLATE } from './namespace-template.js';
import { scheduleEntry } from './schedule.js';
import { whoEntry } from './who.js';

export const API_VERSION = 'spark-gateway/v1alpha1';

const issuer = object(
  'an issuer',
  {
    issuer: about("As in the token's iss, byte for byte.", required(text(issuerUrl))),
    discovery_url: about(
      'The discovery document, if not at <issuer>/.well-known/openid-configuration.',
      optional(text(issuerUrl)),
    ),
    jwks_uri: about('The key set, of an issuer without discovery.', optional(text(issuerUrl))),
    ca_file: about(
      'PEM of the authorities that sign its certificate, where authz and control planes have it; default: the well-known ones.',
      optional(text(absolutePath)),
    ),
    audiences: about(
      'One of these must be in aud; default: any.',
      withDefault(list(text(plainText)), []),
    ),
    client_ids: about(
      'One of these must be cid or azp; default: any.',
      withDefault(list(text(plainText)), []),
    ),
    algorithms: about(
      'Of signatures, asymmetric ones only; default: RS256.',
      withDefault(list(text(algorithms), { least: 1 }), ['RS256']),
    ),
    groups_claim: about('The claim that lists groups.', withDefault(text(plainText), 'groups')),
    principal_claim: about('The claim that names the caller.', withDefault(text(plainText), 'sub')),
    clock_skew: about(
      'How far exp and nbf may be off; default: 60s.',
      withDefault(text(duration('0', '5m')), 60_000),
    ),
  },
  {
    needsOneOf: ['audiences', 'client_ids'],
    because: ': else tokens made for any other application would be accepted',
  },
);

const service = object(
  'a service',
  {
    name: about('What access rules call it.', required(text(name))),
    uri_sans: about('URI SANs of its certificate; * stands for one segment.', patterns()),
    dns_sans: about('DNS SANs of its certificate; * stands for one segment.', patterns()),
    subjects: about(
      'Subjects of its certificate, as CN=airflow,O=Example.',
      withDefault(list(text(plainText)), []),
    ),
  },
  { needsOneOf: ['uri_sans', 'dns_sans', 'subjects'] },
);

const sourceNetwork = object('a source network', {
  name: about('What access rules call it.', required(text(name))),
  networks: about('Its addresses.', required(list(text(network), { least: 1 }))),
});

const targets = object('targets', {
  namespace: about(
    'How a team and an environment name a namespace.',
    withDefault(text(plainText), DEFAULT_TEMPLATE),
  ),
  environments: about(
    'The environments that there are; default: any of letters and digits.',
    optional(list(text(label), { least: 1 })),
  ),
  team_claim: about(
    'The claim that names the team where the header is missing.',
    optional(text(plainText)),
  ),
  environment_by_host: about(
    'The environment where the header is missing, by the host that the client asked for.',
    withDefault(record(hostPattern, text(label)), new Map<string, string>()),
  ),
});

const userId = object('a user_id rule', {
  claim: about("What the client's user_id must be.", required(text(plainText))),
  ignore_domain: about('alice is alice@example.com.', withDefault(text(boolean), false)),
  mode: modeField,
});

const access = object('an access rule', {
  name: about('For people only.', optional(text(plainText))),
  who: about('Whom it is for: one of these must match.', required(whoEntry)),
  what: about(
    'What they may use.',
    required(
      object('what', {
        teams: about('These teams.', required(list(text(teamPattern), { least: 1 }))),
        environments: about(
          'In these environments.',
          required(list(text(labelPattern), { least: 1 })),
        ),
      }),
    ),
  ),
  when: about('A condition besides, in CEL.', optional(text(expressionText))),
  mode: about(
    'shadow: allows nothing, but reports whom it would allow what no other rule does.',
    withDefault(text(choice('enforce', 'shadow')), 'enforce'),
  ),
});

const administration = object('administration', {
  read: about(
    'Who may see sessions, drivers, Envoys and this policy.',
    withDefault(list(whoEntry), []),
  ),
  admin: about('Who may also drain, evict and release.', withDefault(list(whoEntry), [])),
});

const pool = object(
  'a pool',
  {
    match: matchField,
    size: about(
      'Drivers ready ahead of demand; default: hot_pool_size of the settings.',
      optional(text(integer(0, 1000))),
    ),
    maximum: about(
      'Drivers at most; default: pools.maximum of the settings.',
      optional(text(integer(1, 10_000))),
    ),
    sessions_per_driver: about(
      '1: each session has a driver of its own.',
      withDefault(text(integer(1, 100)), 1),
    ),
    sharing: about(
      'Who may share a driver or have it next.',
      withDefault(text(choice('principal', 'team')), 'principal'),
    ),
    after_use: about(
      'What becomes of a driver after its last session.',
      withDefault(text(choice('replace', 'reuse')), 'replace'),
    ),
    idle_ttl: about(
      'How long a ready driver beyond size is kept; default: 30m.',
      withDefault(text(durationOrNever), 30 * 60_000),
    ),
    disconnected_ttl: about(
      'How long a session is kept that runs nothing and whose client has closed all its connections; default: session_ttl.',
      optional(text(duration('10s'))),
    ),
    start_timeout: about(
      'How long a driver may take to come up; default: pools.start_timeout of the settings.',
      optional(text(duration('5s', '1h'))),
    ),
    on_driver_loss: about(
      'What is done about a driver that has sessions and does not answer.',
      optional(
        object('what is done about a lost driver', {
          end_after: about(
            'End it with its sessions when it has not answered for so long; default: never.',
            optional(text(duration('10s', '1d'))),
          ),
          start_replacement: about(
            'Start a driver at once for those who may lose theirs.',
            withDefault(text(boolean), false),
          ),
        }),
      ),
    ),
    schedule: about(
      'Other sizes at certain times: the first entry that is for the moment counts.',
      withDefault(list(scheduleEntry), []),
    ),
  },
  { admission: [sizeWithinMaximum] },
);

const sessions = (whose: string) =>
  about(
    `Sessions at a time of one ${whose}; default: no limit.`,
    optional(text(integer(0, 1_000_000))),
  );

const quota = object('a quota', {
  match: matchField,
  sessions_per_principal: sessions('principal'),
  sessions_per_team: sessions('team'),
  sessions_per_namespace: sessions('namespace'),
});

export const policyDocument = object(
  'a routing policy',
  {
    apiVersion: required(text(choice(API_VERSION)), API_VERSION),
    kind: required(text(choice('RoutingPolicy')), 'RoutingPolicy'),
    issuers: about(
      'Whose tokens are accepted, beside okta_issuer of the settings.',
      withDefault(list(issuer), []),
    ),
    services: about(
      'Services that show a certificate instead of a token; the first whose names match counts.',
      withDefault(list(service), []),
    ),
    source_networks: about(
      'Callers without token or certificate that are known by their address alone.',
      withDefault(list(sourceNetwork), []),
    ),
    targets: about('How a request says where it wants to go.', optional(targets)),
    user_id: about(
      'What the client claims in user_id must be a claim of its token; default: anything goes.',
      optional(userId),
    ),
    access: about('Who may use what. What no rule allows is refused.', required(list(access), [])),
    config_rules: about(
      'Spark settings that the Config RPC must not read or set.',
      withDefault(list(configRuleEntry), []),
    ),
    administration: about(
      'Who may use the admin API, the console and the commands that ask them; default: nobody.',
      optional(administration),
    ),
    pools: about(
      'Pools of drivers by namespace: the first entry that matches counts.',
      optional(list(pool)),
    ),
    warm_namespaces: about(
      'Namespaces whose pool is filled before anybody asks.',
      withDefault(list(text(label)), []),
    ),
    canaries: about(
      'A share of the new sessions gets other drivers; running sessions never move. All entries that match count, in their order.',
      withDefault(list(canaryEntry), []),
    ),
    quotas: about(
      'Sessions at a time: the first entry that matches counts.',
      withDefault(list(quota), []),
    ),
    rate_limits: about(
      'New sessions and requests in a time: the first entry that matches counts.',
      withDefault(list(rateLimitEntry), []),
    ),
    leases: about(
      'Whether Envoy may keep decisions on equal requests (ReleaseExecute, Config) for authz.lease_time of the settings.',
      withDefault(text(boolean), true),
    ),
    limits: about(
      'What is allowed at a time beside sessions: the first entry that matches counts.',
      withDefault(list(limitEntry), []),
    ),
    batch: about(
      'Batch jobs: who may submit and see which; default: nobody any.',
      optional(batchEntry),
    ),
  },
  {
    admission: [
      distinctNames('services'),
      distinctNames('source_networks'),
      namesApart('services', 'source_networks'),
    ],
  },
);

export type PolicyDocument = TypeOf<typeof policyDocument>;
export type IssuerEntry = TypeOf<typeof issuer>;
export type ServiceEntry = TypeOf<typeof service>;
export type SourceNetworkEntry = TypeOf<typeof sourceNetwork>;
export type TargetsEntry = TypeOf<typeof targets>;
export type UserIdEntry = TypeOf<typeof userId>;
export type AccessEntry = TypeOf<typeof access>;
export type AdministrationEntry = TypeOf<typeof administration>;
export type PoolEntry = TypeOf<typeof pool>;
export type QuotaEntry = TypeOf<typeof quota>;
