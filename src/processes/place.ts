/** Where a control plane runs: alone on its machine, or as one of several replicas on Kubernetes. */
import type { Logger } from 'pino';
import type { PoolController } from '../fleet/controller.js';
import type { Clock, Timer } from '../model/clock.js';
import type { FleetProblem } from '../model/fleet-problem.js';
import type { ReplicaReport } from '../model/reports.js';
import { type Drivers, openOwnDrivers } from './own-drivers.js';
import { type KubernetesDriversContext, openKubernetesDrivers } from './drivers-of-clusters.js';
import type { Succession } from './leader.js';
import { followDrains, openOwnRecords, openReplicaRecords, type Records } from './records.js';
import { problemEvents, type ProblemBoard } from './telemetry.js';
import { join } from 'node:path';
import type { Settings } from '../settings/table.js';
import { secretFile } from './sign-in.js';
import type { KubernetesAccess } from './kubernetes.js';

// Where a control plane runs: alone on its machine, or as one of several replicas on Kubernetes.

export interface Place {
  /** Tells this replica from all others; undefined: there is one only. */
  readonly replica: string | undefined;
  readonly records: Records;
  readonly drivers: Drivers;
  /** Begins to reconcile. Resolves when Envoy may be told of the drivers: all that are recorded are published. */
  start(parts: { readonly pools: PoolController; readonly succession: Succession }): Promise<void>;
  /** To be called when xDS is served. */
  started(): void;
  /** What is wrong with the records. */
  problems(): Iterable<FleetProblem>;
  /** To be called with the board that shows every problem, before the start. */
  tellOf(board: ProblemBoard, pools: PoolController): void;
  /** Why requests should not be sent here, for people. */
  unready(pools: PoolController): string | undefined;
  /** Who leads, for people. */
  status(): Pick<ReplicaReport, 'leader' | 'problem'>;
  /** Seals the console's cookies; the same at each replica, and after a restart. */
  consoleSecret(): Promise<Uint8Array>;
}

const TELL_AFTER_MS = 1_000;

interface Context {
  readonly clock: Clock;
  readonly logger: Logger;
}

export async function openOwn(settings: Settings, context: Context): Promise<Place> {
  const records = await openOwnRecords(settings, context);
  const drivers = await openOwnDrivers(settings, records.unreadable, context);
  return {
    replica: undefined,
    records,
    drivers,
    async start({ pools }) {
      pools.start();
    },
    started: () => undefined,
    problems: () => [],
    tellOf: () => undefined,
    // With a bad file of drivers the last good one serves: a problem to report, and no more.
    unready: (pools) => {
      const { readError, writeError } = pools.report();
      return readError ?? writeError;
    },
    status: () => ({ leader: undefined, problem: drivers.problem() }),
    consoleSecret: () => secretFile(join(settings.stateDir, 'console.key')),
  };
}

export async function openReplica(
  settings: Settings,
  access: KubernetesAccess,
  {
    policy,
    isUnanswered,
    ...context
  }: Context & Pick<KubernetesDriversContext, 'policy' | 'isUnanswered'>,
): Promise<Place> {
  const { logger } = context;
  const records = openReplicaRecords(settings, access, context);
  const drivers = await openKubernetesDrivers(settings, access, {
    records,
    policy,
    isUnanswered,
    ...context,
  });
  return {
    replica: records.identity,
    records,
    drivers,
    async start({ pools, succession }) {
      records.onLeader((address) => succession.setLeaderElsewhere(address));
      followDrains(records, pools, logger);
      await Promise.all([records.read(), drivers.read()]);
      // Until pods have been looked at, a driver that is not ready would be told as one that is.
      const looked = new Promise<void>((resolve) => {
        const stop = pools.onLook(() => {
          stop();
          resolve();
        });
      });
      pools.start();
      await looked;
    },
    started: () => records.standForElection(),
    problems: () => records.problems(),
    tellOf(board, pools) {
      const tell = problemEvents(board, access, {
        leadership: records.leadership,
        ...context,
      });
      pools.onLook(tell);
      pools.onLook(() => drivers.protect());
      // Records change with every session; what is wrong with them can wait a moment.
      let soon: Timer | undefined;
      records.onChange(() => {
        soon ??= context.clock.setTimer(TELL_AFTER_MS, () => {
          soon = undefined;
          tell();
        });
      });
    },
    // A replica serves xDS from what it knows also while the API server is away.
    unready: () => undefined,
    consoleSecret: async () => Buffer.from(access.key.sign('console cookies'), 'base64url'),
    status: () => ({ leader: records.leader(), problem: records.problem() ?? drivers.problem() }),
  };
}
