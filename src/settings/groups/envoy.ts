/** The Envoys. */
import { choice, integer, path, plainText } from '../../yaml/text-type.js';
import { size } from '../../yaml/units.js';
import { group, optional, setting } from '../setting.js';
import { loopbackAddress } from '../types.js';
import { envoyChild } from './roles.js';

export const envoy = group('The Envoy that `start` runs, and what `bootstrap` prints for others.', {
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
    about: 'Memory at which an Envoy refuses new requests (clients retry them elsewhere or later).',
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
});
