/** Records that several replicas share: custom resources, written by the one that holds the Lease. */
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { formatAddress } from '../model/address.js';
import type { Clock } from '../model/clock.js';
import { GatewayError, reasonOf } from '../model/errors.js';
import type { ProblemSource } from '../model/fleet-problem.js';
import { ElectedLedger } from '../records/elected-ledger.js';
import { writeDrain } from '../records/kubernetes-drain.js';
import {
  type DrainRequest,
  KubernetesRecordMirror,
  type MirrorListener,
} from '../records/kubernetes-mirror.js';
import { KubernetesRecordStore } from '../records/kubernetes-store.js';
import { KubernetesLease } from '../records/lease.js';
import { addressOfReplica, replicaIdentity } from '../records/replica-identity.js';
import type { Settings } from '../settings/table.js';
import type { KubernetesAccess } from './kubernetes.js';
import type { Records } from './records.js';

export interface ReplicaRecords extends Records, ProblemSource {
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
  const store = new KubernetesRecordStore({ api, namespace, clock, logger });
  const mirror = new KubernetesRecordMirror({ api, namespace, clock, logger });
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
