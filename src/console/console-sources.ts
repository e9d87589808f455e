/** What the admin API and the console show, taken from the other parts by src/processes. */
import type { DriverEventView } from '../model/admin-api.js';
import type { SessionRecord } from '../model/driver.js';
import type { KnownProblem } from '../model/fleet-problem.js';
import type { Ledger } from '../model/ledger.js';
import type { DiffPolicy } from '../model/policy-diff.js';
import type { Policy } from '../model/policy.js';
import type {
  ConnectedEnvoy,
  DriverStatus,
  FleetReport,
  PolicyReport,
  PolicyRevision,
  ReplicaReport,
  SidecarStatus,
} from '../model/reports.js';

/** What was seen of a session beyond its record. */
export interface SeenActivity {
  readonly lastActiveMs: number;
  /** RPCs that run now. */
  readonly openStreams: number;
}

export interface ConsoleSources {
  /** The gateway's release. */
  readonly version: string;
  /** The records as this replica knows them. */
  readonly ledger: Pick<Ledger, 'all' | 'get' | 'bySession'>;
  fleet(): FleetReport;
  /** What is wrong with what the gateway works with, the oldest first. */
  problems(): readonly KnownProblem[];
  /** What the driver's cluster says of it. Rejects with why that cannot be known; absent: there is no cluster. */
  driverEvents?(driver: DriverStatus): Promise<readonly DriverEventView[]>;
  /** Connected to whatever replica, as far as this one knows. */
  envoys(): readonly ConnectedEnvoy[];
  /** Why those of other replicas may be missing, for people; undefined: they are not. */
  unknownEnvoys?(): string | undefined;
  /** As the leader knows them; empty where nothing is heard of it. */
  sidecars(): readonly SidecarStatus[];
  replica(): ReplicaReport;
  /** Only a leader is told what sessions do; undefined elsewhere. */
  activity(session: SessionRecord): SeenActivity | undefined;
  /** In force now. */
  policy(): Policy;
  /** Asks the leader. */
  readonly diffPolicy: DiffPolicy;
  policyReport(): PolicyReport;
  /** Newest first. */
  policyHistory(): readonly PolicyRevision[];
}
