/** The keys that one issuer publishes, kept up to date. */
import {
  createLocalJWKSet,
  errors,
  type CryptoKey,
  type JWK,
  type JWSHeaderParameters,
} from 'jose';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../../model/clock.js';
import { GatewayError, reasonOf } from '../../model/errors.js';
import type { IssuerPolicy } from '../../model/policy.js';
import type { FetchKeys } from './fetch-keys.js';

export interface IssuerKeysOptions {
  readonly issuer: IssuerPolicy;
  readonly fetchKeys: FetchKeys;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told of every attempt to fetch the keys. */
  readonly onFetch: (issuer: string, ok: boolean) => void;
  /** How often the keys are fetched again, so that one that was withdrawn is noticed. */
  readonly refreshMs: number;
  /** The least time between two fetches that unknown key ids ask for. */
  readonly cooldownMs: number;
  /** How long keys are believed that cannot be fetched again: one of them may have been withdrawn. */
  readonly greatestAgeMs: number;
}

/** How soon a failed fetch is tried again; also the least time between two that requests ask for. */
const RETRY_MS = 2_000;
/** More keys than any issuer has; bounds the work that a token without a key id can cause. */
const MAX_CANDIDATES = 8;
/** Unknown key ids that are remembered: enough for every key that an issuer may have made. */
const MAX_UNKNOWN = 100;
/** Of a key id in a message, characters. */
const SHOWN_KID = 64;

/** One published key. */
export interface SigningKey {
  readonly kid: string | undefined;
  /** False once the issuer no longer publishes it. */
  published: boolean;
  /** When it is believed no longer, unless it is fetched again. */
  goodUntilMs: number;
  /** Rejects with JWKSNoMatchingKey if the key is not made for the header's algorithm. */
  readonly cryptoKey: (header: JWSHeaderParameters) => Promise<CryptoKey>;
}

export interface Candidate {
  readonly key: SigningKey;
  readonly cryptoKey: CryptoKey;
}

/**
 * Keys that are known go on being served while the issuer is down, up to their greatest age. An unknown
 * key id asks for one fetch, which all who wait share, and not again before the cool-down is over: until
 * then it may be that of a key which is new, so that its tokens are doubt and no refusal.
 */
