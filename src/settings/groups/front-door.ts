/** The listener for clients, and the headers that they send. */
import { path } from '../../lib/yaml/file-path.js';
import { boolean, integer, size, choice, plainText, duration } from '../../lib/yaml/text-types.js';
import {
  group,
  optional,
  setting,
  controlPlane,
  policyReaders,
  runners,
  envoyChild,
  sidecars,
  issuers,
  operator,
} from '../setting.js';
import { headerName, loopbackAddress, tcpAddress, socketAddress } from '../types.js';

export const listener = group('The listener for clients, beyond its address and certificate.', {
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
  max_connections_per_address: optional(integer(1, 10_000_000), {
    roles: controlPlane,
    about:
      'Client connections of one address to one Envoy at most; addresses are counted in 16 groups. Without it, a quarter of envoy.max_connections; without meaning where trusted_proxies is not 0. A change ends open streams.',
  }),
  max_message_size: setting(size('1MiB', '2GiB'), {
    default: '256MiB',
    roles: controlPlane,
    about: 'The largest gRPC message that drivers started by this gateway accept from a client.',
  }),
});

export const headers = group('Request headers that clients send.', {
  team: setting(headerName, {
    default: 'x-doordash-team',
    roles: policyReaders,
    about: 'Names the team whose driver is wanted.',
  }),
  environment: setting(headerName, {
    default: 'x-doordash-environment',
    roles: policyReaders,
    about: 'Names the environment whose driver is wanted.',
  }),
  user: setting(headerName, {
    default: 'x-doordash-user',
    roles: [...policyReaders, ...runners],
    about:
      'The user the client claims to act for: recorded for audit, never trusted. To the Runner: the user that a service acts for.',
  }),
});

// The Envoys.

export const envoy = group('The Envoy that `start` runs, and what `bootstrap` prints for others.', {
  bin: optional(path, {
    fallbackEnv: 'ENVOY_BIN',
    roles: envoyChild,
    about: 'The program; without it, what npm start has installed, or envoy on the PATH.',
  }),
  admin_addr: setting(loopbackAddress, {
    default: '127.0.0.1:9901',
    roles: ['bootstrap', 'authz'],
    about: "Envoy's own administration. The authz beside it reads there what Envoy counts.",
  }),
  health_addr: setting(tcpAddress, {
    default: '127.0.0.1:9902',
    roles: ['bootstrap'],
    about:
      'Where Envoy answers /healthz, /readyz and /metrics, whatever its limits: for probes and Prometheus.',
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
    about: 'Memory at which an Envoy refuses new requests (clients retry them elsewhere or later).',
  }),
  max_connections: setting(integer(1, 10_000_000), {
    default: '50000',
    roles: ['bootstrap', ...controlPlane],
    about: 'Client connections of one Envoy at most.',
  }),
  concurrency: setting(integer(0, 1024), {
    default: '0',
    roles: envoyChild,
    about: 'Worker threads; 0: one for each core.',
  }),
});

// The authorization service.

export const authz = group('The authorization service beside each Envoy (ext_authz).', {
  listen_addr: optional(socketAddress, {
    roles: ['authz', 'bootstrap'],
    about:
      'Where it listens, and where the Envoy beside it asks: a unix socket that only its own user and group reach. Without it authz.sock in state_dir. Whoever can ask can have the credential of a driver, so a loopback address is for machines without other users.',
  }),
  metrics_addr: setting(tcpAddress, {
    default: '127.0.0.1:9091',
    roles: sidecars,
    about: 'Where its metrics and health are served (HTTP).',
  }),
  hold_time: setting(duration('0', '5m'), {
    default: '60s',
    roles: sidecars,
    about: 'How long a request waits for a driver before the client is told when to come back.',
  }),
  timeout: setting(duration('1s', '6m'), {
    default: '75s',
    roles: controlPlane,
    about: 'How long Envoy waits for an answer; must exceed authz.hold_time.',
  }),
  lease_time: setting(duration('0', '30s'), {
    default: '5s',
    roles: [...controlPlane, ...sidecars],
    about:
      'How long Envoy may let equal requests of a token and session (ReleaseExecute, Config that reads) through without asking again; 0: it always asks. For as long a change of the policy may not hold for them.',
  }),
  token_cache_size: setting(integer(1, 1_000_000), {
    default: '20000',
    roles: sidecars,
    about: 'Verified tokens that are remembered until they expire.',
  }),
  expired_token_grace: setting(duration('0', '1d'), {
    default: '15m',
    roles: sidecars,
    about: "How long after its end the owner's token still serves to release a session.",
  }),
  query_finish_time: setting(duration('0', '7d'), {
    default: '1d',
    roles: sidecars,
    about:
      "How long after its end the owner's token still serves to finish a query: to fetch its results and its errors, to release and to interrupt it. Clients keep the token that an execution began with.",
  }),
  keys_max_age: setting(duration('10s', '1d'), {
    default: '10m',
    roles: sidecars,
    about: "How long an issuer's keys are used without fetching them again.",
  }),
  keys_expire_after: setting(duration('10m', '30d'), {
    default: '1d',
    roles: sidecars,
    about:
      "How long an issuer's keys are believed that cannot be fetched again: one may have been withdrawn meanwhile. From then on its tokens are UNAVAILABLE until it answers.",
  }),
  keys_cooldown: setting(duration('1s', '1h'), {
    default: '30s',
    roles: sidecars,
    about:
      'The least time between two fetches caused by tokens that name an unknown key. Until the next one such a token is UNAVAILABLE, with the time left, as its key may be new.',
  }),
});

// The token issuer for development.

export const issuer = group(
  'The development token issuer. Never for production: anyone who reaches it gets any token.',
  {
    enabled: setting(boolean, {
      default: 'false',
      roles: [...policyReaders, ...operator],
      about: 'Whether `start` runs it, and whether its tokens are accepted.',
    }),
    listen_addr: setting(loopbackAddress, {
      default: '127.0.0.1:18080',
      roles: [...policyReaders, ...issuers, ...operator],
      about: 'Where it is served (HTTP), which is also how its tokens name it (iss).',
    }),
    client_id: setting(plainText, {
      default: 'spark-gateway-development',
      roles: [...policyReaders, ...issuers],
      about: 'The OAuth client that its tokens name (cid).',
    }),
    audience: setting(plainText, {
      default: 'api://spark-gateway',
      roles: [...policyReaders, ...issuers],
      about: 'The audience that its tokens name (aud).',
    }),
    token_ttl: setting(duration('1s', '30d'), {
      default: '12h',
      roles: issuers,
      about: 'How long its tokens are good.',
    }),
  },
);
