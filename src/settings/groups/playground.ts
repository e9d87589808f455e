/** The Spark Runner and the Playground: where batch jobs are submitted. */
import { boolean, duration, issuerUrl, plainText } from '../../lib/yaml/text-types.js';
import { path } from '../../lib/yaml/file-path.js';
import {
  group,
  list,
  operator,
  optional,
  playgrounds,
  runners,
  setting,
  textMap,
} from '../setting.js';
import { addressText, publicUrl, tcpAddress } from '../types.js';

export const runner = group(
  'The Spark Runner: batch jobs by gRPC, for services. It asks the control plane at assignments.connect_addr, where batch.allowed_sans must know its certificate (mtls.cert_file).',
  {
    enabled: setting(boolean, {
      default: 'true',
      roles: ['start'],
      about: 'Whether `start` runs it.',
    }),
    listen_addr: setting(tcpAddress, {
      default: '127.0.0.1:50051',
      roles: runners,
      about: 'Where it is served (gRPC).',
    }),
    metrics_addr: setting(tcpAddress, {
      default: '127.0.0.1:9093',
      roles: runners,
      about: 'Where its metrics and health are served (HTTP).',
    }),
    cert_file: optional(path, {
      roles: runners,
      about: 'Certificate chain for callers (PEM); without it that of mtls.cert_file.',
    }),
    key_file: optional(path, { roles: runners, about: 'Private key of runner.cert_file (PEM).' }),
    client_ca_file: optional(path, {
      roles: runners,
      about:
        'CA of the certificates by which callers identify themselves (PEM), beside runner.cert_file; without that, mtls.ca_file.',
    }),
    allowed_sans: list(plainText, {
      roles: runners,
      about:
        "URI or DNS names in callers' certificates, of which one is needed; empty: every certificate of the CA. What a caller may do then says the routing policy.",
    }),
  },
);

export const playground = group(
  'The Playground: batch jobs by REST, and the page on which people write and run them.',
  {
    enabled: setting(boolean, {
      default: 'true',
      roles: ['start'],
      about: 'Whether `start` runs it.',
    }),
    listen_addr: setting(tcpAddress, {
      default: '127.0.0.1:8080',
      roles: [...playgrounds, ...operator],
      about: 'Where it is served (HTTP).',
    }),
    metrics_addr: setting(tcpAddress, {
      default: '127.0.0.1:9094',
      roles: playgrounds,
      about: 'Where its metrics and health are served (HTTP).',
    }),
    cert_file: optional(path, {
      roles: [...playgrounds, ...operator],
      about:
        'Certificate chain of this port (PEM), reloaded when it changes. Without it the port speaks plain text.',
    }),
    key_file: optional(path, {
      roles: playgrounds,
      about: 'Private key of playground.cert_file (PEM).',
    }),
    runner_addr: setting(tcpAddress, {
      default: '127.0.0.1:50051',
      roles: playgrounds,
      about: 'The Runner of every environment that has none of its own.',
    }),
    runners: textMap(addressText, {
      roles: playgrounds,
      about: 'Runners by environment, such as {prod: "runner.prod.example.com:50051"}.',
    }),
    runner_server_name: optional(plainText, {
      roles: playgrounds,
      about: "Name in the Runners' certificate, where it is not the host dialled.",
    }),
    issuer: optional(issuerUrl, {
      roles: playgrounds,
      about:
        'OpenID Connect issuer with which people sign in; without it as console.issuer has it. Without any there is no page, and programs come with tokens.',
    }),
    client_id: optional(plainText, {
      roles: playgrounds,
      about: 'The client that the Playground is to that issuer; without it that of the console.',
    }),
    client_secret_file: optional(path, {
      roles: playgrounds,
      about: "The client's secret; without it the client is a public one, with PKCE alone.",
    }),
    scope: setting(plainText, {
      default: 'openid',
      roles: playgrounds,
      about: 'OAuth scopes that are asked for, separated by spaces.',
    }),
    public_url: optional(publicUrl, {
      roles: [...playgrounds, ...operator],
      about:
        'Where browsers find the Playground; the issuer must let it lead back to /auth/callback there. Without it, playground.listen_addr.',
    }),
    session_ttl: setting(duration('1m', '7d'), {
      default: '8h',
      roles: playgrounds,
      about: 'After this time, or when their token ends, people sign in again.',
    }),
    cookie_key_file: optional(path, {
      roles: playgrounds,
      about:
        'Holds 32 random bytes that seal the cookies, the same for all replicas. Without it a file in state_dir is made.',
    }),
  },
);
