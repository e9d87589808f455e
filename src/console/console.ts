/** The console: the page, its sign-in, and what it is kept up to date by. */
import type { Logger } from 'pino';
import { json } from '../lib/http/answer.js';
import type { Assets } from '../lib/http/assets.js';
import type { Exchange, Handler, Routes } from '../lib/http/router.js';
import type { MeView, RequestSample } from '../model/admin-api.js';
import type { TokenVerification } from '../model/administration.js';
import { type Clock, isoTime } from '../model/clock.js';
import { toGatewayError } from '../model/errors.js';
import { API_ROOT } from './read-routes.js';
import type { Gatekeeper } from './gatekeeper.js';
import { Events } from './live/events.js';
import { History } from './live/history.js';
import { LiveState } from './live/live-state.js';
import type { RecentActions } from './live/requests.js';
import type { EndedSessions } from './sign-in/ended-sessions.js';
import { Provider } from './sign-in/provider.js';
import { CALLBACK_PATH, SIGN_IN_PATH, signInRoutes } from './sign-in/sign-in.js';
import { Sealer, SessionCookie } from './sign-in/session-cookie.js';
import type { ConsoleSources } from './console-sources.js';

export interface SignInSettings {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string | undefined;
  readonly scope: string;
  /** Where browsers find the console, without a path. */
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
    readonly ended: EndedSessions;
    readonly clock: Clock;
    readonly logger: Logger;
  },
): SignIn {
  const { publicUrl, secret, sessionTtlMs: ttlMs } = settings;
  const { tokens, ended, clock, logger } = parts;
  const sealer = new Sealer(secret, clock);
  const session = new SessionCookie({ sealer, tokens, publicUrl, ttlMs, ended, clock });
  const provider = new Provider({
    ...settings,
    redirectUri: `${publicUrl.origin}${CALLBACK_PATH}`,
  });
  return {
    session,
    routes: signInRoutes({ provider, sealer, session, publicUrl, clock, logger }),
  };
}

export interface ConsoleOptions {
  readonly sources: ConsoleSources;
  readonly gatekeeper: Gatekeeper;
  readonly signIn: SignIn;
  readonly assets: Assets;
  readonly actions: RecentActions;
  readonly takeRequests: () => RequestSample | undefined;
  readonly clock: Clock;
}

export interface Console {
  readonly routes: Routes;
  close(): void;
}

/** Each has a view of its own on the page, which draws it from the address. */
const VIEWS = [
  '/',
  '/sessions',
  '/sessions/{id}',
  '/drivers',
  '/drivers/{uid}',
  '/pools',
  '/pools/{namespace}',
  '/envoys',
  '/policy',
  '/policy/history',
  '/policy/explain',
  '/policy/try',
  '/policy/shadow',
  '/activity',
];

export function createConsole(options: ConsoleOptions): Console {
  const { sources, gatekeeper, signIn, assets, actions, takeRequests, clock } = options;
  const history = new History({ sources, takeRequests, clock });
  const state = new LiveState({ sources, history, actions });
  const events = new Events({ state, gatekeeper, clock });
  history.take();
  history.start();

  const me: Handler = async (exchange) => {
    const { caller, role, goodUntilMs } = await gatekeeper.identify(exchange);
    const forgeryToken = await signIn.session.forgeryToken(exchange);
    return json({
      principal: caller.principal,
      groups: caller.groups,
      role,
      goodUntil: isoTime(goodUntilMs),
      ...(forgeryToken === undefined ? {} : { forgeryToken }),
    } satisfies MeView);
  };
  const page: Handler = async (exchange) => {
    try {
      await gatekeeper.identify(exchange);
    } catch (error) {
      if (!wantsSignIn(error)) throw error;
      const query = new URLSearchParams({ return_to: addressOf(exchange) });
      const location = `${SIGN_IN_PATH}?${query.toString()}`;
      return { status: 303, headers: { location }, body: '' };
    }
    return assets.page();
  };
  return {
    routes: {
      ...signIn.routes,
      ...assets.routes(),
      ...events.routes(),
      ...Object.fromEntries(VIEWS.map((path) => [`GET ${path}`, page])),
      [`GET ${API_ROOT}/me`]: me,
      [`GET ${API_ROOT}/history`]: async (exchange) => {
        await gatekeeper.admit(exchange, 'read');
        return json(history.view());
      },
    },
    close() {
      history.stop();
      events.close();
    },
  };
}

/** No token, or one that is over or was refused: another one may do. */
function wantsSignIn(error: unknown): boolean {
  return toGatewayError(error).code.startsWith('TOKEN_');
}

function addressOf({ path, query }: Exchange): string {
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}
