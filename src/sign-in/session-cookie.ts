/** The session of a person at a page: the access token, sealed in a cookie. Who it stands for is verified at each request. */
import { randomBytes, timingSafeEqual, hkdfSync } from 'node:crypto';
import { EncryptJWT, errors, jwtDecrypt, type JWTPayload } from 'jose';
import type {
  IdentifiableRequest,
  Identification,
  Identified,
  TokenVerification,
} from '../model/administration.js';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import type { EndedSessions } from './ended-sessions.js';

export interface SessionCookieOptions {
  readonly sealer: Sealer;
  readonly tokens: TokenVerification;
  /** Its name: pages on the same host, at whatever port, share their cookies. */
  readonly cookie: string;
  /** Where browsers find the page. */
  readonly publicUrl: URL;
  /** A session ends after this time, or with its token. */
  readonly ttlMs: number;
  readonly ended: EndedSessions;
  readonly clock: Clock;
}

interface Session {
  readonly token: string;
  readonly forgeryToken: string;
  readonly goodUntilMs: number;
}

/** Requests that change something repeat the session's forgery token in it. */
const FORGERY_HEADER = 'x-spark-console-token';

const PURPOSE = 'session';

export class SessionCookie implements Identification {
  readonly #options: SessionCookieOptions;
  readonly #name: string;
  readonly #scope: CookieScope;

  constructor(options: SessionCookieOptions) {
    this.#options = options;
    const secure = options.publicUrl.protocol === 'https:';
    this.#scope = { secure, path: '/' };
    this.#name = `${secure ? '__Host-' : ''}${options.cookie}`;
  }

