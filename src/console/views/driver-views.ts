/** Drivers as the admin API shows them. */
import type { DriverDetailView, DriverView } from '../../model/admin-api.js';
import type { DriverStatus } from '../../model/reports.js';
import { reasonOf } from '../../model/errors.js';
import type { ConsoleSources } from '../console-sources.js';
import { sessionViews } from './session-views.js';
import { isoTime } from '../../model/clock.js';

export type DriverFilter = Partial<Record<'namespace' | 'phase', string>>;

/** By namespace, the oldest first. */
export function driverViews(
  { fleet }: Pick<ConsoleSources, 'fleet'>,
  { namespace, phase }: DriverFilter = {},
): readonly DriverView[] {
  return fleet()
    .drivers.filter(
      (driver) =>
        (namespace === undefined || driver.namespace === namespace) &&
        (phase === undefined || driver.phase === phase),
    )
    .toSorted((a, b) =>
      a.namespace === b.namespace
        ? a.createdAtMs - b.createdAtMs
        : a.namespace < b.namespace
          ? -1
          : 1,
    )
    .map(driverView);
}

/** What is known of it beside the record; that it is not known is told, and keeps nothing else. */
export async function driverEvents(
  { fleet, driverEvents: read }: Pick<ConsoleSources, 'fleet' | 'driverEvents'>,
  uid: string,
): Promise<Pick<DriverDetailView, 'events' | 'eventsProblem'>> {
  const driver = fleet().drivers.find((one) => one.uid === uid);
  if (!driver || !read) return {};
  try {
    return { events: await read(driver) };
  } catch (error) {
    return { eventsProblem: reasonOf(error) };
  }
}

export function driverDetail(
  sources: Pick<ConsoleSources, 'fleet' | 'ledger' | 'activity'>,
  uid: string,
): DriverDetailView | undefined {
  const status = sources.fleet().drivers.find((driver) => driver.uid === uid);
  const record = sources.ledger.get(uid);
  if (!status || !record) return undefined;
  return {
    ...driverView(status),
    sessions: sessionViews(sources, { driver: uid }),
    instance: record.instance,
    epoch: record.epoch,
    ended: Object.values(record.tombstones)
      .toSorted((a, b) => b.endedAtMs - a.endedAtMs)
      .map(({ sessionId, end, endedAtMs }) => ({ id: sessionId, end, at: isoTime(endedAtMs) })),
  };
}

function driverView(status: DriverStatus): DriverView {
  const { uid, namespace, phase, address, routable, sessions, outdated } = status;
  const { cluster, variant, pod, node, condition, tenant, drainDeadlineMs, reason } = status;
  return {
    uid,
    name: status.resource ?? uid,
    namespace,
    managed: status.resource !== undefined,
    phase,
    address,
    ...(cluster === undefined ? {} : { cluster }),
    ...(variant === undefined ? {} : { variant }),
    ...(pod === undefined ? {} : { pod }),
    ...(node === undefined ? {} : { node }),
    ...(outdated ? { outdated } : {}),
    ready: condition === 'ready',
    ...(condition === undefined ? {} : { condition }),
    routable,
    sessions,
    ...(tenant ? { tenant: { principal: tenant.principal, team: tenant.team } } : {}),
    createdAt: isoTime(status.createdAtMs),
    since: isoTime(status.phaseSinceMs),
    ...(drainDeadlineMs === undefined ? {} : { drainDeadline: isoTime(drainDeadlineMs) }),
    ...(reason === undefined ? {} : { problem: reason }),
  };
}
