/** The keys that one issuer publishes, kept up to date. */
import {
  createLocalJWKSet,
  errors,
  type CryptoKey,
  type JWK,
  type JWSHeaderParameters,
  type JSONWebKeySet,
} from 'jose';
import type { Logger } from 'pino';
import { isLoopback } from '../../model/address.js';
import type { Clock, Timer } from '../../model/clock.js';
import { GatewayError, reasonOf } from '../../model/errors.js';
import { isObject } from '../../model/json.js';
import type { IssuerPolicy } from '../../model/policy.js';

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
}

/** How soon a failed fetch is tried again; also the least time between two that requests ask for. */
const RETRY_MS = 2_000;
/** More keys than any issuer has; bounds the work that a token without a key id can cause. */
const MAX_CANDIDATES = 8;
const LONGEST_REASON = 300;

/** One published key. */
export interface SigningKey {
  readonly kid: string | undefined;
  /** False once the issuer no longer publishes it. */
  published: boolean;
  /** Rejects with JWKSNoMatchingKey if the key is not made for the header's algorithm. */
  readonly cryptoKey: (header: JWSHeaderParameters) => Promise<CryptoKey>;
}

export interface Candidate {
  readonly key: SigningKey;
  readonly cryptoKey: CryptoKey;
}

/**
 * Keys that are known go on being served while the issuer is down. An unknown key id asks for one
 * fetch, which all who wait share, and not again before the cool-down is over.
 */
export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  readonly #closing = new AbortController();
  /** By the key's content; undefined until the first fetch succeeded. */
  #keys: Map<string, SigningKey> | undefined;
  #fetching: Promise<void> | undefined;
  #lastFetch: { readonly endedMs: number; readonly ok: boolean } | undefined;
  #fetchedAtMs: number | undefined;
  #failure: string | undefined;
  #timer: Timer | undefined;

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

  /** When a fetch last succeeded. */
  get fetchedAtMs(): number | undefined {
    return this.#fetchedAtMs;
  }

  /** Why the last fetch failed, in one line; undefined: it did not, or none has ended. */
  get failure(): string | undefined {
    return this.#failure;
  }

  close(): void {
    this.#closing.abort();
    this.#timer?.cancel();
    for (const key of this.#keys?.values() ?? []) key.published = false;
  }

  /**
   * The keys that may have signed a token with this header. Throws ISSUER_UNREACHABLE when they
   * cannot be had, TOKEN_SIGNATURE_INVALID when the issuer publishes none such.
   */
  async find(header: JWSHeaderParameters): Promise<readonly Candidate[]> {
    const known = await this.#select(header);
    if (known.length > 0) return known;
    if (this.#fetching || this.#mayFetch()) {
      await this.#fetch();
      const fetched = await this.#select(header);
      if (fetched.length > 0) return fetched;
    }
    const { issuer } = this.#options.issuer;
    if (this.#lastFetch?.ok !== true) {
      throw new GatewayError(
        'ISSUER_UNREACHABLE',
        `The gateway cannot fetch the keys of the token issuer ${issuer} now; try again shortly.`,
        { retryAfterMs: RETRY_MS },
      );
    }
    throw new GatewayError(
      'TOKEN_SIGNATURE_INVALID',
      `Your token is signed with a key that its issuer ${issuer} does not publish. Get a new token.`,
    );
  }

  async #select(header: JWSHeaderParameters): Promise<readonly Candidate[]> {
    const found: Candidate[] = [];
    for (const key of this.#keys?.values() ?? []) {
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
    try {
      const { keys } = await fetchKeys(issuer, this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      this.#replace(keys);
      this.#failure = undefined;
      ok = true;
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#failure = reasonOf(error).replaceAll(/\s+/g, ' ').slice(0, LONGEST_REASON);
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

  /** A key that is published unchanged keeps its object, and so what was verified with it. */
  #replace(published: readonly JWK[]): void {
    const before = this.#keys;
    const now = new Map<string, SigningKey>();
    for (const jwk of published) {
      // Never a shared secret: a token could be signed with what everyone can read.
      if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk)) continue;
      if (jwk.kty === 'oct') continue;
      const content = JSON.stringify(Object.entries(jwk).toSorted(([a], [b]) => (a < b ? -1 : 1)));
      now.set(content, before?.get(content) ?? signingKey(jwk));
    }
    for (const [content, key] of before ?? []) {
      if (!now.has(content)) key.published = false;
    }
    this.#keys = now;
  }
}

function signingKey(jwk: JWK): SigningKey {
  return { kid: jwk.kid, published: true, cryptoKey: createLocalJWKSet({ keys: [jwk] }) };
}

// Fetches an issuer's keys: its discovery document, then the key set that the document names.

/** Resolves with the issuer's current keys; rejects with an Error that says what is wrong. */
export type FetchKeys = (issuer: IssuerPolicy, signal: AbortSignal) => Promise<JSONWebKeySet>;

/** No discovery document or key set comes near this size. */
const MAX_BYTES = 1024 * 1024;
const TIMEOUT_MS = 5_000;

/** OpenID Connect Discovery 1.0, section 4. */
export const fetchKeysOverHttp: FetchKeys = async (issuer, signal) => {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const keySet = await fetchJson(issuer.jwksUri ?? (await discover(issuer, limited)), limited);
  if (!Array.isArray(keySet['keys'])) throw new Error('The key set has no list "keys".');
  return { keys: keySet['keys'] };
};

async function discover(issuer: IssuerPolicy, signal: AbortSignal): Promise<string> {
  const url =
    issuer.discoveryUrl ?? `${issuer.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document = await fetchJson(url, signal);
  if (document['issuer'] !== issuer.issuer) {
    throw new Error(
      `The discovery document at ${url} is of issuer ${JSON.stringify(document['issuer'])}, not ${JSON.stringify(issuer.issuer)}.`,
    );
  }
  const jwksUri = document['jwks_uri'];
  if (typeof jwksUri !== 'string') {
    throw new Error(`The discovery document at ${url} has no jwks_uri.`);
  }
  return jwksUri;
}

async function fetchJson(url: string, signal: AbortSignal): Promise<Record<string, unknown>> {
  const { protocol, hostname } = new URL(url);
  if (protocol !== 'https:' && !(protocol === 'http:' && isLoopback(hostname))) {
    throw new Error(`${url} is not an https URL; http is accepted on loopback only.`);
  }
  const response = await fetch(url, {
    signal,
    redirect: 'error',
    headers: { accept: 'application/json' },
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${url} answered with status ${response.status}.`);
  }
  const parsed: unknown = JSON.parse(await bodyText(response, url));
  if (!isObject(parsed)) throw new Error(`${url} answered with something other than an object.`);
  return parsed;
}

async function bodyText(response: Response, url: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_BYTES) throw new Error(`${url} answered with more than ${MAX_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
