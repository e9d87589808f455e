/** Lets in those whom the policy's `administration` names. */
import type { IdentifiableRequest, Identification } from '../model/administration.js';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import type { AdministrationRole, Policy } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import { identified } from '../sign-in/identify.js';

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
    const { caller, goodUntilMs, role } = await identified(request, identifications, clock);
    return { caller, role: role ?? policy().administration(caller), goodUntilMs };
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
