import type { ErrorCode } from '../model/errors.js';

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
}

export const noMetrics: AuthzMetrics = {
  decided: () => undefined,
  tokenCache: () => undefined,
  keyFetch: () => undefined,
  assignmentCache: () => undefined,
};
