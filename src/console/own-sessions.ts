/** What everybody who is known may do, whatever their role: see and end their own sessions. */
import { json } from '../lib/http/answer.js';
import type { Routes } from '../lib/http/router.js';
import { GatewayError } from '../model/errors.js';
import { samePrincipal } from '../model/principal.js';
import { type ActionOptions, recorded, sessionAnswer } from './actions.js';
import { API_ROOT } from './read-routes.js';
import type { ConsoleSources } from './console-sources.js';
import { sessionViews } from './views/session-views.js';

export function ownSessionRoutes(
  sources: Pick<ConsoleSources, 'ledger' | 'fleet' | 'activity'>,
  options: ActionOptions,
): Routes {
  const { gatekeeper, operations } = options;
  return {
    [`GET ${API_ROOT}/me/sessions`]: async (exchange) => {
      const { caller } = await gatekeeper.identify(exchange);
      return json(
        sessionViews(sources).filter(({ principal }) => samePrincipal(principal, caller.principal)),
      );
    },
    [`POST ${API_ROOT}/me/sessions/{id}/release`]: recorded(
      options,
      'session.release',
      'own',
      async (id, _exchange, by) => {
        const record = sources.ledger.bySession(id);
        const owner = (record?.sessions[id] ?? record?.tombstones[id])?.principal;
        // One of somebody else is told as one that is not there.
        if (!owner || !samePrincipal(owner, by)) {
          throw new GatewayError('SESSION_UNKNOWN', `You have no session ${id}.`);
        }
        return { answer: sessionAnswer(await operations.release(id, by)) };
      },
    ),
  };
}
