/** Callers known by a bearer token (RFC 6750 section 2.1). */
import type {
  IdentifiableRequest,
  Identification,
  Identified,
  TokenVerification,
} from '../model/administration.js';
import { GatewayError } from '../model/errors.js';

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
