/** Verifies bearer tokens (RFC 7519) of the issuers that the policy accepts. */
import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type CryptoKey,
  type JWTPayload,
} from 'jose';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { Identified, TokenVerification } from '../../model/administration.js';
import type { Clock } from '../../model/clock.js';
import { GatewayError, type ErrorCode } from '../../model/errors.js';
import type { IssuerPolicy, Policy } from '../../model/policy.js';
import { type Caller, callerOf, refuseClient } from '../../model/principal.js';
import { issuerUnknown } from '../../model/refusals.js';
import type { Eventually } from '../grpc-wire.js';
import { fetchKeysOverHttp, type FetchKeys, IssuerKeys, type SigningKey } from './issuer-keys.js';

export interface TokenVerifierOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly fetchKeys?: FetchKeys;
  /** Verified tokens remembered at most. Default 10,000. */
  readonly cacheSize?: number;
  /** The longest token that is looked at, bytes. Default 16 KiB. */
  readonly maxTokenBytes?: number;
  /** How often each issuer's keys are fetched again. Default 5 minutes. */
  readonly keyRefreshMs?: number;
  /** The least time between two fetches that unknown key ids ask for. Default 30 s. */
  readonly keyCooldownMs?: number;
  readonly onCache?: (result: 'hit' | 'miss') => void;
  readonly onKeyFetch?: (issuer: string, ok: boolean) => void;
}

export interface IssuerKeyState {
  readonly issuer: string;
  /** When its keys were last fetched with success; undefined: never. */
  readonly fetchedAtMs: number | undefined;
  /** Why the last attempt to fetch them failed, in one line; undefined: it did not. */
  readonly failure: string | undefined;
}

/** A token whose signature, issuer, audience, client and not-before time are good. */
export interface VerifiedToken {
  readonly caller: Caller;
  /** `exp` with the issuer's clock skew: the token is no good from then on. */
  readonly goodUntilMs: number;
}

/** Signatures that only the issuer's private key can make. */
const ASYMMETRIC = new Set(
  'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(' '),
);

const UNCHANGED = Promise.resolve();

interface Issuer {
  readonly policy: IssuerPolicy;
  readonly algorithms: string[];
  readonly keys: IssuerKeys;
}

interface CachedToken {
  readonly verified: VerifiedToken;
  readonly expiresAtMs: number;
  readonly issuer: Issuer;
  readonly key: SigningKey;
}

/**
 * A token that was verified is remembered until it expires, its key is withdrawn, or the settings of
 * its issuer change. Refused tokens are not remembered.
 */
export class TokenVerifier {
  readonly #options: TokenVerifierOptions;
  readonly #cache: LRUCache<string, CachedToken>;
  #issuers = new Map<string, Issuer>();
  #policies: readonly IssuerPolicy[] = [];

  constructor(options: TokenVerifierOptions) {
    this.#options = options;
    this.#cache = new LRUCache({ max: options.cacheSize ?? 10_000 });
  }

  /**
   * Accepts the tokens of these issuers from now on. Resolves when the keys of each new one have
   * been asked for once, whether or not the issuer answered.
   */
  useIssuers(policies: readonly IssuerPolicy[]): Promise<void> {
    if (policies === this.#policies) return UNCHANGED;
    this.#policies = policies;
    return this.#replaceIssuers(policies);
  }

  async #replaceIssuers(policies: readonly IssuerPolicy[]): Promise<void> {
    const before = this.#issuers;
    const started: Promise<void>[] = [];
    this.#issuers = new Map();
    for (const policy of policies) {
      const known = before.get(policy.issuer);
      let keys = known && sameKeySource(known.policy, policy) ? known.keys : undefined;
      if (!keys) {
        keys = this.#issuerKeys(policy);
        started.push(keys.start());
      }
      const unchanged =
        known?.keys === keys && JSON.stringify(known.policy) === JSON.stringify(policy);
      const algorithms = policy.algorithms.filter((algorithm) => ASYMMETRIC.has(algorithm));
      this.#issuers.set(policy.issuer, unchanged ? known : { policy, algorithms, keys });
    }
    for (const [name, issuer] of before) {
      if (this.#issuers.get(name)?.keys !== issuer.keys) issuer.keys.close();
    }
    await Promise.all(started);
  }

  /** Accepted issuers whose tokens cannot be verified, as their keys could not be fetched so far. */
  issuersWithoutKeys(): readonly string[] {
    return [...this.#issuers].flatMap(([name, { keys }]) => (keys.known ? [] : [name]));
  }

  /** All accepted issuers. */
  issuerKeys(): readonly IssuerKeyState[] {
    return [...this.#issuers].map(([issuer, { keys }]) => ({
      issuer,
      fetchedAtMs: keys.fetchedAtMs,
      failure: keys.failure,
    }));
  }

