/**
 * Why a policy allows or refuses a request, step by step. An explanation is a plain value: it is
 * shown as JSON as it is.
 */
import type { ConfigRequest } from './config-request.js';
import type { ErrorCode, GrpcStatus } from './errors.js';
import type {
  AdministrationRole,
  LimitPolicy,
  PoolPolicy,
  QuotaPolicy,
  RateLimitPolicy,
  Target,
} from './policy.js';
import type { Caller } from './principal.js';

/** A request that somebody asks about. What is left out is not sent. */
export interface ExplainRequest {
  readonly caller: Caller;
  /** The host that the client connects to, without port. */
  readonly host?: string | undefined;
  /** As in the header that names the team. */
  readonly team?: string | undefined;
  /** As in the header that names the environment. */
  readonly environment?: string | undefined;
  /** As in the connection string; left out: not compared with the caller. */
  readonly userId?: string | undefined;
  /** For a request of the Config RPC: what it reads or sets. */
  readonly config?: Partial<ConfigRequest> | undefined;
}

/** A refusal as the client gets it. */
export interface ExplainedRefusal {
  readonly code: ErrorCode;
  readonly status: GrpcStatus;
  readonly message: string;
}

/** In the order in which they are decided; after one that refuses, the others are `not reached`. */
export type StepName = 'caller' | 'target' | 'access' | 'user_id' | 'config' | 'pool';

export interface ExplainedStep {
  readonly step: StepName;
  readonly outcome: 'passed' | 'refused' | 'not reached';
  readonly reason: string;
}

export interface ExplainedRule {
  /** From 1, as in the policy. */
  readonly number: number;
  readonly name?: string;
  /** Where it begins in the policy's text. */
  readonly line?: number;
  /** Whether it allows this request; one such rule is enough. */
  readonly allows: boolean;
  /** Whether it is for this caller at all. */
  readonly forCaller: boolean;
  /** What matched, and what did not. */
  readonly reason: string;
}

export interface Explanation {
  readonly policyVersion: string;
  readonly allowed: boolean;
  /** Missing where the request is allowed. */
  readonly refusal?: ExplainedRefusal;
  readonly caller: {
    readonly issuer: string;
    readonly subject: string;
    readonly groups: readonly string[];
  };
  /** Where the request goes, defaults applied; missing where that cannot be said. */
  readonly target?: Target;
  readonly steps: readonly ExplainedStep[];
  /** Every access rule, in the policy's order; empty where access was not reached. */
  readonly rules: readonly ExplainedRule[];
  /** How drivers of the target's namespace are kept; missing where there is no pool. */
  readonly pool?: PoolPolicy;
  /** What a new session counts against; missing where there is no target. */
  readonly quotas?: QuotaPolicy;
  readonly rateLimits?: RateLimitPolicy;
  readonly limits?: LimitPolicy;
  /** What the caller may do with the gateway itself. */
  readonly administration: AdministrationRole;
}
