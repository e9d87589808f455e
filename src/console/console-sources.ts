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

/** One that is known, with who says so where there are several replicas. */
export interface ReportedProblem extends KnownProblem {
  readonly reportedBy?: readonly string[];
}

export interface ConsoleSources {
  /** The gateway's release. */
  readonly version: string;
  /** The records as this replica knows them. */
  readonly ledger: Pick<Ledger, 'all' | 'get' | 'bySession'>;
  fleet(): FleetReport;
  /** What is wrong with what the gateway works with, the oldest first. */
  problems(): readonly ReportedProblem[];
  /** What the driver's cluster says of it. Rejects with why that cannot be known; absent: there is no cluster. */
  driverEvents?(driver: DriverStatus): Promise<readonly DriverEventView[]>;
  /** Connected to whatever replica, as far as this one knows. */
  envoys(): readonly ConnectedEnvoy[];
  /** Why what other replicas know may be missing, for people; undefined: it is not. */
  unknown?(): string | undefined;
  /** Whether what only a leader knows is known here: who waits, why drivers do not come up. */
  hearsLeader(): boolean;
  /** As the leader knows them; empty where nothing is heard of it. */
  sidecars(): readonly SidecarStatus[];
  replica(): ReplicaReport;
  /** undefined where nothing is heard of the leader, who alone is told what sessions do. */
  activity(session: SessionRecord): SeenActivity | undefined;
  /** In force now. */
  policy(): Policy;
  /** Asks the leader. */
  readonly diffPolicy: DiffPolicy;
  policyReport(): PolicyReport;
  /** Newest first. */
  policyHistory(): readonly PolicyRevision[];
}
