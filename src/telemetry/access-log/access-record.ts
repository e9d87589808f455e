/** What the gateway takes from one of Envoy's access log entries. */
import type { AuditedRpc } from '../../model/audit.js';

/**
 * One RPC, running or ended; its request id is unique. One that has ended is audited as it is: a copy of so many
 * fields costs more than all else that is done with it.
 */
export interface AccessRecord extends AuditedRpc {
  readonly kind: 'running' | 'ended';
  /** It was a ReleaseSession after which the client means to come back. */
  readonly comesBack: true | undefined;
  /** The driver has answered that the session has ended there. */
  readonly sessionClosed: true | undefined;
  /** The client's TCP connection: its address and port, unique while it lasts. */
  readonly connection: string | undefined;
}

/** The end of a client's TCP connection. */
export interface ConnectionEnd {
  /** As in its requests' records. */
  readonly connection: string;
  readonly atMs: number;
}
