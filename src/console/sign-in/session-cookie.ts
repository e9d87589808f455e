/** The console's session: the access token, sealed in a cookie. Who it stands for is verified at each request. */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import type {
  IdentifiableRequest,
  Identification,
  Identified,
  TokenVerification,
} from '../../model/administration.js';
import type { Clock } from '../../model/clock.js';
import { GatewayError } from '../../model/errors.js';
import { clearPieces, type CookieScope, cookiesOf, joinPieces, setInPieces } from './cookies.js';
import { refuseOtherSites } from './other-sites.js';
import type { Sealer } from './sealer.js';

export interface SessionCookieOptions {
  readonly sealer: Sealer;
  readonly tokens: TokenVerification;
  /** Where browsers find the console. */
  readonly publicUrl: URL;
  /** A session ends after this time, or with its token. */
  readonly ttlMs: number;
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
    this.#name = `${secure ? '__Host-' : ''}spark-console`;
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

  /** `set-cookie` headers that end the session in this browser. */
  end(): string[] {
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
    return { token, forgeryToken, goodUntilMs: (exp ?? 0) * 1000 };
  }
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
