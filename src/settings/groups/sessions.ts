/** Sessions, and the pools of drivers that they get. */
import { integer } from '../../yaml/text-type.js';
import { duration } from '../../yaml/units.js';
import { group, setting } from '../setting.js';
import { controlPlane, servers } from './roles.js';

export const sessions = group('Sessions and what is remembered of them.', {
  tombstone_ttl: setting(duration('10s', '14d'), {
    default: '12h',
    roles: controlPlane,
    about:
      'How long an ended session is remembered, so that a late client is told instead of given an empty one; at least session_ttl and assignments.cache_ttl.',
  }),
});

export const pools = group('Pools of drivers, where the policy does not say otherwise.', {
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
});
