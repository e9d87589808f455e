/** Lets in those whom the policy's `administration` names. */
import type {
  IdentifiableRequest,
  Identification,
  Identified,
  TokenVerification,
} from '../model/administration.js';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import type { AdministrationRole, Policy } from '../model/policy.js';
import type { Caller } from '../model/principal.js';

export interface GatekeeperOptions {
  /** The first that knows the caller counts. */
  readonly identifications: readonly Identification[];
  readonly policy: () => Policy;
  readonly clock: Clock;
}

export interface Admitted {
  readonly caller: Caller;
  readonly role: AdministrationRole;
  /** The identity is no good from then on, milliseconds since the epoch. */
  readonly goodUntilMs: number;
}

export class Gatekeeper {
  readonly #options: GatekeeperOptions;

  constructor(options: GatekeeperOptions) {
    this.#options = options;
  }

  /** Who asks, whatever they may do. Rejects with TOKEN_MISSING, TOKEN_EXPIRED, or as the identification does. */
  async identify(request: IdentifiableRequest): Promise<Admitted> {
    const { identifications, policy, clock } = this.#options;
    for (const identification of identifications) {
      const found = await identification.identify(request);
      if (!found) continue;
      if (found.goodUntilMs <= clock.now()) {
        throw new GatewayError('TOKEN_EXPIRED', 'Your token has expired. Get a new one.');
      }
      const { caller, goodUntilMs, role } = found;
      return { caller, role: role ?? policy().administration(caller), goodUntilMs };
    }
    throw new GatewayError(
      'TOKEN_MISSING',
      'Say who you are: send "authorization: Bearer <token>" with a token of an issuer that the policy accepts.',
    );
  }

  /** Rejects as `identify` does, or with ADMINISTRATION_REFUSED, saying which role is missing. */
  async admit(request: IdentifiableRequest, needed: 'read' | 'admin'): Promise<Admitted> {
    const admitted = await this.identify(request);
    if (admitted.role === 'admin' || admitted.role === needed) return admitted;
    throw new GatewayError(
      'ADMINISTRATION_REFUSED',
      `${admitted.caller.principal.subject} lacks the role "${needed}": ask whoever keeps the routing policy for a rule in administration.${needed}.`,
    );
  }
}

// Callers known by a bearer token (RFC 6750 section 2.1).

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
