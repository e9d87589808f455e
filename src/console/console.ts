/** The console: the page, its sign-in, and what it is kept up to date by. */
import { json } from '../lib/http/answer.js';
import type { Assets } from '../lib/http/assets.js';
import type { Handler, Routes } from '../lib/http/router.js';
import type { MeView, RequestSample } from '../model/admin-api.js';
import { type Clock, isoTime } from '../model/clock.js';
import { forSignedIn, type SignIn } from '../sign-in/create.js';
import type { SignInPage } from '../sign-in/sign-in.js';
import { API_ROOT } from './read-routes.js';
import type { Gatekeeper } from './gatekeeper.js';
import { Events } from './live/events.js';
import { History } from './live/history.js';
import { LiveState } from './live/live-state.js';
import type { RecentActions } from './live/requests.js';
import type { ConsoleSources } from './console-sources.js';

export const consolePage: SignInPage = {
  name: 'the console',
  product: 'Spark Connect gateway',
  cookie: 'spark-console',
};

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
  const page = forSignedIn(
    (exchange) => gatekeeper.identify(exchange),
    () => assets.page(),
  );
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
