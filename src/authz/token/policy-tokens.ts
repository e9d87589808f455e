/** Tokens of the issuers that the policy in force accepts, also after it was replaced. */
import type { Identified, TokenVerification } from '../../model/administration.js';
import type { Policy } from '../../model/policy.js';
import type { TokenVerifier } from './verifier.js';

export class PolicyTokens implements TokenVerification {
  readonly #verifier: TokenVerifier;
  readonly #policy: () => Pick<Policy, 'issuers'>;

  constructor(verifier: TokenVerifier, policy: () => Pick<Policy, 'issuers'>) {
    this.#verifier = verifier;
    this.#policy = policy;
  }

  async verify(token: string): Promise<Identified> {
    await this.#verifier.useIssuers(this.#policy().issuers);
    return this.#verifier.verify(token);
  }
}
