/** Who makes an HTTP request: by a bearer token, by a cookie, or in another way that is given. */
import type {
  IdentifiableRequest,
  Identification,
  Identified,
  TokenVerification,
} from '../model/administration.js';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';

/** The first way that knows the caller counts. Rejects with TOKEN_MISSING, TOKEN_EXPIRED, or as that way does. */
export async function identified(
  request: IdentifiableRequest,
  identifications: readonly Identification[],
  clock: Clock,
): Promise<Identified> {
  for (const identification of identifications) {
    const found = await identification.identify(request);
    if (!found) continue;
    if (found.goodUntilMs <= clock.now()) {
      throw new GatewayError('TOKEN_EXPIRED', 'Your token has expired. Get a new one.');
    }
    return found;
  }
  throw new GatewayError(
    'TOKEN_MISSING',
    'Say who you are: send "authorization: Bearer <token>" with a token of an issuer that the policy accepts.',
  );
}

/** RFC 6750 section 2.1. */
const BEARER = /^bearer +(?<token>\S+) *$/i;

export class BearerIdentification implements Identification {
  readonly #tokens: TokenVerification;

  constructor(tokens: TokenVerification) {
    this.#tokens = tokens;
  }

  /** Rejects with TOKEN_MALFORMED for credentials of another kind, else as the verification does. */
  async identify({ headers }: IdentifiableRequest): Promise<Identified | undefined> {
    const { authorization } = headers;
    if (typeof authorization !== 'string' || authorization.trim() === '') return undefined;
    const token = BEARER.exec(authorization.trim())?.groups?.['token'];
    if (token === undefined) {
      throw new GatewayError(
        'TOKEN_MALFORMED',
        'The header "authorization" does not hold a bearer token: write it as "Bearer <token>".',
      );
    }
    return this.#tokens.verify(token);
  }
}
