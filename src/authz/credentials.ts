/** What a request shows to say who sends it. */
import { GatewayError } from '../model/errors.js';

/** Where gRPC clients put a token; Spark's JVM client uses the second. */
export const CREDENTIAL_HEADERS = ['authorization', 'authentication'] as const;

const BEARER = /^bearer +/i;

/**
 * The bearer token, or undefined if there is none. Throws HEADER_DUPLICATED if there are several,
 * TOKEN_MALFORMED for credentials of another kind.
 */
export function bearerToken(headers: ReadonlyMap<string, string>): string | undefined {
  const authorization = headers.get('authorization')?.trim() ?? '';
  const authentication = headers.get('authentication')?.trim() ?? '';
  if (authorization !== '' && !BEARER.test(authorization) && !/^bearer$/i.test(authorization)) {
    throw new GatewayError(
      'TOKEN_MALFORMED',
      'The header "authorization" does not hold a bearer token. Put your token in the URL: sc://<host>:15002/;token=<token>.',
    );
  }
  const first = withoutScheme(authorization);
  const second = withoutScheme(authentication);
  if (first !== '' && second !== '' && first !== second) {
    throw new GatewayError(
      'HEADER_DUPLICATED',
      'The headers "authorization" and "authentication" hold different tokens; send one of them.',
    );
  }
  return first || second || undefined;
}

function withoutScheme(value: string): string {
  return /^bearer$/i.test(value) ? '' : value.replace(BEARER, '');
}

/**
 * Throws HEADER_DUPLICATED if one of these headers came more than once: Envoy joins the copies with a
 * comma, which none of them may hold otherwise.
 */
export function refuseDuplicates(
  headers: ReadonlyMap<string, string>,
  names: readonly string[],
): void {
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
