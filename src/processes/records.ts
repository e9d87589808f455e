/** Who keeps the driver records, and who may write them: one process with its files, or the leader of several replicas. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { PoolController } from '../fleet/controller.js';
import { type Term, ElectedLedger } from '../fleet/records/elected-ledger.js';
import { FileLock } from '../fleet/records/file-lock.js';
import { FileRecordStore } from '../fleet/records/file-store.js';
import {
  eraseDrain,
  writeDrain,
  type DrainRequest,
  KubernetesRecordMirror,
  type MirrorListener,
} from '../fleet/records/kubernetes-mirror.js';
import { KubernetesRecordStore } from '../fleet/records/kubernetes-store.js';
import {
  KubernetesLease,
  addressOfReplica,
  replicaIdentity,
} from '../fleet/records/kubernetes-lease.js';
import { openLedger } from '../fleet/records/ledger.js';
import { formatAddress } from '../model/address.js';
import type { Clock } from '../model/clock.js';
import { isLeaving } from '../model/driver.js';
import { GatewayError, reasonOf } from '../model/errors.js';
import type { ProblemSource } from '../model/fleet-problem.js';
import type { Leadership, Ledger } from '../model/ledger.js';
import type { Settings } from '../settings/table.js';
import type { KubernetesAccess } from './kubernetes.js';

export interface Records {
  /** As this process knows them, whether or not it leads. */
  readonly ledger: Ledger;
  readonly leadership: Leadership;
  /** Calls back when this process begins to lead (also if it does so already), and with undefined when that ends. */
  onTerm(listener: (term: Term | undefined) => void): void;
  /**
   * Puts down in the store that operators want this driver drained, where they may also say so there:
   * the store and the admin API must not say different things.
   */
  askDrain?(driverUid: string, deadlineMs: number | undefined): Promise<void>;
  /** Takes that back, so that it is not followed any more once this resolves. */
  askUndrain?(driverUid: string): Promise<void>;
  /** Writes what was put off and gives leadership up. */
  close(): Promise<void>;
}

export interface OwnRecords extends Records {
  /** Drivers whose record cannot be read. */
  readonly unreadable: ReadonlySet<string>;
}

/** Files in `state_dir`, with a lock: whoever has it leads for as long as it runs. */
export async function openOwnRecords(
  settings: Settings,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): Promise<OwnRecords> {
  const leadership = await FileLock.acquire(join(settings.stateDir, 'leader'));
  const store = await FileRecordStore.open(join(settings.stateDir, 'records'), logger);
  const ledger = await openLedger({ store, leadership, clock, logger });
  const unreadable = await store.unreadable();
  if (unreadable.length > 0) {
    logger.error(
      { files: unreadable.map(({ file }) => file) },
      'driver records cannot be read, so nobody knows whose memory those drivers hold: they are not used; look at the files and remove them',
    );
  }
  return {
    ledger,
    leadership,
    unreadable: new Set(unreadable.map(({ uid }) => uid)),
    onTerm(listener) {
      const epoch = leadership.epoch();
      if (epoch !== undefined) listener({ epoch, ledger, leadership });
    },
    async close() {
      await ledger.close();
      await leadership.release();
    },
  };
}

// Records that several replicas share: custom resources, written by the one that holds the Lease.

export interface ReplicaRecords extends Records, ProblemSource {
  /** Of this replica, as it stands in the Lease while it leads. */
  readonly identity: string;
  readonly ledger: ElectedLedger;
  /** Resolves when every record has been read once. Until then nothing is known. */
  read(): Promise<void>;
  /** Begins to stand for election. */
  standForElection(): void;
  /** Calls back with the address of the leader whenever that is another; undefined for nobody, or for this replica. */
  onLeader(listener: (address: string | undefined) => void): void;
  /** Who leads, as far as this replica knows. */
  leader(): string | undefined;
  /** Drivers whose record cannot be read, so that nobody knows whose memory they hold. */
  unreadable(): ReadonlySet<string>;
  /** Drivers that operators want drained, by uid. */
  drains(): ReadonlyMap<string, DrainRequest>;
  onChange(listener: MirrorListener): void;
  /** Why the records may be old, for people. */
  problem(): string | undefined;
}

