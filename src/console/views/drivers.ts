/** Drivers as the admin API shows them. */
import type { DriverPhase, ObservedDriver, SessionEnd } from '../../model/driver.js';
import type { Principal } from '../../model/principal.js';
import type { DriverStatus } from '../../model/reports.js';
import type { ConsoleSources } from '../sources.js';
import { type SessionView, sessionViews } from './sessions.js';
import { isoTime } from './time.js';

export interface DriverView {
  readonly uid: string;
  /** Of the pod's application or the process that this gateway made; the uid for a driver of someone else. */
  readonly name: string;
  readonly namespace: string;
  readonly phase: DriverPhase;
  /** `ip:port`; empty until there is one. */
  readonly address: string;
  readonly cluster?: string;
  /** Whether it answers. */
  readonly ready: boolean;
  /** What discovery saw last; absent when it did not see the driver. */
  readonly condition?: ObservedDriver['condition'];
  /** Whether Envoy is told of it. */
  readonly routable: boolean;
  readonly sessions: number;
  /** Whose memory it holds. */
  readonly tenant?: { readonly principal: Principal; readonly team: string };
  readonly createdAt: string;
  /** Since when it is in its phase. */
  readonly since: string;
  readonly drainDeadline?: string;
  /** Why it is in its phase, or what is wrong with it. */
  readonly problem?: string;
}

export interface DriverDetailView extends Omit<DriverView, 'sessions'> {
  readonly sessions: readonly SessionView[];
  /** Container, or process id and start time. */
  readonly instance: string;
  /** Of the leader that wrote the record last. */
  readonly epoch: number;
  /** Sessions that have ended here and are remembered. */
  readonly ended: readonly { readonly id: string; readonly end: SessionEnd; readonly at: string }[];
}

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
  const { uid, namespace, phase, address, routable, sessions } = status;
  const { cluster, condition, tenant, drainDeadlineMs, reason } = status;
  return {
    uid,
    name: status.resource ?? uid,
    namespace,
    phase,
    address,
    ...(cluster === undefined ? {} : { cluster }),
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
