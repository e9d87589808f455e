/** What is written as one piece of text in a policy. */
import {
  type Field,
  list,
  text,
  withDefault,
  about,
  type AdmissionRule,
} from '../lib/yaml/schema.js';
import { choice, matching, textType, duration } from '../lib/yaml/text-types.js';

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

/** A policy is read in several places: what it names is in the same place in each. */
export const absolutePath = matching('an absolute path', /^\/[^\0]*$/, 4095);

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

/** Whether a rule that refuses does so, or only tells whom it would refuse. */
export const modeField = about(
  'shadow: refuses nothing, but reports what it would refuse.',
  withDefault(text(choice('enforce', 'shadow')), 'enforce'),
);

// Rules in CEL by which an API server refuses a policy that compile.ts would refuse as well.

export const sizeWithinMaximum: AdmissionRule = {
  rule: '!has(self.size) || !has(self.maximum) || self.size <= self.maximum',
  message: 'size must not exceed maximum',
};

/** No two entries of this list have the same `name`. */
export function distinctNames(listName: string): AdmissionRule {
  return {
    rule: `!has(self.${listName}) || self.${listName}.all(one, self.${listName}.exists_one(other, other.name == one.name))`,
    message: `each name of ${listName} is given once`,
  };
}

/** No entry of one list has the `name` of an entry of the other. */
export function namesApart(listName: string, other: string): AdmissionRule {
  return {
    rule: `!has(self.${listName}) || !has(self.${other}) || !self.${listName}.exists(one, self.${other}.exists(other, other.name == one.name))`,
    message: `${listName} and ${other} have no name in common`,
  };
}