export function openReplicaRecords(
  settings: Settings,
  { home, namespace, gateway }: KubernetesAccess,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): ReplicaRecords {
  const { api } = home;
  const store = new KubernetesRecordStore({ api, namespace, gateway, clock, logger });
  const mirror = new KubernetesRecordMirror({ api, namespace, gateway, clock, logger });
  const identity = replicaIdentity(process.env['POD_NAME'] ?? hostname(), ownAddress(settings));
  const lease = new KubernetesLease({
    api,
    namespace,
    name: gateway,
    identity,
    durationMs: settings.drivers.kubernetes.leaseDurationMs,
    clock,
    logger,
    highestEpoch: async () => {
      const records =
        mirror.problem === undefined
          ? mirror.records()
          : (await store.list()).map(({ record }) => record);
      return Math.max(0, ...[...records].map(({ epoch }) => epoch));
    },
  });
  const ledger = new ElectedLedger({ lease, store, mirror, clock, logger });
  const read = async () => {
    for (;;) {
      const changed = new Promise<void>((resolve) => {
        const stop = mirror.onChange(() => {
          stop();
          resolve();
        });
      });
      if (mirror.problem === undefined) return;
      await changed;
    }
  };
  return {
    identity,
    ledger,
    leadership: ledger,
    onTerm: (listener) => void ledger.onTerm(listener),
    async read() {
      await mirror.start().catch((error: unknown) => {
        logger.warn({ reason: reasonOf(error) }, 'the records cannot be read yet');
      });
      await read();
    },
    standForElection: () => lease.start(),
    onLeader(listener) {
      lease.onHolderChange((holder) => {
        listener(
          holder === undefined || holder === identity ? undefined : addressOfReplica(holder),
        );
      });
    },
    leader: () => lease.holder,
    // What this process has read before, it goes by: an end of such a driver must not be concluded.
    unreadable: () => new Set([...mirror.unreadable()].filter((uid) => !ledger.get(uid))),
    drains: () => mirror.drains(),
    askDrain: (uid, deadlineMs) => writeDrain({ api, namespace }, uid, deadlineMs),
    async askUndrain(uid) {
      await eraseDrain({ api, namespace }, uid);
      // Until the mirror has seen it, the wish would be followed once more.
      await untilErased(mirror, uid, clock);
    },
    onChange: (listener) => void mirror.onChange(listener),
    problem: () => mirror.problem,
    problems: () => mirror.problems(),
    async close() {
      await ledger.close();
      await lease.stop();
      await mirror.stop();
    },
  };
}

const ERASED_WITHIN_MS = 10_000;

function untilErased(
  mirror: Pick<KubernetesRecordMirror, 'drains' | 'onChange'>,
  uid: string,
  clock: Clock,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (mirror.drains().has(uid)) return;
      stop();
      limit.cancel();
      resolve();
    };
    const stop = mirror.onChange(look);
    const limit = clock.setTimer(ERASED_WITHIN_MS, () => {
      stop();
      reject(new Error('the API server does not tell of the change'));
    });
    look();
  });
}

function ownAddress({ assignments, drivers }: Settings): string {
  const { host, port } = assignments.listenAddr;
  const { replicaHost } = drivers.kubernetes;
  if (replicaHost === undefined && (host === '0.0.0.0' || host === '::')) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      'drivers.kubernetes.replica_host (or POD_IP) must say where other replicas reach this one: assignments.listen_addr names no address of it',
    );
  }
  return formatAddress({ host: replicaHost ?? host, port });
}

// Drains the drivers that operators ask for in the spec of their records.

/** Looks when the record changes, when this replica begins to lead, and again with each look at the pools. */
export function followDrains(
  records: Pick<ReplicaRecords, 'ledger' | 'leadership' | 'drains' | 'onChange' | 'onTerm'>,
  pools: Pick<PoolController, 'drain' | 'onLook'>,
  logger: Logger,
): void {
  const drain = (uid: string, { deadlineMs }: DrainRequest) => {
    const record = records.ledger.get(uid);
    if (!record || isLeaving(record.phase)) return;
    if (record.phase === 'draining' && record.drainDeadlineMs === deadlineMs) return;
    pools.drain(uid, deadlineMs).catch((error: unknown) => {
      logger.warn({ driver: uid, reason: reasonOf(error) }, 'a driver is not drained yet');
    });
  };
  const look = (changed?: string) => {
    if (records.leadership.epoch() === undefined) return;
    for (const [uid, request] of records.drains()) {
      if (changed === undefined || changed === uid) drain(uid, request);
    }
  };
  records.onChange(look);
  records.onTerm(() => look());
  pools.onLook(() => look());
}
