/** What the policy decides about a job before there is one. */
import type { JobResources } from '../model/job.js';

/** The service that calls the Runner, as its certificate says, and for whom it says to act. */
export interface BatchCaller {
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  /** As CN=airflow,O=Example. */
  readonly subject: string;
  /** undefined: the service acts for itself. */
  readonly user: string | undefined;
  readonly groups: readonly string[];
}

/** Who asks, as the policy knows them. */
export interface Asker {
  /** The service that calls: it is believed to speak for the user. */
  readonly service: string;
  /** The service itself, where it acts for nobody else. */
  readonly user: string;
  readonly groups: readonly string[];
}

/** What somebody would like to run. */
export interface JobWish {
  readonly team: string;
  readonly environment: string;
  readonly namespace: string;
  readonly engineVersion: string;
  readonly resources: JobResources;
  readonly sandbox: boolean;
  /** undefined: as the policy has it. */
  readonly ttlSeconds: number | undefined;
}

/** What the policy allows of it. */
export interface JobGrant {
  readonly ttlSeconds: number;
  readonly image?: string;
  /** Jobs that have not ended, at a time; undefined: no limit. */
  readonly jobsPerUser: number | undefined;
  readonly jobsPerTeam: number | undefined;
  readonly jobsPerNamespace: number | undefined;
}

/** The policy's rules for batch jobs. Refusals are thrown. */
export interface BatchRules {
  /** CALLER_UNKNOWN for no service that the policy names, BATCH_REFUSED where it may not speak for the user. */
  asker(caller: BatchCaller): Asker;
  /** BATCH_REFUSED. */
  admit(asker: Asker, wish: JobWish): JobGrant;
  /** Whether they may see the job and end it. */
  maySee(asker: Asker, job: JobPlace): boolean;
}

export interface JobPlace {
  readonly user: string;
  readonly team: string;
  readonly environment: string;
  readonly namespace: string;
  readonly submittedBy: string;
}
