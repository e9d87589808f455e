/** Verifies bearer tokens (RFC 7519) of the issuers that the policy accepts. */
import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type CryptoKey,
  type JWTPayload,
} from 'jose';
import type { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { Identified, TokenVerification } from '../../model/administration.js';
import type { Clock } from '../../model/clock.js';
import { GatewayError, type ErrorCode } from '../../model/errors.js';
import type { IssuerPolicy, Policy } from '../../model/policy.js';
import { type Caller } from '../../model/principal.js';
import { callerOf } from '../../model/token-claims.js';
import { refuseClient } from '../../model/token-claims.js';
import { issuerUnknown } from '../../model/refusals.js';
import type { Eventually } from '../grpc-wire.js';
import { recent } from '../../lib/recent.js';
import { type FetchKeys, keysOverHttps } from './fetch-keys.js';
import { IssuerKeys, type SigningKey } from './issuer-keys.js';

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
  /** How long keys are believed that cannot be fetched again. Default 1 day. */
  readonly keyGreatestAgeMs?: number;
  readonly onCache?: (result: 'hit' | 'miss') => void;
  readonly onKeyFetch?: (issuer: string, ok: boolean) => void;
}

export interface IssuerKeyState {
  readonly issuer: string;
  /** When its keys were last fetched with success; undefined: never. */
  readonly fetchedAtMs: number | undefined;
  /** Why they could not be fetched the last time; undefined: they could. */
  readonly problem: string | undefined;
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
const DAY_MS = 86_400_000;
/** No issuer has people wait longer for the end of what was stolen from them. */
const LONGEST_LIFE_MS = 366 * DAY_MS;

interface Issuer {
  readonly policy: IssuerPolicy;
  readonly algorithms: string[];
  readonly keys: IssuerKeys;
}

interface CachedToken {
  readonly verified: VerifiedToken;
  readonly issuer: Issuer;
  readonly key: SigningKey;
}

/**
 * A token that was verified is remembered until its key is withdrawn or too old, or the settings of its
 * issuer change; whether it has expired is for the caller to judge. Refused tokens are not remembered.
 */
export class TokenVerifier {
  readonly #options: TokenVerifierOptions;
  readonly #cache: LRUCache<string, CachedToken>;
  #issuers = new Map<string, Issuer>();
  #policies: readonly IssuerPolicy[] = [];

  constructor(options: TokenVerifierOptions) {
    this.#options = options;
    this.#cache = recent(options.cacheSize ?? 10_000);
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
      problem: keys.problem,
    }));
  }

  close(): void {
    for (const { keys } of this.#issuers.values()) keys.close();
    this.#issuers = new Map();
  }

  /**
   * Verifies everything but the expiry, which is for the caller to judge by `goodUntilMs`; a token
   * that is remembered is there at once. Rejects with TOKEN_MALFORMED, TOKEN_ISSUER_UNKNOWN, TOKEN_ALGORITHM_REFUSED, TOKEN_SIGNATURE_INVALID,
   * TOKEN_AUDIENCE_REFUSED, TOKEN_NOT_YET_VALID, TOKEN_LIFE_TOO_LONG, TOKEN_KEY_UNKNOWN or ISSUER_UNREACHABLE.
   */
  verify(token: string): Eventually<VerifiedToken> {
    const cached = this.#cache.get(token);
    if (cached) {
      if (
        cached.key.goodUntilMs > this.#options.clock.now() &&
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
    const { verified, issuer, key } = await this.#verifyAfresh(token);
    this.#cache.set(token, { verified, issuer, key });
    return verified;
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
    const verified: VerifiedToken = {
      caller: callerOf(payload, issuer.policy),
      goodUntilMs: this.#expiryMs(payload) + issuer.policy.clockSkewMs,
    };
    return { verified, issuer, key };
  }

  #expiryMs({ exp = 0 }: JWTPayload): number {
    const lifeMs = exp * 1000 - this.#options.clock.now();
    if (lifeMs <= LONGEST_LIFE_MS) return exp * 1000;
    throw new GatewayError(
      'TOKEN_LIFE_TOO_LONG',
      `Your token ends in ${Math.floor(lifeMs / DAY_MS)} days, and one is accepted for ${LONGEST_LIFE_MS / DAY_MS} days at most. Get one that ends sooner.`,
    );
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
    const { clock, logger, fetchKeys, onKeyFetch, ...options } = this.#options;
    return new IssuerKeys({
      issuer,
      clock,
      logger,
      fetchKeys: fetchKeys ?? keysOverHttps(),
      refreshMs: options.keyRefreshMs ?? 5 * 60_000,
      cooldownMs: options.keyCooldownMs ?? 30_000,
      greatestAgeMs: options.keyGreatestAgeMs ?? DAY_MS,
      onFetch: onKeyFetch ?? (() => undefined),
    });
  }
}

function sameKeySource(a: IssuerPolicy, b: IssuerPolicy): boolean {
  return a.discoveryUrl === b.discoveryUrl && a.jwksUri === b.jwksUri && a.caFile === b.caFile;
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
