/** `sessions`. */
import type { EndedSessionView, SessionView } from '../../model/admin-api.js';
import { since, renderFields, type Shown, type Column, renderTable } from '../render.js';
import { type OnlineContext, queryOf } from '../admin-client.js';
import { sessionIds, shortIds, wholeId } from '../ids.js';
import { driverNamed } from './drivers.js';

export async function sessions(context: OnlineContext): Promise<Shown> {
  const [id] = context.operands;
  return id === undefined ? listOf(context) : one(context, id);
}

/** The id of a session, live or remembered, of which the first characters may be written if it lives. */
export async function sessionNamed({ client }: OnlineContext, written: string): Promise<string> {
  if (UUID.test(written)) return written.toLowerCase();
  const live = await client.get<readonly SessionView[]>('sessions');
  const ids = live.map(({ id }) => id);
  return wholeId(written, ids, sessionIds);
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

async function listOf(context: OnlineContext): Promise<Shown> {
  const query = queryOf(context, ['team', 'environment', 'namespace', 'principal']);
  const driver = context.options.get('driver');
  if (driver !== undefined) query['driver'] = (await driverNamed(context, driver)).uid;
  const found = await context.client.get<readonly SessionView[]>('sessions', query);
  return {
    value: found,
    people: (style) =>
      renderTable(columns(found, style.wide, context.now()), found, style, 'There is no session.'),
  };
}

function columns(
  found: readonly SessionView[],
  wide: boolean,
  nowMs: number,
): readonly Column<SessionView>[] {
  const sessionId = wide ? same : shortIds(found.map(({ id }) => id));
  const driverId = wide ? same : shortIds(found.map(({ driver }) => driver));
  return [
    { title: 'SESSION', value: ({ id }) => sessionId(id) },
    { title: 'PRINCIPAL', value: ({ principal }) => principal.subject },
    { title: 'TEAM', value: ({ team }) => team },
    { title: 'ENVIRONMENT', value: ({ environment }) => environment },
    { title: 'DRIVER', value: ({ driver }) => driverId(driver) },
    { title: 'STATE', value: ({ state }) => state },
    { title: 'RUNNING', value: ({ runningQueries }) => String(runningQueries ?? '') },
    { title: 'IDLE', value: ({ lastActivityAt }) => since(lastActivityAt, nowMs) },
    { title: 'AGE', value: ({ createdAt }) => since(createdAt, nowMs) },
    { title: 'NAMESPACE', value: ({ namespace }) => namespace, wide: true },
    { title: 'ISSUER', value: ({ principal }) => principal.issuer, wide: true },
  ];
}

function same(id: string): string {
  return id;
}

async function one(context: OnlineContext, written: string): Promise<Shown> {
  const id = await sessionNamed(context, written);
  const session = await context.client.get<SessionView | EndedSessionView>(
    `sessions/${encodeURIComponent(id)}`,
  );
  return { value: session, people: () => renderFields(fields(session, context.now())) };
}

function fields(session: SessionView | EndedSessionView, nowMs: number) {
  const who = `${session.principal.subject} (${session.principal.issuer})`;
  const place = { session: session.id, principal: who, namespace: session.namespace };
  if (session.state === 'ended') {
    const ended = `${session.endedAt}, ${since(session.endedAt, nowMs)} ago: ${session.end}`;
    return { ...place, driver: session.driver, state: 'ended', ended };
  }
  return {
    ...place,
    team: session.team,
    environment: session.environment,
    driver: session.driver,
    state: session.state,
    created: `${session.createdAt}, ${since(session.createdAt, nowMs)} ago`,
    'last activity': `${session.lastActivityAt}, ${since(session.lastActivityAt, nowMs)} ago`,
    running: session.runningQueries === undefined ? undefined : `${session.runningQueries}`,
  };
}
