/** `sessions`. */
import type { EndedSessionView, SessionView } from '../../model/admin-api.js';
import { GatewayError } from '../../model/errors.js';
import { since, renderFields, type Shown, type Column } from '../render.js';
import { type OnlineCommand, type OnlineContext, queryOf } from '../command.js';
import { filter, namespacedList } from '../options.js';
import { sessionIds, shortIds, wholeId } from '../ids.js';
import { shownListing } from '../listing.js';
import { driverNamed } from './drivers.js';

export const sessions: OnlineCommand = {
  name: 'sessions',
  about: 'Who has a session, where, since when; with an id, one session.',
  operands: '[<session>]',
  options: [
    filter('team', 'Only those of this team.'),
    filter('environment', 'Only those in this environment.'),
    filter('principal', 'Only those of this person or service.'),
    { name: 'driver', value: 'driver', about: 'Only those on this driver.' },
    { name: 'mine', about: 'Only your own; needs no role.' },
    ...namespacedList,
  ],
  settingsOf: 'operator',
  online: true,
  show: listOrOne,
};

async function listOrOne(context: OnlineContext): Promise<Shown> {
  const [id] = context.operands;
  return id === undefined ? listOf(context) : one(context, id);
}

/** The id of a session, live or remembered, of which the first characters may be written if it lives. */
export async function sessionNamed(
  { client }: Pick<OnlineContext, 'client'>,
  written: string,
): Promise<string> {
  if (UUID.test(written)) return written.toLowerCase();
  const live = await listed(client, {});
  const ids = live.map(({ id }) => id);
  return wholeId(written, ids, sessionIds);
}

/** One's own sessions, which everybody may see. */
export function ownSessions({
  client,
}: Pick<OnlineContext, 'client'>): Promise<readonly SessionView[]> {
  return client.get<readonly SessionView[]>('me/sessions');
}

/** All sessions, or one's own for somebody who may see no more. */
async function listed(
  client: OnlineContext['client'],
  query: Readonly<Record<string, string>>,
): Promise<readonly SessionView[]> {
  try {
    return await client.get<readonly SessionView[]>('sessions', query);
  } catch (error) {
    if (!isRefused(error) || Object.keys(query).length > 0) throw error;
    return ownSessions({ client });
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'ADMINISTRATION_REFUSED';
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

async function listOf(context: OnlineContext): Promise<Shown> {
  const query = queryOf(context, ['team', 'environment', 'namespace', 'principal']);
  const driver = context.options.get('driver');
  if (driver !== undefined) query['driver'] = (await driverNamed(context, driver)).uid;
  const mine = context.options.has('mine');
  const found = mine ? await ownSessions(context) : await listed(context.client, query);
  return shownListing(context, {
    kind: 'session',
    rows: found,
    nameOf: ({ id }) => id,
    columns: (rows, { wide }) => columns(rows, wide, context.now()),
    nothing: 'There is no session.',
  });
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
  const session = await shown(context, id);
  return {
    value: session,
    names: [`session/${id}`],
    people: () => renderFields(fields(session, context.now())),
  };
}

async function shown(context: OnlineContext, id: string): Promise<SessionView | EndedSessionView> {
  try {
    return await context.client.get(`sessions/${encodeURIComponent(id)}`);
  } catch (error) {
    const own = isRefused(error) ? await ownSessions(context) : [];
    const found = own.find((session) => session.id === id);
    if (found) return found;
    throw error;
  }
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
