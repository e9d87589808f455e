/** The admin API's addresses that do something. Each is recorded, also when it is refused. */
import { type Answer, json } from '../lib/http/answer.js';
import { type Exchange, type Handler, type Routes, jsonBody } from '../lib/http/router.js';
import type { DriverAnswer, SessionAnswer } from '../model/admin-api.js';
import type { DriverOutcome, Operations, SessionOutcome } from '../model/administration.js';
import type { AdminAction, AuditSink } from '../model/audit.js';
import { type Clock, isoTime } from '../model/clock.js';
import { GatewayError, toGatewayError } from '../model/errors.js';
import type { Principal } from '../model/principal.js';
import { duration } from '../lib/yaml/text-types.js';
import { API_ROOT } from './read-routes.js';
import type { Gatekeeper } from './gatekeeper.js';

export interface ActionOptions {
  readonly operations: Operations;
  readonly gatekeeper: Gatekeeper;
  readonly audit: Pick<AuditSink, 'adminAction'>;
  readonly clock: Clock;
}

/** What an action did, and what is worth recording of it. */
interface Done {
  readonly answer: unknown;
  readonly detail?: AdminAction['detail'];
}

type Action = (object: string, exchange: Exchange, by: Principal) => Promise<Done>;

export function actionRoutes(options: ActionOptions): Routes {
  const { operations, clock } = options;
  return {
    [`POST ${API_ROOT}/drivers/{id}/drain`]: recorded(
      options,
      'driver.drain',
      'admin',
      async (uid, exchange, by) => {
        const deadlineMs = deadlineOf(
          jsonBody(await exchange.body(), ['deadline']).deadline,
          clock.now(),
        );
        const outcome = await operations.drain(uid, deadlineMs, by);
        return {
          answer: driverAnswer(outcome),
          ...(deadlineMs === undefined ? {} : { detail: { deadline: isoTime(deadlineMs) } }),
        };
      },
    ),
    [`POST ${API_ROOT}/drivers/{id}/undrain`]: recorded(
      options,
      'driver.undrain',
      'admin',
      async (uid, _exchange, by) => ({
        answer: driverAnswer(await operations.undrain(uid, by)),
      }),
    ),
    [`POST ${API_ROOT}/drivers/{id}/evict`]: recorded(
      options,
      'driver.evict',
      'admin',
      async (uid, _exchange, by) => ({
        answer: driverAnswer(await operations.evict(uid, by)),
      }),
    ),
    [`POST ${API_ROOT}/sessions/{id}/release`]: recorded(
      options,
      'session.release',
      'admin',
      async (id, _exchange, by) => ({ answer: sessionAnswer(await operations.release(id, by)) }),
    ),
  };
}

/** @param needed `own`: whoever is known may try; `act` finds out whether it is theirs. */
export function recorded(
  options: ActionOptions,
  action: string,
  needed: 'admin' | 'own',
  act: Action,
): Handler {
  const { gatekeeper, audit } = options;
  return async (exchange): Promise<Answer> => {
    const id = exchange.parameters['id'] ?? '';
    let principal: Principal | undefined;
    const record = (outcome: AdminAction['outcome'], rest: Partial<AdminAction>) =>
      audit.adminAction({
        principal,
        action,
        // The path of a request is its client's own text as long as nobody known has sent it.
        object: principal ? id : '',
        outcome,
        ...(exchange.client === undefined ? {} : { client: exchange.client }),
        ...rest,
      });
    try {
      const { caller } = await gatekeeper.identify(exchange);
      principal = caller.principal;
      if (needed === 'admin') await gatekeeper.admit(exchange, 'admin');
      const { answer, detail } = await act(id, exchange, principal);
      record('done', detail ? { detail } : {});
      return json(answer);
    } catch (error) {
      const { code } = toGatewayError(error);
      const inDoubt = code === 'INTERNAL' || code === 'CONTROL_PLANE_UNAVAILABLE';
      record(inDoubt ? 'failed' : 'refused', { code });
      throw error;
    }
  };
}

function driverAnswer({ uid, phase, sessions, drainDeadlineMs }: DriverOutcome): DriverAnswer {
  return {
    uid,
    phase,
    sessions,
    ...(drainDeadlineMs === undefined ? {} : { drainDeadline: isoTime(drainDeadlineMs) }),
  };
}

export function sessionAnswer({
  sessionId,
  driverUid,
  end,
  endedAtMs,
}: SessionOutcome): SessionAnswer {
  return { id: sessionId, driver: driverUid, state: 'ended', end, endedAt: isoTime(endedAtMs) };
}

/** RFC 3339; without a zone a time would mean another moment on another machine. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

const spans = duration('1s');

function deadlineOf(deadline: unknown, nowMs: number): number | undefined {
  if (deadline === undefined || deadline === null) return undefined;
  // A duration is counted by this clock: that of whoever asks may be wrong.
  const spanMs = typeof deadline === 'string' ? spans.parse(deadline, '') : undefined;
  if (spanMs !== undefined) return nowMs + spanMs;
  const deadlineMs =
    typeof deadline === 'string' && TIME.test(deadline) ? Date.parse(deadline) : Number.NaN;
  if (Number.isNaN(deadlineMs)) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      '"deadline" must be a time such as "2030-01-31T18:00:00Z", or a duration from now such as "10m".',
    );
  }
  if (deadlineMs <= nowMs) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      `"deadline" is over; it is ${isoTime(nowMs)} now. To end the driver with its sessions, evict it.`,
    );
  }
  return deadlineMs;
}
