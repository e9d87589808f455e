/** What operators use. */
import { issuerUrl, path, plainText } from '../../yaml/text-type.js';
import { duration } from '../../yaml/units.js';
import { group, optional, setting } from '../setting.js';
import { publicUrl, tcpAddress } from '../types.js';
import { controlPlane, operator } from './roles.js';

export const admin = group('Metrics, health and administration of the control plane (HTTP).', {
  listen_addr: setting(tcpAddress, {
    default: '127.0.0.1:9090',
    roles: [...controlPlane, ...operator],
    about: 'Where the control plane serves them.',
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
});

export const webConsole = group(
  'The web page on the port of admin.listen_addr, and how people sign in to it.',
  {
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
  },
);
