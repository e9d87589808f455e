/** Where a control plane runs: alone on its machine, or as one of several replicas on Kubernetes. */
import type { Logger } from 'pino';
import type { KubernetesApiOptions } from '../kubernetes/api.js';
import type { Clock } from '../model/clock.js';
import type { Policy } from '../model/policy.js';
import type { ReplicaReport } from '../model/reports.js';
import type { PoolController } from '../pools/controller.js';
import type { Settings } from '../settings/table.js';
import { openOwnDrivers, type Drivers } from './drivers.js';
import { openKubernetesDrivers } from './kubernetes-drivers.js';
import { openKubernetes } from './kubernetes.js';
import { followDrains } from './drains.js';
import { openOwnRecords, type Records } from './records.js';
import { openReplicaRecords } from './replica-records.js';
import type { Succession } from './succession.js';

export interface Place {
  readonly records: Records;
  readonly drivers: Drivers;
  /** Begins to reconcile. Resolves when Envoy may be told of the drivers: all that are recorded are published. */
  start(parts: { readonly pools: PoolController; readonly succession: Succession }): Promise<void>;
  /** To be called when xDS is served. */
  started(): void;
  /** Why requests should not be sent here, for people. */
  unready(pools: PoolController): string | undefined;
  /** Who leads, for people. */
  status(): Pick<ReplicaReport, 'leader' | 'problem'>;
  close(): void;
}

interface Context {
  readonly clock: Clock;
  readonly logger: Logger;
}

export async function openOwn(settings: Settings, context: Context): Promise<Place> {
  const records = await openOwnRecords(settings, context);
  const drivers = await openOwnDrivers(settings, records.unreadable, context);
  return {
    records,
    drivers,
    async start({ pools }) {
      pools.start();
    },
    started: () => undefined,
    unready: (pools) => pools.report().readError ?? drivers.problem(),
    status: () => ({ leader: undefined, problem: drivers.problem() }),
    close: () => undefined,
  };
}

export async function openReplica(
  settings: Settings,
  {
    policy,
    onRequest,
    ...context
  }: Context & { readonly policy: () => Policy } & Required<
      Pick<KubernetesApiOptions, 'onRequest'>
    >,
): Promise<Place> {
  const { logger } = context;
  const access = await openKubernetes(settings, { onRequest }, logger);
  const records = openReplicaRecords(settings, access, context);
  const drivers = await openKubernetesDrivers(settings, access, { records, policy, ...context });
  return {
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
    // A replica serves xDS from what it knows also while the API server is away.
    unready: () => undefined,
    status: () => ({ leader: records.leader(), problem: records.problem() ?? drivers.problem() }),
    close: () => access.close(),
  };
}
