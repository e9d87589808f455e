/**
 * Every setting of the gateway: name, type, default, who uses it, what it is for. Parsing, help, the
 * environment variables and docs/settings.yaml all follow from this table.
 */
import { path } from '../lib/yaml/file-path.js';
import { choice, integer, issuerUrl, plainText, duration } from '../lib/yaml/text-types.js';
import { formatAddress, type TcpAddress } from '../model/address.js';
import { batch } from './groups/batch.js';
import { playground, runner } from './groups/playground.js';
import { mtls, xds, assignments, admin, webConsole } from './groups/control-plane.js';
import { sessions, pools, drivers } from './groups/drivers.js';
import { listener, headers, authz, envoy, issuer } from './groups/front-door.js';
import { audit, otlp, tracing, accessLog } from './groups/telemetry.js';
import {
  controlPlane,
  everyRole,
  issuers,
  playgrounds,
  policyReaders,
  runners,
  servers,
  sidecars,
  type Compiled,
  optional,
  setting,
} from './setting.js';
import { resourceName, tcpAddress } from './types.js';

export const settingsTable = {
  listen_addr: setting(tcpAddress, {
    default: '0.0.0.0:15002',
    roles: controlPlane,
    about: 'Where Envoy listens for Spark Connect clients.',
  }),
  public_addr: optional(tcpAddress, {
    roles: policyReaders,
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
    roles: policyReaders,
    about:
      'Issuer of the tokens that are accepted, beside the issuers that the policy names. Needs okta_client_id, okta_audience or both.',
  }),
  okta_client_id: optional(plainText, {
    roles: policyReaders,
    about: 'The only OAuth client (cid or azp claim) whose tokens of okta_issuer are accepted.',
  }),
  okta_audience: optional(plainText, {
    roles: policyReaders,
    about: 'The audience (aud claim) that a token of okta_issuer must name.',
  }),
  okta_ca_file: optional(path, {
    roles: policyReaders,
    about:
      "PEM of the authorities that sign okta_issuer's own certificate, such as those of a proxy that looks into TLS. Default: the well-known ones.",
  }),
  policy_file: setting(path, {
    default: '/etc/spark-gateway/policy.yaml',
    roles: policyReaders,
    about: 'The routing policy: who may go where, pools, quotas. Reloaded when it changes.',
  }),
  policy_resource: optional(resourceName, {
    roles: policyReaders,
    about:
      "A RoutingPolicy in the gateway's own namespace, by name, instead of policy_file. Control planes watch it; authz has it from them, and keeps the last good one in state_dir.",
  }),
  policy_shadow_file: optional(path, {
    roles: sidecars,
    about:
      'A routing policy to try out: authz reports what it would decide otherwise, and enforces nothing of it. Reloaded when it changes.',
  }),
  state_dir: setting(path, {
    default: '/var/lib/spark-gateway',
    roles: [...servers, ...runners, ...playgrounds, 'bootstrap', ...issuers],
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
    roles: policyReaders,
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

  listener,
  headers,
  mtls,
  xds,
  authz,
  assignments,
  admin,
  console: webConsole,
  audit,
  otlp,
  tracing,
  access_log: accessLog,
  sessions,
  pools,
  drivers,
  batch,
  runner,
  playground,
  envoy,
  issuer,
};

/** The compiled, validated settings: durations in milliseconds, sizes in bytes, absolute paths. */
export type Settings = Compiled<typeof settingsTable>;

/** The URL at which a client on this machine reaches what listens on `address`. */
export function localUrl({ host, port }: TcpAddress, scheme: 'http' | 'https' = 'http'): string {
  const everywhere = host === '0.0.0.0' || host === '::';
  return `${scheme}://${formatAddress({ host: everywhere ? '127.0.0.1' : host, port })}`;
}

/** The same of the admin port. */
export function localAdminUrl({ admin: adminPort }: Pick<Settings, 'admin'>): string {
  return localUrl(adminPort.listenAddr, adminPort.certFile === undefined ? 'http' : 'https');
}

/** The same of the Playground's port. */
export function localPlaygroundUrl({ playground: port }: Pick<Settings, 'playground'>): string {
  return localUrl(port.listenAddr, port.certFile === undefined ? 'http' : 'https');
}
