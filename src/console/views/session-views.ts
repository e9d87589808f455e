/** Sessions as the admin API shows them. */
import type { EndedSessionView, SessionView } from '../../model/admin-api.js';
import type { DriverRecord, SessionRecord, Tombstone } from '../../model/driver.js';
import type { ConsoleSources, SeenActivity } from '../console-sources.js';
import { isoTime } from '../../model/clock.js';

/** Fields that a session must have; each is optional. */
export type SessionFilter = Partial<
  Record<'team' | 'environment' | 'namespace' | 'principal' | 'driver', string>
>;

type Sources = Pick<ConsoleSources, 'ledger' | 'fleet' | 'activity'>;

/** Live sessions, the oldest first. */
export function sessionViews(sources: Sources, filter: SessionFilter = {}): readonly SessionView[] {
  const answering = answeringDrivers(sources);
  return [...sources.ledger.all()]
    .flatMap((record) =>
      Object.values(record.sessions).map((session) =>
        liveView(record, session, answering.has(record.uid), sources.activity(session)),
      ),
    )
    .filter((view) => fits(view, filter))
    .toSorted((a, b) => compare(a.createdAt, b.createdAt) || compare(a.id, b.id));
}

/** A session that lives, or that is remembered. */
export function sessionView(
  sources: Sources,
  id: string,
): SessionView | EndedSessionView | undefined {
  const record = sources.ledger.bySession(id);
  const session = record?.sessions[id];
  if (record && session) {
    const answers = answeringDrivers(sources).has(record.uid);
    return liveView(record, session, answers, sources.activity(session));
  }
  const tombstone = record?.tombstones[id];
  return record && tombstone ? endedView(record, tombstone) : undefined;
}

function answeringDrivers({ fleet }: Pick<Sources, 'fleet'>): ReadonlySet<string> {
  const ready = fleet().drivers.filter(({ condition }) => condition === 'ready');
  return new Set(ready.map(({ uid }) => uid));
}

function liveView(
  record: DriverRecord,
  session: SessionRecord,
  driverAnswers: boolean,
  seen: SeenActivity | undefined,
): SessionView {
  return {
    id: session.sessionId,
    principal: session.principal,
    team: session.team,
    environment: session.environment,
    namespace: record.namespace,
    driver: record.uid,
    state: !driverAnswers ? 'unreachable' : record.phase === 'draining' ? 'draining' : 'live',
    createdAt: isoTime(session.createdAtMs),
    lastActivityAt: isoTime(seen?.lastActiveMs ?? session.lastActiveMs),
    ...(seen ? { runningQueries: seen.openStreams } : {}),
  };
}

function endedView(record: DriverRecord, tombstone: Tombstone): EndedSessionView {
  return {
    id: tombstone.sessionId,
    principal: tombstone.principal,
    namespace: tombstone.namespace,
    driver: record.uid,
    state: 'ended',
    end: tombstone.end,
    endedAt: isoTime(tombstone.endedAtMs),
  };
}

function fits(view: SessionView, filter: SessionFilter): boolean {
  const { team, environment, namespace, principal, driver } = filter;
  return (
    (team === undefined || view.team === team) &&
    (environment === undefined || view.environment === environment) &&
    (namespace === undefined || view.namespace === namespace) &&
    (principal === undefined || view.principal.subject === principal) &&
    (driver === undefined || view.driver === driver)
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
