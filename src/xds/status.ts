/** What the console and metrics show of connected clients. */
import type { TypeUrl } from './resource.js';
import type { WatchState } from './watch.js';

export interface TypeStatus {
  readonly typeUrl: TypeUrl;
  /**
   * `NEVER_SENT`: nothing was there to send; `STALE`: something is to be sent or not yet answered;
   * `NACKED`: the client rejected a version and keeps its last good one.
   */
  readonly state: WatchState;
  /** The last version that the client acknowledged; empty for none. */
  readonly version: string;
  readonly lastAckMs: number | undefined;
  readonly wildcard: boolean;
  /** How many resources it subscribes to by name. */
  readonly names: number;
  /** What the client said when it rejected. */
  readonly error: string | undefined;
}

/** One stream of a client. An Envoy has one when it is aggregated, else one for each type. */
export interface NodeStatus {
  readonly id: string;
  readonly cluster: string;
  readonly view: string;
  readonly remoteAddress: string;
  readonly protocol: 'sotw' | 'delta';
  readonly aggregated: boolean;
  readonly connectedAtMs: number;
  readonly types: readonly TypeStatus[];
}
