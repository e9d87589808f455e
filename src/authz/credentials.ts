/** What a request shows to say who sends it. */
import { LRUCache } from 'lru-cache';
import { GatewayError } from '../model/errors.js';
import type { Headers } from './check-headers.js';

const BEARER = /^bearer( +|$)/i;

interface Credential {
  /** Empty for none. */
  readonly token: string;
  readonly isBearer: boolean;
  /** Envoy joins the copies of a header with a comma, which no token holds. */
  readonly isRepeated: boolean;
}

const NONE: Credential = { token: '', isBearer: true, isRepeated: false };
/** By the header's value: a token is long, and to cut it out and look it up takes longer than this. */
const credentials = new LRUCache<string, Credential>({
  max: 10_000,
  // Nothing of what is remembered here has been verified: it may be long.
  maxSize: 8 * 1024 * 1024,
  sizeCalculation: (_, value) => value.length + 1,
});

/**
 * The bearer token, in `authorization` or, from Spark's JVM client, in `authentication`; undefined if
 * there is none. Throws HEADER_DUPLICATED if there are several, TOKEN_MALFORMED for credentials of
 * another kind.
 */
export function bearerToken(headers: Headers): string | undefined {
  const { token: first, isBearer, isRepeated } = credential(headers.get('authorization'));
  const { token: second, isRepeated: isSecondRepeated } = credential(headers.get('authentication'));
  if (isRepeated) throw duplicated('authorization');
  if (isSecondRepeated) throw duplicated('authentication');
  if (!isBearer) {
    throw new GatewayError(
      'TOKEN_MALFORMED',
      'The header "authorization" does not hold a bearer token. Put your token in the URL: sc://<host>:15002/;token=<token>.',
    );
  }
  if (first !== '' && second !== '' && first !== second) {
    throw new GatewayError(
      'HEADER_DUPLICATED',
      'The headers "authorization" and "authentication" hold different tokens; send one of them.',
    );
  }
  return first || second || undefined;
}

function credential(value: string | undefined): Credential {
  if (value === undefined) return NONE;
  let known = credentials.get(value);
  if (!known) {
    const trimmed = value.trim();
    const token = trimmed.replace(BEARER, '');
    const isBearer = trimmed === '' || BEARER.test(trimmed);
    known = { token, isBearer, isRepeated: value.includes(',') };
    credentials.set(value, known);
  }
  return known;
}

/**
 * Throws HEADER_DUPLICATED if one of these headers came more than once: Envoy joins the copies with a
 * comma, which none of them may hold otherwise.
 */
export function refuseDuplicates(headers: Headers, names: readonly string[]): void {
  for (const name of names) {
    if (headers.get(name)?.includes(',')) throw duplicated(name);
  }
}

export function duplicated(name: string): GatewayError {
  return new GatewayError(
    'HEADER_DUPLICATED',
    `The header "${name}" came more than once, or holds a comma; send it once.`,
  );
}
