/** Who may do what with batch jobs, as a policy says it. */
import { type ErrorCode, GatewayError, type GrpcStatus } from './errors.js';
import type { JobResources } from './job.js';

/** The caller of a Runner on loopback that asks for no certificate. A policy names it without declaring it. */
export const LOCAL_SERVICE = 'local';

/** A service, and for whom it says to act. */
export interface BatchIdentity {
  /** As the policy names it. */
  readonly service: string;
  /** Empty: the service acts for itself. */
  readonly user: string;
  /** Of the user; believed as far as the service may name groups. */
  readonly groups: readonly string[];
}

/** Whose a job is: the user's, or the service's own. */
export function ownerOf({ service, user }: Pick<BatchIdentity, 'service' | 'user'>): string {
  return user === '' ? `service:${service}` : user;
}

export interface JobPlace {
  readonly team: string;
  readonly environment: string;
  readonly namespace: string;
}

/** Somebody's wish to run a job. */
export interface BatchSubmission extends JobPlace {
  readonly identity: BatchIdentity;
  /** As 3.5. */
  readonly engineVersion: string;
  readonly resources: JobResources;
  /** As asked for; undefined: not said. */
  readonly sandbox: boolean | undefined;
  readonly ttlSeconds: number | undefined;
  /** Where nobody says otherwise. */
  readonly defaultTtlSeconds: number;
}

/** A job that somebody asks about; what is left out is as usual. */
export interface JobQuestion {
  readonly identity: BatchIdentity;
  readonly team: string;
  readonly environment: string;
  readonly engineVersion?: string | undefined;
  readonly resources?: JobResources | undefined;
  readonly sandbox?: boolean | undefined;
  readonly ttlSeconds?: number | undefined;
}

/** What a job is allowed, and what is decided for it. */
export interface BatchGrant {
  readonly owner: string;
  /** Groups of the user that are believed. */
  readonly groups: readonly string[];
  readonly sandbox: boolean;
  readonly ttlSeconds: number;
  /** For its engine, where the policy names them: how its application is made, and from which image. */
  readonly template?: string;
  readonly image?: string;
  readonly limits: JobLimits;
}

/** Jobs that have not ended, at a time; undefined: no limit. An owner's and a team's count in all namespaces. */
export interface JobLimits {
  readonly jobsPerOwner: number | undefined;
  readonly jobsPerTeam: number | undefined;
  readonly jobsPerNamespace: number | undefined;
}

/** How many there are now, without the one that is asked about. */
export interface JobCounts {
  readonly ofOwner: number;
  readonly ofTeam: number;
  readonly inNamespace: number;
}

function over(count: number, limit: number | undefined): boolean {
  return limit !== undefined && count >= limit;
}

/** undefined: one more is allowed. JOB_LIMIT_EXCEEDED otherwise. */
export function refuseOverLimit(
  limits: JobLimits,
  counts: JobCounts,
  { namespace, owner, team }: JobPlace & { readonly owner: string },
): GatewayError | undefined {
  const { jobsPerNamespace, jobsPerOwner, jobsPerTeam } = limits;
  const whose = over(counts.ofOwner, jobsPerOwner)
    ? `${owner} may have ${jobsPerOwner}`
    : over(counts.ofTeam, jobsPerTeam)
      ? `the team ${team} may have ${jobsPerTeam}`
      : over(counts.inNamespace, jobsPerNamespace)
        ? `the namespace ${namespace} may have ${jobsPerNamespace}`
        : undefined;
  return whose === undefined
    ? undefined
    : new GatewayError(
        'JOB_LIMIT_EXCEEDED',
        `By the policy ${whose} jobs at a time that have not ended: wait for one to end, or cancel one.`,
      );
}

/** What of a job says who may see it. */
export interface OwnedJob {
  readonly owner: string;
  readonly team: string;
  readonly environment: string;
}

/** `cancel` includes `read`. */
export type JobAccess = 'none' | 'read' | 'cancel';

/** Teams and environments for which somebody may submit jobs; `*` stands for any text. */
export interface SubmitGrant {
  readonly teams: readonly string[];
  readonly environments: readonly string[];
}

/** The part of a policy that is about batch jobs; an immutable value. */
export interface BatchPolicy {
  /** BATCH_REFUSED says everything that the policy does not allow. How many jobs there are is not looked at. */
  decideSubmit(submission: BatchSubmission): BatchGrant | GatewayError;
  /** What the caller may do with jobs: quick, for lists of many. */
  accessOf(identity: BatchIdentity): (job: OwnedJob) => JobAccess;
  /** Where the caller may submit jobs. */
  grants(identity: BatchIdentity): readonly SubmitGrant[];
  limits(place: JobPlace): JobLimits;
  /** Each rule as text, for comparison with another policy: `submit` with what it says. */
  rules(): readonly (readonly [part: string, rule: string])[];
  /** By the same rules. Not for the path of a request. */
  explain(question: JobQuestion): BatchExplanation;
}

/** Why a job would be allowed or refused. A plain value, shown as JSON as it is. */
export interface BatchExplanation {
  readonly policyVersion: string;
  readonly allowed: boolean;
  /** Missing where it is allowed. */
  readonly refusal?: {
    readonly code: ErrorCode;
    readonly status: GrpcStatus;
    readonly message: string;
  };
  readonly identity: BatchIdentity;
  readonly place: JobPlace;
  readonly steps: readonly BatchStep[];
  /** Missing where it is refused. */
  readonly grant?: BatchGrant;
}

export interface BatchStep {
  readonly step: 'speak_for' | 'submit' | 'limits';
  readonly outcome: 'passed' | 'refused' | 'not reached';
  readonly reason: string;
}
