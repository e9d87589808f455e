/**
 * Every setting of the gateway: name, type, default, who uses it, what it is for. Parsing, help, the
 * environment variables and docs/settings.yaml all follow from this table. `start` uses all of them.
 */
import { boolean, choice, integer, issuerUrl, path, plainText } from '../yaml/text-type.js';
import { duration, size } from '../yaml/units.js';
import { type Compiled, group, list, optional, setting, textMap } from './setting.js';
import { variantConf } from './local-variants.js';
import {
  headerName,
  labelSelectors,
  loopbackAddress,
  loopbackRange,
  otlpEndpoint,
  publicUrl,
  resourceName,
  socketAddress,
  tcpAddress,
} from './types.js';

const controlPlane = ['control-plane'] as const;
const authz = ['authz'] as const;
const servers = ['control-plane', 'authz'] as const;
const connected = ['control-plane', 'authz', 'bootstrap'] as const;
const issuer = ['issuer', 'token'] as const;
const operator = ['operator'] as const;
const envoyChild = ['start'] as const;
const everyRole = ['control-plane', 'authz', 'issuer', 'bootstrap', 'token'] as const;

export const settingsTable = {
  listen_addr: setting(tcpAddress, {
    default: '0.0.0.0:15002',
    roles: controlPlane,
    about: 'Where Envoy listens for Spark Connect clients.',
  }),
  public_addr: optional(tcpAddress, {
    roles: servers,
    about: 'Where clients reach the gateway, for the URLs in its messages.',
  }),
  tls_cert_file: optional(path, {
    roles: controlPlane,
    about:
      'Certificate chain for clients (PEM), reloaded when it changes. Without it clients speak plain text.',
  }),
  tls_key_file: optional(path, {
    roles: controlPlane,
    about: 'Private key of tls_cert_file (PEM).',
  }),
  okta_issuer: optional(issuerUrl, {
    roles: servers,
    about:
      'Issuer of the tokens that are accepted, beside the issuers that the policy names. Needs okta_client_id, okta_audience or both.',
  }),
  okta_client_id: optional(plainText, {
    roles: servers,
    about: 'The only OAuth client (cid or azp claim) whose tokens of okta_issuer are accepted.',
  }),
  okta_audience: optional(plainText, {
    roles: servers,
    about: 'The audience (aud claim) that a token of okta_issuer must name.',
  }),
  policy_file: setting(path, {
    default: '/etc/spark-gateway/policy.yaml',
    roles: servers,
    about: 'The routing policy: who may go where, pools, quotas. Reloaded when it changes.',
  }),
  policy_resource: optional(resourceName, {
    roles: servers,
    about:
      "A RoutingPolicy in the gateway's own namespace, by name, instead of policy_file. Control planes watch it; authz has it from them, and keeps the last good one in state_dir.",
  }),
  policy_shadow_file: optional(path, {
    roles: authz,
    about:
      'A routing policy to try out: authz reports what it would decide otherwise, and enforces nothing of it. Reloaded when it changes.',
  }),
  state_dir: setting(path, {
    default: '/var/lib/spark-gateway',
    roles: [...servers, ...issuer],
    about:
      'Where this process keeps what must outlive it: driver records, keys, logs of drivers; beside an Envoy its last configuration, private keys included.',
  }),
  session_ttl: setting(duration('10s', '7d'), {
    default: '30m',
    roles: controlPlane,
    about: 'A session without activity for this long is ended; a running query is activity.',
  }),
  hot_pool_size: setting(integer(0, 1000), {
    default: '10',
    roles: servers,
    about: 'Drivers kept ready in each pool, where the policy does not say otherwise.',
  }),
  max_conns_per_host: setting(integer(1, 65_535), {
    default: '100',
    roles: controlPlane,
    about: 'Connections of one Envoy to one driver.',
  }),
  log_level: setting(choice('trace', 'debug', 'info', 'warn', 'error', 'fatal'), {
    default: 'info',
    roles: everyRole,
    about: 'The least severe messages that are logged.',
  }),
  drain_time: setting(duration('0', '1h'), {
    default: '30s',
    roles: ['authz', 'start'],
    about: 'How long authz and Envoy, when asked to end, go on to answer what has begun.',
  }),

  listener: group('The listener for clients, beyond its address and certificate.', {
    client_ca_file: optional(path, {
      roles: controlPlane,
      about: 'CA of the certificates by which services may identify themselves (PEM).',
    }),
    trusted_proxies: setting(integer(0, 10), {
      default: '0',
      roles: controlPlane,
      about:
        'HTTP proxies in front, each of which appends to x-forwarded-for whom it was asked by: the client is who the farthest of them names. 0: whoever connects. A change ends open streams.',
    }),
    proxy_protocol: setting(boolean, {
      default: 'false',
      roles: controlPlane,
      about:
        'Whether a TCP load balancer in front says by the PROXY protocol (1 or 2) who the client is; connections without it are then refused. A change ends open streams.',
    }),
    max_message_size: setting(size('1MiB', '2GiB'), {
      default: '256MiB',
      roles: controlPlane,
      about: 'The largest gRPC message that drivers started by this gateway accept from a client.',
    }),
  }),

  headers: group('Request headers that clients send.', {
    team: setting(headerName, {
      default: 'x-doordash-team',
      roles: servers,
      about: 'Names the team whose driver is wanted.',
    }),
    environment: setting(headerName, {
      default: 'x-doordash-environment',
      roles: servers,
      about: 'Names the environment whose driver is wanted.',
    }),
    user: setting(headerName, {
      default: 'x-doordash-user',
      roles: servers,
      about: 'The user the client claims to act for: recorded for audit, never trusted.',
    }),
  }),

  mtls: group(
    'Certificates between the parts of the gateway (xDS, assignments, access logs). Required unless they listen on loopback only.',
    {
      cert_file: optional(path, {
        roles: connected,
        about: 'Certificate chain of this process, for both ends of a connection (PEM).',
      }),
      key_file: optional(path, { roles: connected, about: 'Private key of mtls.cert_file (PEM).' }),
      ca_file: optional(path, {
        roles: connected,
        about: 'CA to which the certificate of the other end must chain (PEM).',
      }),
      server_name: optional(plainText, {
        roles: ['authz', 'bootstrap'],
        about: 'Name in the certificate of the control plane, where it is not the host dialled.',
      }),
    },
  ),

  xds: group('Configuration for the Envoys (xDS).', {
    listen_addr: setting(tcpAddress, {
      default: '127.0.0.1:18000',
      roles: controlPlane,
      about: 'Where the control plane serves xDS.',
    }),
    connect_addr: setting(tcpAddress, {
      default: '127.0.0.1:18000',
      roles: ['authz', 'bootstrap'],
      about: 'Where Envoys, or the relays beside them, reach it.',
    }),
    relay_addr: optional(socketAddress, {
      roles: ['authz', 'bootstrap'],
      about:
        'Where authz passes xDS on to the Envoy beside it, and gives it the last configuration while no control plane answers. Must be local to the Envoy. Without it Envoy asks the control plane itself, and starts only while one answers.',
    }),
    allowed_sans: list(plainText, {
      roles: controlPlane,
      about:
        'URI or DNS names in client certificates that may ask for configuration; empty: every certificate of mtls.ca_file.',
    }),
    debounce: setting(duration('0', '1s'), {
      default: '5ms',
      roles: controlPlane,
      about: 'Changes that come within this time of each other are pushed together.',
    }),
    debounce_max: setting(duration('0', '10s'), {
      default: '50ms',
      roles: controlPlane,
      about: 'A change is pushed after this time even if others keep coming.',
    }),
  }),

  authz: group('The authorization service beside each Envoy (ext_authz).', {
    listen_addr: setting(socketAddress, {
      default: '127.0.0.1:9191',
      roles: servers,
      about: 'Where it listens, and where Envoy asks it. Must be local to the Envoy.',
    }),
    metrics_addr: setting(tcpAddress, {
      default: '127.0.0.1:9091',
      roles: authz,
      about: 'Where its metrics and health are served (HTTP).',
    }),
    hold_time: setting(duration('0', '5m'), {
      default: '60s',
      roles: authz,
      about: 'How long a request waits for a driver before the client is told when to come back.',
    }),
    timeout: setting(duration('1s', '6m'), {
      default: '75s',
      roles: controlPlane,
      about: 'How long Envoy waits for an answer; must exceed authz.hold_time.',
    }),
    token_cache_size: setting(integer(1, 1_000_000), {
      default: '20000',
      roles: authz,
      about: 'Verified tokens that are remembered until they expire.',
    }),
    expired_token_grace: setting(duration('0', '1d'), {
      default: '15m',
      roles: authz,
      about:
        "How long after its end the owner's token still serves to fetch results of, or release, a running session.",
    }),
    keys_max_age: setting(duration('10s', '1d'), {
      default: '10m',
      roles: authz,
      about: "How long an issuer's keys are used without fetching them again.",
    }),
    keys_cooldown: setting(duration('1s', '1h'), {
      default: '30s',
      roles: authz,
      about: 'The least time between two fetches caused by tokens that name an unknown key.',
    }),
  }),

  assignments: group(
    'Which driver a session belongs to: asked by authz, answered by the control plane. Envoys send their access logs to the same port.',
    {
      listen_addr: setting(tcpAddress, {
        default: '127.0.0.1:18001',
        roles: controlPlane,
        about: 'Where the control plane answers.',
      }),
      connect_addr: setting(tcpAddress, {
        default: '127.0.0.1:18001',
        roles: servers,
        about: 'Where authz and the Envoys reach it.',
      }),
      allowed_sans: list(plainText, {
        roles: controlPlane,
        about:
          'URI or DNS names in client certificates that may ask for assignments or send logs; empty: every certificate of mtls.ca_file.',
      }),
      cache_ttl: setting(duration('1s', '1h'), {
        default: '10m',
        roles: controlPlane,
        about:
          'How long authz goes on to serve the sessions it knows while no control plane answers. An address rests for as long before another driver may have it.',
      }),
    },
  ),

  admin: group('Metrics, health and administration of the control plane (HTTP).', {
    listen_addr: setting(tcpAddress, {
      default: '127.0.0.1:9090',
      roles: [...controlPlane, ...operator],
      about: 'Where the control plane serves them.',
    }),
  }),

  console: group('The web page on the port of admin.listen_addr, and how people sign in to it.', {
    issuer: optional(issuerUrl, {
      roles: controlPlane,
      about:
        'OpenID Connect issuer with which people sign in; without it okta_issuer, or the development issuer. Without any there is no page.',
    }),
    client_id: optional(plainText, {
      roles: controlPlane,
      about:
        'The client that the console is to that issuer; without it okta_client_id. Tokens made for it must be accepted.',
    }),
    client_secret_file: optional(path, {
      roles: controlPlane,
      about: "The client's secret; without it the client is a public one, with PKCE alone.",
    }),
    scope: setting(plainText, {
      default: 'openid',
      roles: controlPlane,
      about: 'OAuth scopes that are asked for, separated by spaces.',
    }),
    public_url: optional(publicUrl, {
      roles: controlPlane,
      about:
        'Where browsers find the console; the issuer must let it lead back to /auth/callback there. Without it, admin.listen_addr.',
    }),
    session_ttl: setting(duration('1m', '7d'), {
      default: '8h',
      roles: controlPlane,
      about: 'After this time, or when their token ends, people sign in again.',
    }),
  }),

  audit: group('Audit records of RPCs, decisions and administration (docs/audit.md).', {
    stdout: setting(boolean, {
      default: 'true',
      roles: controlPlane,
      about: "Whether they are written to standard output, among the control plane's log.",
    }),
    file: optional(path, {
      roles: controlPlane,
      about: 'File for them, which may be renamed at any time, as by logrotate.',
    }),
    file_size: setting(size('64KiB', '1TiB'), {
      default: '128MiB',
      roles: controlPlane,
      about: 'When audit.file would grow beyond this, it is renamed and a new one begun.',
    }),
    file_age: setting(duration('1m', '365d'), {
      default: '1d',
      roles: controlPlane,
      about: 'The same when it is this old.',
    }),
    file_count: setting(integer(0, 100_000), {
      default: '30',
      roles: controlPlane,
      about: 'Renamed files that are kept; older ones are removed.',
    }),
    file_sync: setting(choice('batch', 'second', 'never'), {
      default: 'second',
      roles: controlPlane,
      about:
        'When what was written to audit.file is made durable (fsync): with each batch of records, within a second, or when the system likes.',
    }),
    otlp: setting(boolean, {
      default: 'false',
      roles: controlPlane,
      about: 'Whether they are sent to the collector of otlp.endpoint as log records.',
    }),
    queue_size: setting(size('64KiB', '4GiB'), {
      default: '16MiB',
      roles: controlPlane,
      about:
        'Records that wait for a slow destination, for each; further ones are dropped and counted. Requests never wait.',
    }),
  }),

  otlp: group('The OpenTelemetry collector, spoken to in OTLP over gRPC.', {
    endpoint: optional(otlpEndpoint, {
      roles: servers,
      about: 'Where it listens; https for TLS.',
    }),
    ca_file: optional(path, {
      roles: servers,
      about: "CA of the collector's certificate (PEM); without it, those that the system trusts.",
    }),
  }),

  tracing: group(
    'OpenTelemetry traces of requests: Envoy, authz, the control plane, joined by traceparent.',
    {
      enabled: setting(boolean, {
        default: 'false',
        roles: servers,
        about:
          'Whether traces are sent to otlp.endpoint. Part of the listener: a change ends open streams once, as an upgrade does.',
      }),
      sample_percent: setting(integer(0, 100), {
        default: '10',
        roles: controlPlane,
        about:
          'Requests that are traced, of those whose client sends no traceparent; one that does decides itself. Part of the listener, too.',
      }),
    },
  ),

  access_log: group("Envoy's access logs: audit and activity of sessions.", {
    interval: setting(duration('1s', '1h'), {
      default: '1m',
      roles: controlPlane,
      about:
        'How often a stream that stays open is reported; in any case three times in session_ttl, so that a running query does not look idle.',
    }),
  }),

  sessions: group('Sessions and what is remembered of them.', {
    tombstone_ttl: setting(duration('10s', '14d'), {
      default: '12h',
      roles: controlPlane,
      about:
        'How long an ended session is remembered, so that a late client is told instead of given an empty one; at least session_ttl and assignments.cache_ttl.',
    }),
  }),

  pools: group('Pools of drivers, where the policy does not say otherwise.', {
    maximum: setting(integer(1, 10_000), {
      default: '100',
      roles: servers,
      about: 'Drivers of one pool at most.',
    }),
    start_timeout: setting(duration('5s', '1h'), {
      default: '5m',
      roles: servers,
      about: 'A driver that does not come up within this time is removed and tried again.',
    }),
  }),

  drivers: group('Where Spark drivers come from.', {
    source: setting(choice('local', 'static', 'kubernetes'), {
      default: 'local',
      roles: controlPlane,
      about:
        'local: processes on this machine; static: drivers of someone else, named in a file; kubernetes: pods, made through the Spark operator.',
    }),
    static_file: optional(path, {
      roles: controlPlane,
      about: 'Names the drivers of source static. Reloaded when it changes.',
    }),
    tls: group(
      "Mutual TLS from Envoy to the drivers, for the sources static and kubernetes. Spark's own server speaks plain text: something in front of it, such as a sidecar in its pod, must end TLS on the driver's port.",
      {
        cert_file: optional(path, {
          roles: controlPlane,
          about:
            'Certificate chain that is shown to drivers (PEM). Reloaded when it changes, without cutting a stream.',
        }),
        key_file: optional(path, {
          roles: controlPlane,
          about: 'Private key of drivers.tls.cert_file (PEM).',
        }),
        ca_file: optional(path, {
          roles: controlPlane,
          about: 'CA to which the certificate of a driver must chain (PEM).',
        }),
        names: list(plainText, {
          roles: controlPlane,
          about:
            'DNS names, or URIs such as SPIFFE ids, of which the certificate of a driver must have one; empty: every certificate of drivers.tls.ca_file.',
        }),
        server_name: optional(plainText, {
          roles: controlPlane,
          about: 'Name that a driver is asked for in the handshake (SNI), where it needs one.',
        }),
      },
    ),
    kubernetes: group('Drivers as pods. Records and the lease are kept there as well.', {
      templates_file: optional(path, {
        roles: controlPlane,
        about:
          'Templates of the drivers that are made, and namespaces where drivers of others count. Without it no driver is made.',
      }),
      namespaces: list(plainText, {
        roles: controlPlane,
        about:
          'Namespaces in which drivers are looked for and made, where rights for the whole cluster are too much; empty: all.',
      }),
      selectors: setting(labelSelectors, {
        default: 'spark-role=driver,spark-connect=enabled; spark-role=connect-server',
        roles: controlPlane,
        about: 'Label selectors of pods that may be drivers; one of them must fit.',
      }),
      contexts: list(plainText, {
        roles: controlPlane,
        about:
          'Contexts of the kubeconfig for the clusters that drivers run in, the nearest first, best named by their regions; empty: the cluster that the gateway runs in, or the current context.',
      }),
      home_context: optional(plainText, {
        roles: controlPlane,
        about:
          'Context of the kubeconfig for the cluster that keeps the records, the lease and the key; without it, the first of contexts.',
      }),
      gateway_namespace: optional(plainText, {
        fallbackEnv: 'POD_NAMESPACE',
        roles: controlPlane,
        about: "The gateway's own namespace: of its records, its lease and its key.",
      }),
      gateway_name: setting(plainText, {
        default: 'spark-gateway',
        roles: controlPlane,
        about: 'Tells gateways apart that share a cluster; names the lease.',
      }),
      replica_host: optional(plainText, {
        fallbackEnv: 'POD_IP',
        roles: controlPlane,
        about:
          'Where other replicas reach this one, on the port of assignments.listen_addr; without it, the host of that setting.',
      }),
      lease_duration: setting(duration('2s', '5m'), {
        default: '10s',
        roles: controlPlane,
        about: 'How long a leader that has died is waited for before another takes over.',
      }),
    }),
    local: group('Drivers as processes on this machine.', {
      address_range: setting(loopbackRange, {
        default: '127.77.0.0/16',
        roles: controlPlane,
        about: 'Each driver listens on an address of its own from this network.',
      }),
      memory: setting(size('256MiB', '1TiB'), {
        default: '1GiB',
        roles: controlPlane,
        about: 'Heap of each driver.',
      }),
      cores: setting(integer(1, 256), {
        default: '1',
        roles: controlPlane,
        about: 'Tasks that each driver runs at a time.',
      }),
      spark_home: optional(path, {
        fallbackEnv: 'SPARK_HOME',
        roles: controlPlane,
        about:
          'Spark 3.5 or later, or the pyspark package; without it, what npm start has installed.',
      }),
      java_home: optional(path, {
        fallbackEnv: 'JAVA_HOME',
        roles: controlPlane,
        about: 'Java 17 or later; without it, java on the PATH.',
      }),
      class_archive: setting(boolean, {
        default: 'true',
        roles: controlPlane,
        about:
          "Whether to make an archive of Spark's classes once (Java AppCDS), which halves the time later drivers take to start.",
      }),
      spark_conf: textMap(plainText, {
        roles: controlPlane,
        about: 'Further Spark configuration for each driver. Readable by every user: no secrets.',
      }),
      variants: textMap(variantConf, {
        roles: controlPlane,
        about:
          "Drivers for the policy's canaries, by name: Spark configuration over spark_conf, parted by semicolons; spark_home=<path> runs another Spark.",
      }),
    }),
  }),

  envoy: group('The Envoy that `start` runs, and what `bootstrap` prints for others.', {
    bin: optional(path, {
      fallbackEnv: 'ENVOY_BIN',
      roles: envoyChild,
      about: 'The program; without it, what npm start has installed, or envoy on the PATH.',
    }),
    admin_addr: setting(loopbackAddress, {
      default: '127.0.0.1:9901',
      roles: ['bootstrap'],
      about: "Envoy's own administration.",
    }),
    node_id: optional(plainText, {
      roles: ['bootstrap'],
      about: 'Names this Envoy to the control plane; without it, the host name.',
    }),
    node_cluster: setting(plainText, {
      default: 'spark-gateway',
      roles: ['bootstrap'],
      about: 'Names the group of Envoys that this one belongs to.',
    }),
    log_level: setting(choice('trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'), {
      default: 'warning',
      roles: envoyChild,
      about: 'The least severe messages that Envoy logs.',
    }),
    max_heap: setting(size('256MiB', '1TiB'), {
      default: '2GiB',
      roles: ['bootstrap'],
      about:
        'Memory at which an Envoy refuses new requests (clients retry them elsewhere or later).',
    }),
    max_connections: setting(integer(1, 10_000_000), {
      default: '50000',
      roles: ['bootstrap'],
      about: 'Client connections of one Envoy at most.',
    }),
    concurrency: setting(integer(0, 1024), {
      default: '0',
      roles: envoyChild,
      about: 'Worker threads; 0: one for each core.',
    }),
  }),

  issuer: group(
    'The development token issuer. Never for production: anyone who reaches it gets any token.',
    {
      enabled: setting(boolean, {
        default: 'false',
        roles: [...servers, ...operator],
        about: 'Whether `start` runs it, and whether its tokens are accepted.',
      }),
      listen_addr: setting(loopbackAddress, {
        default: '127.0.0.1:18080',
        roles: [...servers, ...issuer, ...operator],
        about: 'Where it is served (HTTP), which is also how its tokens name it (iss).',
      }),
      client_id: setting(plainText, {
        default: 'spark-gateway-development',
        roles: [...servers, ...issuer],
        about: 'The OAuth client that its tokens name (cid).',
      }),
      audience: setting(plainText, {
        default: 'api://spark-gateway',
        roles: [...servers, ...issuer],
        about: 'The audience that its tokens name (aud).',
      }),
      token_ttl: setting(duration('1s', '30d'), {
        default: '12h',
        roles: issuer,
        about: 'How long its tokens are good.',
      }),
    },
  ),
};

/** The compiled, validated settings: durations in milliseconds, sizes in bytes, absolute paths. */
export type Settings = Compiled<typeof settingsTable>;