export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  readonly #closing = new AbortController();
  /** By the key's content; undefined until the first fetch succeeded. */
  #keys: Map<string, SigningKey> | undefined;
  #fetching: Promise<void> | undefined;
  #lastFetch: { readonly endedMs: number; readonly ok: boolean } | undefined;
  #fetchedAtMs: number | undefined;
  #timer: Timer | undefined;
  #problem: string | undefined;
  /** Key ids that were asked for since the last fetch began and are in no key set so far. */
  #unknown = new Set<string>();
  /** Of those that were asked for before it, the ones that it did not bring. */
  #absent: ReadonlySet<string> = new Set();

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
  }

  /** Fetches the keys now and from then on. Resolves when the first attempt has ended, whether or not it succeeded. */
  start(): Promise<void> {
    return this.#fetch();
  }

  /** Whether a fetch has ever succeeded. */
  get known(): boolean {
    return this.#keys !== undefined;
  }

  /** Why the last fetch failed; undefined if it did not. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** When a fetch last succeeded. */
  get fetchedAtMs(): number | undefined {
    return this.#fetchedAtMs;
  }

  close(): void {
    this.#closing.abort();
    this.#timer?.cancel();
    for (const key of this.#keys?.values() ?? []) key.published = false;
  }

  /**
   * The keys that may have signed a token with this header. Throws ISSUER_UNREACHABLE when they
   * cannot be had, TOKEN_KEY_UNKNOWN when they may not be asked for yet, TOKEN_SIGNATURE_INVALID when
   * the issuer publishes none such.
   */
  async find(header: JWSHeaderParameters): Promise<readonly Candidate[]> {
    const known = await this.#select(header);
    if (known.length > 0) return known;
    const asks = this.#fetching !== undefined || this.#mayFetch();
    if (asks) {
      // One that is under way may have been answered before this key was made.
      const isNew = this.#fetching === undefined;
      await this.#fetch();
      const fetched = await this.#select(header);
      if (fetched.length > 0) return fetched;
      if (isNew && this.#lastFetch?.ok === true) throw this.#notPublished();
    }
    if (this.#lastFetch?.ok !== true) throw this.#unreachable();
    const kid = header.kid ?? '';
    if (this.#absent.has(kid)) throw this.#notPublished();
    if (this.#unknown.size < MAX_UNKNOWN) this.#unknown.add(kid);
    throw this.#notAskedYet(kid, this.#lastFetch.endedMs);
  }

  #notPublished(): GatewayError {
    return new GatewayError(
      'TOKEN_SIGNATURE_INVALID',
      `Your token is signed with a key that its issuer ${this.#options.issuer.issuer} does not publish. Get a new token.`,
    );
  }

  #unreachable(): GatewayError {
    return new GatewayError(
      'ISSUER_UNREACHABLE',
      `The gateway cannot fetch the keys of the token issuer ${this.#options.issuer.issuer} now; try again shortly.`,
      { retryAfterMs: RETRY_MS },
    );
  }

  #notAskedYet(kid: string, fetchedMs: number): GatewayError {
    const { clock, cooldownMs, issuer } = this.#options;
    const leftMs = Math.max(1, fetchedMs + cooldownMs - clock.now());
    return new GatewayError(
      'TOKEN_KEY_UNKNOWN',
      `Your token is signed with the key ${JSON.stringify(kid.slice(0, SHOWN_KID))}, which the gateway has not seen so far: it asks the issuer ${issuer.issuer} for its keys again in ${Math.ceil(leftMs / 1000)} s. The client tries again by itself.`,
      { retryAfterMs: leftMs },
    );
  }

  async #select(header: JWSHeaderParameters): Promise<readonly Candidate[]> {
    const found: Candidate[] = [];
    const nowMs = this.#options.clock.now();
    for (const key of this.#keys?.values() ?? []) {
      if (key.goodUntilMs <= nowMs) continue;
      if (header.kid !== undefined && key.kid !== header.kid) continue;
      try {
        found.push({ key, cryptoKey: await key.cryptoKey(header) });
      } catch (error) {
        // A key of another kind, or one that cannot be used: the others may do.
        if (!(error instanceof errors.JWKSNoMatchingKey)) {
          this.#options.logger.warn({ err: error, kid: key.kid }, 'an issuer publishes a bad key');
        }
      }
      if (found.length === MAX_CANDIDATES) break;
    }
    return found;
  }

  #mayFetch(): boolean {
    if (!this.#lastFetch) return true;
    const pause = this.#lastFetch.ok ? this.#options.cooldownMs : RETRY_MS;
    return this.#options.clock.now() - this.#lastFetch.endedMs >= pause;
  }

  /** One fetch at a time, shared by all who ask. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#load().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #load(): Promise<void> {
    const { issuer, fetchKeys, clock, logger, onFetch, refreshMs } = this.#options;
    let ok = false;
    const asked = this.#unknown;
    this.#unknown = new Set();
    try {
      const { keys } = await fetchKeys(issuer, this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      this.#absent = new Set([...asked, ...this.#replace(keys)]);
      this.#problem = undefined;
      ok = true;
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#problem = reasonOf(error);
      logger.warn(
        { err: error, issuer: issuer.issuer, keysKnown: this.#keys?.size ?? 0 },
        'cannot fetch the keys of a token issuer; those that are known stay in use',
      );
    }
    this.#lastFetch = { endedMs: clock.now(), ok };
    if (ok) this.#fetchedAtMs = this.#lastFetch.endedMs;
    onFetch(issuer.issuer, ok);
    this.#timer?.cancel();
    this.#timer = clock.setTimer(ok ? refreshMs : Math.min(RETRY_MS, refreshMs), () => {
      void this.#fetch();
    });
  }

  /**
   * A key that is published unchanged keeps its object, and so what was verified with it. Returns the ids
   * of those that are published no longer.
   */
  #replace(published: readonly JWK[]): readonly string[] {
    const before = this.#keys;
    const now = new Map<string, SigningKey>();
    const goodUntilMs = this.#options.clock.now() + this.#options.greatestAgeMs;
    for (const jwk of published) {
      // Never a shared secret: a token could be signed with what everyone can read.
      if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk)) continue;
      if (jwk.kty === 'oct') continue;
      const content = JSON.stringify(Object.entries(jwk).toSorted(([a], [b]) => (a < b ? -1 : 1)));
      const key = before?.get(content) ?? signingKey(jwk);
      key.goodUntilMs = goodUntilMs;
      now.set(content, key);
    }
    const withdrawn = [...(before ?? [])].filter(([content]) => !now.has(content));
    for (const [, key] of withdrawn) key.published = false;
    this.#keys = now;
    return withdrawn.map(([, { kid }]) => kid ?? '');
  }
}

function signingKey(jwk: JWK): SigningKey {
  const cryptoKey = createLocalJWKSet({ keys: [jwk] });
  return { kid: jwk.kid, published: true, goodUntilMs: 0, cryptoKey };
}

// Fetches an issuer's keys: its discovery document, then the key set that the document names.