  close(): void {
    for (const { keys } of this.#issuers.values()) keys.close();
    this.#issuers = new Map();
  }

  /**
   * Verifies everything but the expiry, which is for the caller to judge by `goodUntilMs`; a token
   * that is remembered is there at once. Rejects with TOKEN_MALFORMED, TOKEN_ISSUER_UNKNOWN, TOKEN_ALGORITHM_REFUSED, TOKEN_SIGNATURE_INVALID,
   * TOKEN_AUDIENCE_REFUSED, TOKEN_NOT_YET_VALID or ISSUER_UNREACHABLE.
   */
  verify(token: string): Eventually<VerifiedToken> {
    const cached = this.#cache.get(token);
    if (cached) {
      if (
        cached.expiresAtMs > this.#options.clock.now() &&
        cached.key.published &&
        this.#issuers.get(cached.issuer.policy.issuer) === cached.issuer
      ) {
        this.#options.onCache?.('hit');
        return cached.verified;
      }
      this.#cache.delete(token);
    }
    this.#options.onCache?.('miss');
    return this.#verifyAndRemember(token);
  }

  async #verifyAndRemember(token: string): Promise<VerifiedToken> {
    const { result, expiresAtMs, issuer, key } = await this.#verifyAfresh(token);
    if (expiresAtMs > this.#options.clock.now()) {
      this.#cache.set(token, { verified: result, expiresAtMs, issuer, key });
    }
    return result;
  }

