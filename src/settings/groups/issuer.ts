/** The token issuer for development. */
import { boolean, plainText } from '../../yaml/text-type.js';
import { duration } from '../../yaml/units.js';
import { group, setting } from '../setting.js';
import { loopbackAddress } from '../types.js';
import { issuers, operator, servers } from './roles.js';

export const issuer = group(
  'The development token issuer. Never for production: anyone who reaches it gets any token.',
  {
    enabled: setting(boolean, {
      default: 'false',
      roles: [...servers, ...operator],
      about: 'Whether `start` runs it, and whether its tokens are accepted.',
    }),
    listen_addr: setting(loopbackAddress, {
      default: '127.0.0.1:18080',
      roles: [...servers, ...issuers, ...operator],
      about: 'Where it is served (HTTP), which is also how its tokens name it (iss).',
    }),
    client_id: setting(plainText, {
      default: 'spark-gateway-development',
      roles: [...servers, ...issuers],
      about: 'The OAuth client that its tokens name (cid).',
    }),
    audience: setting(plainText, {
      default: 'api://spark-gateway',
      roles: [...servers, ...issuers],
      about: 'The audience that its tokens name (aud).',
    }),
    token_ttl: setting(duration('1s', '30d'), {
      default: '12h',
      roles: issuers,
      about: 'How long its tokens are good.',
    }),
  },
);
