/** How the gateway's parts reach each other. */
import { path } from '../../lib/yaml/file-path.js';
import { plainText, duration, issuerUrl } from '../../lib/yaml/text-types.js';
import {
  group,
  list,
  optional,
  setting,
  controlPlane,
  playgrounds,
  runners,
  servers,
  connected,
  operator,
} from '../setting.js';
import { socketAddress, tcpAddress, publicUrl } from '../types.js';

export const mtls = group(
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
      roles: ['authz', 'runner', 'playground', 'bootstrap'],
      about: 'Name in the certificate of the control plane, where it is not the host dialled.',
    }),
  },
);

export const xds = group('Configuration for the Envoys (xDS).', {
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
});

export const assignments = group(
  'Which driver a session belongs to: asked by authz, answered by the control plane. Envoys send their access logs to the same port.',
  {
    listen_addr: setting(tcpAddress, {
      default: '127.0.0.1:18001',
      roles: controlPlane,
      about: 'Where the control plane answers.',
    }),
    connect_addr: setting(tcpAddress, {
      default: '127.0.0.1:18001',
      roles: [...servers, ...runners, ...playgrounds],
      about: 'Where authz, the Envoys and the Runners reach it.',
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
);

// What operators use.

export const admin = group('Metrics, health and administration of the control plane (HTTP).', {
  listen_addr: setting(tcpAddress, {
    default: '127.0.0.1:9090',
    roles: [...controlPlane, ...operator],
    about: 'Where the control plane serves them.',
  }),
  health_addr: optional(tcpAddress, {
    roles: controlPlane,
    about:
      'A further address for /healthz, /readyz and /metrics in plain HTTP: for probes and Prometheus, whatever happens to the other.',
  }),
  cert_file: optional(path, {
    roles: [...controlPlane, ...operator],
    about:
      'Certificate chain of this port (PEM), reloaded when it changes. Without it the port speaks plain text.',
  }),
  key_file: optional(path, {
    roles: controlPlane,
    about: 'Private key of admin.cert_file (PEM).',
  }),
  kubernetes_audience: optional(plainText, {
    roles: controlPlane,
    about:
      'Lets in whom the Kubernetes API server knows by a token for this audience, also while the identity provider is away: whoever may patch sparkdrivers in the namespace of the gateway acts, whoever may list them looks. Such a token: kubectl create token <service account> --audience <audience>. Without it nobody is let in so.',
  }),
});

export const webConsole = group(
  'The web page on the port of admin.listen_addr, and how people sign in to it.',
  {
    issuer: optional(issuerUrl, {
      roles: [...controlPlane, ...playgrounds],
      about:
        'OpenID Connect issuer with which people sign in; without it okta_issuer, or the development issuer. Without any there is no page.',
    }),
    client_id: optional(plainText, {
      roles: [...controlPlane, ...playgrounds],
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
    login_client_id: optional(plainText, {
      roles: controlPlane,
      about:
        'The client that the command line is to that issuer (spark-gateway login): a public one with the device flow. Without it that of the console, if that has no secret.',
    }),
    login_scope: setting(plainText, {
      default: 'openid offline_access',
      roles: controlPlane,
      about:
        'OAuth scopes that the command line asks for, separated by spaces. With offline_access a login outlives its token.',
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
  },
);