  async #verifyAfresh(token: string) {
    const { issuer, header } = this.#read(token);
    let payload: JWTPayload | undefined;
    let key: SigningKey | undefined;
    let failure: unknown;
    for (const candidate of await issuer.keys.find(header)) {
      try {
        payload = await this.#payload(token, candidate.cryptoKey, issuer);
        key = candidate.key;
        break;
      } catch (error) {
        failure = error;
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) break;
      }
    }
    if (!payload || !key) throw tokenRefusal(failure, issuer.policy);
    const refusal = refuseClient(payload, issuer.policy);
    if (refusal) throw refusal;
    const expiresAtMs = (payload.exp ?? 0) * 1000;
    const result: VerifiedToken = {
      caller: callerOf(payload, issuer.policy),
      goodUntilMs: expiresAtMs + issuer.policy.clockSkewMs,
    };
    return { result, expiresAtMs, issuer, key };
  }

  /** The issuer that the token names, unverified, and its header. */
  #read(token: string) {
    const max = this.#options.maxTokenBytes ?? 16 * 1024;
    if (token.length > max) {
      throw new GatewayError(
        'TOKEN_MALFORMED',
        `Your token has ${token.length} bytes; at most ${max} are accepted.`,
      );
    }
    try {
      const header = decodeProtectedHeader(token);
      const { iss } = decodeJwt(token);
      const issuer = this.#issuers.get(iss ?? '');
      if (!issuer) throw issuerUnknown(iss ?? '', [...this.#issuers.keys()]);
      const { alg } = header;
      if (alg === undefined || !issuer.algorithms.includes(alg)) {
        throw new GatewayError(
          'TOKEN_ALGORITHM_REFUSED',
          `Your token is signed with ${JSON.stringify(alg ?? 'none').slice(0, 40)}; accepted: ${issuer.algorithms.join(', ')}.`,
        );
      }
      return { issuer, header: { ...header, alg } };
    } catch (error) {
      if (error instanceof GatewayError) throw error;
      throw new GatewayError(
        'TOKEN_MALFORMED',
        'Your token is not a JSON Web Token (three parts with dots between them). Copy it again, whole.',
        { cause: error },
      );
    }
  }

  async #payload(token: string, key: CryptoKey, { policy, algorithms }: Issuer) {
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms,
        issuer: policy.issuer,
        ...(policy.audiences.length > 0 ? { audience: [...policy.audiences] } : {}),
        requiredClaims: ['exp'],
        currentDate: new Date(this.#options.clock.now()),
        clockTolerance: policy.clockSkewMs / 1000,
      });
      return payload;
    } catch (error) {
      // jose looks at the expiry last, when all else is known to be good.
      if (error instanceof errors.JWTExpired && error.claim === 'exp') return error.payload;
      throw error;
    }
  }

  #issuerKeys(issuer: IssuerPolicy): IssuerKeys {
    const { clock, logger, fetchKeys, keyRefreshMs, keyCooldownMs, onKeyFetch } = this.#options;
    return new IssuerKeys({
      issuer,
      clock,
      logger,
      fetchKeys: fetchKeys ?? fetchKeysOverHttp,
      refreshMs: keyRefreshMs ?? 5 * 60_000,
      cooldownMs: keyCooldownMs ?? 30_000,
      onFetch: onKeyFetch ?? (() => undefined),
    });
  }
}

function sameKeySource(a: IssuerPolicy, b: IssuerPolicy): boolean {
  return a.discoveryUrl === b.discoveryUrl && a.jwksUri === b.jwksUri;
}

// Failures of jose as refusals that tell the user what to do.

function tokenRefusal(failure: unknown, issuer: IssuerPolicy): GatewayError {
  const refuse = (code: ErrorCode, message: string) =>
    new GatewayError(code, message, { cause: failure });
  if (failure instanceof errors.JWTClaimValidationFailed) {
    switch (failure.claim) {
      case 'aud':
        return refuse(
          'TOKEN_AUDIENCE_REFUSED',
          `Your token is for audience ${JSON.stringify(failure.payload.aud ?? null).slice(0, 200)}; accepted: ${issuer.audiences.join(', ')}.`,
        );
      case 'nbf':
        return failure.reason === 'check_failed'
          ? refuse(
              'TOKEN_NOT_YET_VALID',
              `Your token is not valid before ${isoTime(failure.payload.nbf)}. Check the clocks, or wait.`,
            )
          : refuse('TOKEN_MALFORMED', 'The claim "nbf" of your token is not a number.');
      default:
        return refuse(
          'TOKEN_MALFORMED',
          `The claim "${failure.claim}" of your token is missing or not what it should be.`,
        );
    }
  }
  if (failure instanceof errors.JOSEAlgNotAllowed) {
    return refuse('TOKEN_ALGORITHM_REFUSED', 'Your token is signed in a way that is not accepted.');
  }
  if (failure instanceof errors.JWSInvalid || failure instanceof errors.JWTInvalid) {
    return refuse('TOKEN_MALFORMED', 'Your token is not a well-formed JSON Web Token.');
  }
  return refuse(
    'TOKEN_SIGNATURE_INVALID',
    `The signature of your token is not that of its issuer ${issuer.issuer}. Get a new token.`,
  );
}

/** For messages: `seconds` since the epoch as far as that is a time. */
function isoTime(seconds: number | undefined): string {
  const date = new Date((seconds ?? Number.NaN) * 1000);
  return Number.isNaN(date.getTime()) ? 'an unknown time' : date.toISOString();
}

// Tokens of the issuers that the policy in force accepts, also after it was replaced.

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
