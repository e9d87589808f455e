import type { ErrorCode } from '../model/errors.js';

export interface ShadowVerdict {
  /** `policy`: the candidate; `rule`: a rule of the policy in force that is in shadow mode. */
  readonly source: 'policy' | 'rule';
  /** `move`: to another namespace. */
  readonly would: 'same' | 'allow' | 'refuse' | 'move';
  readonly code: 'OK' | ErrorCode;
}
/** What authz counts. Implemented by whoever exports metrics; every call must be cheap and not throw. */

export interface AuthzMetrics {
  /** After each check. `method` is a Spark Connect RPC or `unknown`; team and environment are known once they are authorised. */
  decided(decision: {
    /** CANCELLED: Envoy no longer waits. */
    readonly code: 'OK' | 'CANCELLED' | ErrorCode;
    readonly method: string;
    readonly team: string | undefined;
    readonly environment: string | undefined;
    readonly durationMs: number;
  }): void;
  tokenCache(result: 'hit' | 'miss'): void;
  keyFetch(issuer: string, ok: boolean): void;
  assignmentCache(result: 'hit' | 'miss'): void;
  /** A query was let through without being counted for its limits, for want of an answer. */
  queryLetThrough(code: ErrorCode): void;
  /** What a policy or rule in shadow mode would make of a request. */
  shadow(verdict: ShadowVerdict): void;
}
export const noMetrics: AuthzMetrics = {
  decided: () => undefined,
  tokenCache: () => undefined,
  keyFetch: () => undefined,
  assignmentCache: () => undefined,
  queryLetThrough: () => undefined,
  shadow: () => undefined,
};
