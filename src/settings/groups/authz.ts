/** The authorization service. */
import { integer } from '../../yaml/text-type.js';
import { duration } from '../../yaml/units.js';
import { group, setting } from '../setting.js';
import { socketAddress, tcpAddress } from '../types.js';
import { controlPlane, sidecars, servers } from './roles.js';

export const authz = group('The authorization service beside each Envoy (ext_authz).', {
  listen_addr: setting(socketAddress, {
    default: '127.0.0.1:9191',
    roles: servers,
    about: 'Where it listens, and where Envoy asks it. Must be local to the Envoy.',
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
  token_cache_size: setting(integer(1, 1_000_000), {
    default: '20000',
    roles: sidecars,
    about: 'Verified tokens that are remembered until they expire.',
  }),
  expired_token_grace: setting(duration('0', '1d'), {
    default: '15m',
    roles: sidecars,
    about:
      "How long after its end the owner's token still serves to fetch results of, or release, a running session.",
  }),
  keys_max_age: setting(duration('10s', '1d'), {
    default: '10m',
    roles: sidecars,
    about: "How long an issuer's keys are used without fetching them again.",
  }),
  keys_cooldown: setting(duration('1s', '1h'), {
    default: '30s',
    roles: sidecars,
    about: 'The least time between two fetches caused by tokens that name an unknown key.',
  }),
});
