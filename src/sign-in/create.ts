/** How people sign in to a page of ours, and what they see while they have not. */
import type { Logger } from 'pino';
import type { Answer } from '../lib/http/answer.js';
import type { Exchange, Handler, Routes } from '../lib/http/router.js';
import type { TokenVerification } from '../model/administration.js';
import type { Clock } from '../model/clock.js';
import { toGatewayError } from '../model/errors.js';
import { EndedSessions } from './ended-sessions.js';
import { Provider } from './provider.js';
import { Sealer, SessionCookie } from './session-cookie.js';
import { CALLBACK_PATH, SIGN_IN_PATH, type SignInPage, signInRoutes } from './sign-in.js';

export interface SignInSettings {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string | undefined;
  readonly scope: string;
  readonly page: SignInPage;
  /** Where browsers find it, without a path. */
  readonly publicUrl: URL;
  /** Seals the cookies; the same for all replicas. */
  readonly secret: Uint8Array;
  readonly sessionTtlMs: number;
}

export interface SignIn {
  readonly session: SessionCookie;
  readonly routes: Routes;
}

/** Sign-in with an OpenID Connect issuer. Its cookie says who asks, beside the bearer token. */
export function createSignIn(
  settings: SignInSettings,
  parts: {
    readonly tokens: TokenVerification;
    /** What other replicas know, too. Default: what this process ends. */
    readonly ended?: EndedSessions;
    readonly clock: Clock;
    readonly logger: Logger;
  },
): SignIn {
  const { page, publicUrl, secret, sessionTtlMs: ttlMs } = settings;
  const { tokens, clock, logger, ended = new EndedSessions(clock) } = parts;
  const sealer = new Sealer(secret, clock);
  const session = new SessionCookie({
    sealer,
    tokens,
    cookie: page.cookie,
    publicUrl,
    ttlMs,
    ended,
    clock,
  });
  const provider = new Provider({
    ...settings,
    redirectUri: `${publicUrl.origin}${CALLBACK_PATH}`,
  });
  return {
    session,
    routes: signInRoutes({ provider, sealer, session, page, publicUrl, clock, logger }),
  };
}

/** Whoever `identify` does not know is led to the sign-in, and from there back to what they asked for. */
export function forSignedIn(
  identify: (exchange: Exchange) => Promise<unknown>,
  show: () => Answer,
): Handler {
  return async (exchange) => {
    try {
      await identify(exchange);
    } catch (error) {
      if (!wantsSignIn(error)) throw error;
      const query = new URLSearchParams({ return_to: addressOf(exchange) });
      const location = `${SIGN_IN_PATH}?${query.toString()}`;
      return { status: 303, headers: { location }, body: '' };
    }
    return show();
  };
}

/** No token, or one that is over or was refused: another one may do. */
function wantsSignIn(error: unknown): boolean {
  return toGatewayError(error).code.startsWith('TOKEN_');
}

function addressOf({ path, query }: Exchange): string {
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}
