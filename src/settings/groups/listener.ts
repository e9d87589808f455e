/** The listener for clients, and the headers that they send. */
import { boolean, integer, path } from '../../yaml/text-type.js';
import { size } from '../../yaml/units.js';
import { group, optional, setting } from '../setting.js';
import { headerName } from '../types.js';
import { controlPlane, servers } from './roles.js';

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
  max_message_size: setting(size('1MiB', '2GiB'), {
    default: '256MiB',
    roles: controlPlane,
    about: 'The largest gRPC message that drivers started by this gateway accept from a client.',
  }),
});

export const headers = group('Request headers that clients send.', {
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
});
