/** The admin API's addresses that show something. */
import { json } from '../lib/http/answer.js';
import type { Exchange, Handler, Routes } from '../lib/http/router.js';
import type { LoginView } from '../model/admin-api.js';
import { GatewayError } from '../model/errors.js';
import { principalKey, type Principal } from '../model/principal.js';
import { explainBody } from './explain-request.js';
import type { Gatekeeper } from './gatekeeper.js';
import type { ConsoleSources } from './console-sources.js';
import { driverDetail, driverEvents, driverViews } from './views/driver-views.js';
import {
  envoyViews,
  sidecarViews,
  policyHistoryView,
  policyView,
  shadowView,
} from './views/envoy-views.js';
import { poolViews } from './views/pool-views.js';
import { problemViews, statusView } from './views/status-view.js';
import { sessionView, sessionViews } from './views/session-views.js';

export const API_ROOT = '/api/v1';

export function readRoutes(sources: ConsoleSources, gatekeeper: Gatekeeper): Routes {
  const shown = (read: (exchange: Exchange) => unknown): Handler => {
    return async (exchange) => {
      await gatekeeper.admit(exchange, 'read');
      return json(await read(exchange));
    };
  };
  const oneDiffOf = oneAtATime();
  return {
    [`GET ${API_ROOT}/status`]: shown(() => statusView(sources)),
    [`GET ${API_ROOT}/sessions`]: shown(({ query }) =>
      sessionViews(
        sources,
        filterOf(query, ['team', 'environment', 'namespace', 'principal', 'driver']),
      ),
    ),
    [`GET ${API_ROOT}/sessions/{id}`]: shown(({ parameters: { id = '' } }) =>
      known(sessionView(sources, id), 'SESSION_UNKNOWN', `There is no session ${id}.`),
    ),
    [`GET ${API_ROOT}/drivers`]: shown(({ query }) =>
      driverViews(sources, filterOf(query, ['namespace', 'phase'])),
    ),
    [`GET ${API_ROOT}/drivers/{uid}`]: shown(async ({ parameters: { uid = '' } }) => {
      const detail = driverDetail(sources, uid);
      const found = known(detail, 'DRIVER_UNKNOWN', `There is no driver ${uid}.`);
      return { ...found, ...(await driverEvents(sources, uid)) };
    }),
    [`GET ${API_ROOT}/pools`]: shown(() => poolViews(sources)),
    [`GET ${API_ROOT}/envoys`]: shown(() => envoyViews(sources)),
    [`GET ${API_ROOT}/problems`]: shown(() => problemViews(sources.problems())),
    [`GET ${API_ROOT}/sidecars`]: shown(() => sidecarViews(sources)),
    [`GET ${API_ROOT}/policy`]: shown(() => policyView(sources)),
    // It changes nothing: what is asked about has no room in an address.
    [`POST ${API_ROOT}/policy/explain`]: async (exchange) => {
      const { caller } = await gatekeeper.admit(exchange, 'read');
      const policy = sources.policy();
      return json(explainBody(await exchange.body(), caller, policy));
    },
    [`POST ${API_ROOT}/policy/diff`]: async (exchange) => {
      const { caller } = await gatekeeper.admit(exchange, 'read');
      return oneDiffOf(caller.principal, async () =>
        json(await sources.diffPolicy((await exchange.body()).toString('utf8'), exchange.signal)),
      );
    },
    [`GET ${API_ROOT}/policy/shadow`]: shown(() => shadowView(sources)),
    [`GET ${API_ROOT}/policy/history`]: shown(() => policyHistoryView(sources)),
  };
}

/** With whom the command line logs people in; for anyone, as who has no token yet asks. undefined: with nobody. */
export function loginRoutes(login: LoginView | undefined): Routes {
  return login === undefined ? {} : { [`GET ${API_ROOT}/login`]: () => json(login) };
}

/** Refuses what the same principal has under way already. */
function oneAtATime(): <T>(principal: Principal, act: () => Promise<T>) => Promise<T> {
  const busy = new Set<string>();
  return async (principal, act) => {
    const key = principalKey(principal);
    if (busy.has(key)) {
      throw new GatewayError(
        'POLICY_DIFF_BUSY',
        'You are having a policy compared already: wait for its answer.',
        { retryAfterMs: 5_000 },
      );
    }
    busy.add(key);
    try {
      return await act();
    } finally {
      busy.delete(key);
    }
  };
}

function known<T>(
  found: T | undefined,
  code: 'SESSION_UNKNOWN' | 'DRIVER_UNKNOWN',
  message: string,
): T {
  if (found === undefined) throw new GatewayError(code, message);
  return found;
}

/** A filter that is not known would show what it was to hide, so it is refused. */
function filterOf<Name extends string>(
  query: URLSearchParams,
  names: readonly Name[],
): Partial<Record<Name, string>> {
  const filter: Partial<Record<Name, string>> = {};
  for (const [key, value] of query) {
    const name = names.find((candidate) => candidate === key);
    if (name === undefined || filter[name] !== undefined) {
      throw new GatewayError(
        'ARGUMENT_INVALID',
        `"${key.slice(0, 100)}" is no filter here, or is given twice; there are ${names.join(', ')}.`,
      );
    }
    filter[name] = value;
  }
  return filter;
}
