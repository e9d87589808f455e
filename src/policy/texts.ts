/** What is written as one piece of text in a policy. */
import { type Field, list, text, withDefault } from '../yaml/schema.js';
import { choice, matching, textType } from '../yaml/text-type.js';
import { duration } from '../yaml/units.js';

/** Asymmetric only: with HMAC, whoever can check a token can make one (RFC 8725 section 3.1). */
export const algorithms = choice(
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
);

export const name = matching(
  'a name of letters, digits, ".", "_" and "-"',
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
  63,
);

export const label = matching(
  'lower-case letters, digits and "-"',
  /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
);

export const pattern = textType(
  'a name, in which * stands for any text',
  (written) => (written.trim() === '' ? undefined : written),
  { type: 'string', pattern: '\\S' },
);

export const labelPattern = matching(
  'lower-case letters, digits and "-", in which * stands for any text',
  /^[a-z0-9*-]{1,63}$/,
);

export const teamPattern = matching(
  'lower-case letters, digits and "-", in which * stands for any text; or ${claim}, for the team that this claim of the token names',
  /^([a-z0-9*-]{1,63}|\$\{[^{}]+\})$/,
);

export const hostPattern = matching(
  'a host name, in which * stands for any text',
  /^[a-z0-9.*:-]{1,253}$/,
);

export const network = matching(
  'a network such as 10.1.0.0/16 or fd00::/8',
  /^[0-9a-fA-F.:]+\/\d{1,3}$/,
);

/** Text, or "never" for no end. */
export const durationOrNever = textType(`${duration('1s').allowed}; or never`, (written) =>
  written === 'never' ? Number.POSITIVE_INFINITY : duration('1s').parse(written, ''),
);

/** Names and patterns; none when left out. */
export const patterns = (): Field<readonly string[]> => withDefault(list(text(pattern)), []);
