/** What would change for the sessions and people of now if another policy were in force. */
import type { Principal } from './principal.js';

export interface PolicyOutcome {
  /** Where a request goes that is allowed. */
  readonly namespace?: string;
  /** A refusal as the client would get it. */
  readonly refusal?: { readonly code: string; readonly message: string };
}

export interface AccessChange {
  /** `moved`: to another namespace. */
  readonly change: 'lost' | 'gained' | 'moved';
  /** A live session; absent: somebody's request that has no live session. */
  readonly session?: string;
  readonly principal: Principal;
  readonly before: PolicyOutcome;
  readonly after: PolicyOutcome;
}

export interface FieldChange {
  /** In the policy's words, such as `pool.sessions_per_driver`. */
  readonly field: string;
  /** Absent: not there, or no limit. */
  readonly before?: string;
  readonly after?: string;
}

export interface NamespaceChange {
  readonly namespace: string;
  /** Live ones. */
  readonly sessions: number;
  readonly pool: 'kept' | 'gone' | 'new';
  readonly fields: readonly FieldChange[];
}

/** A rule about batch jobs that only one of the two has. */
export interface RuleChange {
  readonly change: 'gone' | 'new';
  /** As `batch.submit`. */
  readonly part: string;
  /** What it says, as JSON. */
  readonly rule: string;
}

/** A live session of which no sidecar has told who asks with which claims. */
export interface UnknownSession {
  readonly session: string;
  readonly principal: Principal;
  readonly namespace: string;
}

export interface PolicyDiff {
  readonly problems: readonly [];
  /** In force. */
  readonly version: string;
  readonly candidate: string;
  /** The first 1,000; `counts` says how many there are. Also of the other lists. */
  readonly changes: readonly AccessChange[];
  readonly namespaces: readonly NamespaceChange[];
  readonly unknown: readonly UnknownSession[];
  readonly rules: readonly RuleChange[];
  readonly counts: {
    /** That were compared: live sessions, and requests without one. */
    readonly sessions: number;
    readonly people: number;
    readonly lost: number;
    readonly gained: number;
    readonly moved: number;
    readonly namespaces: number;
    readonly unknown: number;
    readonly rules: number;
  };
}

/** A policy that is not good: every mistake with its line, such as `candidate:3:1: …`. */
export interface PolicyProblems {
  readonly problems: readonly string[];
}

export type PolicyDiffAnswer = PolicyDiff | PolicyProblems;

export function isPolicyDiff(answer: PolicyDiffAnswer): answer is PolicyDiff {
  return 'changes' in answer;
}

/**
 * Compares a policy, as written, with the one in force. Rejects with CONTROL_PLANE_UNAVAILABLE while
 * nobody leads, and with the signal's reason when that fires.
 */
export type DiffPolicy = (text: string, signal: AbortSignal) => Promise<PolicyDiffAnswer>;