  /**
   * `set-cookie` headers for who has this access token. Rejects as the verification does, or with
   * TOKEN_EXPIRED or TOKEN_MALFORMED.
   */
  async begin(token: string): Promise<string[]> {
    const { sealer, tokens, clock, ttlMs } = this.#options;
    const { goodUntilMs: tokenEndsMs } = await tokens.verify(token);
    const now = clock.now();
    const goodUntilMs = Math.min(now + ttlMs, tokenEndsMs);
    if (goodUntilMs <= now) throw new GatewayError('TOKEN_EXPIRED', 'The token has expired.');
    const forgeryToken = randomBytes(18).toString('base64url');
    const sealed = await sealer.seal(PURPOSE, { token, forgeryToken }, goodUntilMs);
    const cookies = setInPieces(this.#name, sealed, this.#scope, goodUntilMs - now);
    if (cookies) return cookies;
    throw new GatewayError(
      'TOKEN_MALFORMED',
      `The access token has ${token.length} bytes, which is too long for cookies: let the issuer put fewer groups into it.`,
    );
  }

  /**
   * Ends the session that the request has: its cookie is no good any more, wherever a copy of it may be.
   * @returns `set-cookie` headers that remove it from this browser
   */
  async end(request: IdentifiableRequest): Promise<string[]> {
    const session = await this.#session(request);
    if (session) this.#options.ended.end(session.forgeryToken, session.goodUntilMs);
    return clearPieces(this.#name, this.#scope);
  }

  /** Rejects with CROSS_SITE_REQUEST when what would change something may come from elsewhere. */
  async identify(request: IdentifiableRequest): Promise<Identified | undefined> {
    const session = await this.#session(request);
    if (!session) return undefined;
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      refuseOtherSites(request, this.#options.publicUrl);
      const given = request.headers[FORGERY_HEADER];
      if (typeof given !== 'string' || !sameText(given, session.forgeryToken)) {
        throw new GatewayError(
          'CROSS_SITE_REQUEST',
          `With a cookie, this request needs the header ${FORGERY_HEADER}: load the page again.`,
        );
      }
    }
    const { caller, goodUntilMs } = await this.#options.tokens.verify(session.token);
    return { caller, goodUntilMs: Math.min(goodUntilMs, session.goodUntilMs) };
  }

  /** What the page must repeat; undefined without a session. */
  async forgeryToken(request: IdentifiableRequest): Promise<string | undefined> {
    return (await this.#session(request))?.forgeryToken;
  }

  async #session({ headers }: IdentifiableRequest): Promise<Session | undefined> {
    const sealed = joinPieces(this.#name, cookiesOf(headers['cookie']));
    const opened =
      sealed === undefined ? undefined : await this.#options.sealer.open(PURPOSE, sealed);
    const { token, forgeryToken, exp } = opened ?? {};
    if (typeof token !== 'string' || typeof forgeryToken !== 'string') return undefined;
    if (this.#options.ended.has(forgeryToken)) return undefined;
    return { token, forgeryToken, goodUntilMs: (exp ?? 0) * 1000 };
  }
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

// Cookies, RFC 6265bis: those of a request, and the headers that set them.

export interface CookieScope {
  /** Sent over https only. */
  readonly secure: boolean;
  readonly path: string;
}

/** Browsers keep at least 4,096 bytes for each cookie, with its name and attributes. */
const PIECE_LENGTH = 3_500;
/** 16 KiB of token, sealed, and less than a server's headers may have. */
const MAX_PIECES = 6;

/** By name; of several of one name the first counts, which has the most specific path. */
export function cookiesOf(header: string | readonly string[] | undefined): Map<string, string> {
  const cookies = new Map<string, string>();
  const text = typeof header === 'string' ? header : (header ?? []).join('; ');
  for (const pair of text.split(';')) {
    const at = pair.indexOf('=');
    const name = pair.slice(0, Math.max(at, 0)).trim();
    if (name !== '' && !cookies.has(name)) cookies.set(name, pair.slice(at + 1).trim());
  }
  return cookies;
}

/** `set-cookie` headers for a value that may be too long for one cookie. undefined: it is too long for all. */
export function setInPieces(
  name: string,
  value: string,
  scope: CookieScope,
  maxAgeMs: number,
): string[] | undefined {
  const count = Math.ceil(value.length / PIECE_LENGTH);
  if (count > MAX_PIECES) return undefined;
  return Array.from({ length: MAX_PIECES }, (_, at) => {
    const piece = value.slice(at * PIECE_LENGTH, (at + 1) * PIECE_LENGTH);
    return setCookie(pieceName(name, at), piece, scope, at < count ? maxAgeMs : 0);
  });
}

export function joinPieces(name: string, cookies: ReadonlyMap<string, string>): string | undefined {
  let joined = '';
  for (let at = 0; at < MAX_PIECES; at += 1) {
    const piece = cookies.get(pieceName(name, at));
    if (!piece) break;
    joined += piece;
  }
  return joined === '' ? undefined : joined;
}

function clearPieces(name: string, scope: CookieScope): string[] {
  return Array.from({ length: MAX_PIECES }, (_, at) =>
    setCookie(pieceName(name, at), '', scope, 0),
  );
}

/** Lax: sent when a link or an issuer leads here, never with a request that another site makes. */
export function setCookie(
  name: string,
  value: string,
  { secure, path }: CookieScope,
  maxAgeMs: number,
): string {
  const maxAge = Math.max(0, Math.floor(maxAgeMs / 1000));
  return `${name}=${value}; Path=${path}; Max-Age=${maxAge}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
}

function pieceName(name: string, at: number): string {
  return at === 0 ? name : `${name}.${at}`;
}

// Values that a browser keeps for us, and can neither read nor change.

/** Seals with AES-256-GCM. Replicas with the same secret open what another has sealed. */
export class Sealer {
  readonly #key: Uint8Array;
  readonly #clock: Clock;

  /** @param secret at least 32 random bytes */
  constructor(secret: Uint8Array, clock: Clock) {
    this.#key = new Uint8Array(hkdfSync('sha256', secret, '', 'console cookies', 32));
    this.#clock = clock;
  }

  /** `purpose` keeps a value from being taken for one of another kind. */
  seal(
    purpose: string,
    value: Readonly<Record<string, unknown>>,
    goodUntilMs: number,
  ): Promise<string> {
    return new EncryptJWT({ ...value })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .setAudience(purpose)
      .setExpirationTime(Math.floor(goodUntilMs / 1000))
      .encrypt(this.#key);
  }

  /** undefined for what was not sealed with this secret for this purpose, or is over. */
  async open(purpose: string, sealed: string): Promise<JWTPayload | undefined> {
    try {
      const { payload } = await jwtDecrypt(sealed, this.#key, {
        audience: purpose,
        requiredClaims: ['exp'],
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
        currentDate: new Date(this.#clock.now()),
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }
}

// Requests that a page of another site makes in the name of whoever is signed in.

/**
 * Rejects with CROSS_SITE_REQUEST unless the browser says that our own page makes the request:
 * https://www.w3.org/TR/fetch-metadata/ and RFC 6454.
 */
export function refuseOtherSites({ headers }: IdentifiableRequest, publicUrl: URL): void {
  const { origin } = headers;
  const site = headers['sec-fetch-site'];
  const sameOrigin = origin === undefined || origin === publicUrl.origin;
  const sameSite = site === undefined || site === 'same-origin';
  if (sameOrigin && sameSite && (origin !== undefined || site !== undefined)) return;
  throw new GatewayError(
    'CROSS_SITE_REQUEST',
    `With a cookie, this request is answered to pages of ${publicUrl.origin} only.`,
  );
}
