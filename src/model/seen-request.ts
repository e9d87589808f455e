/** Requests as policies see them, told by the sidecars so that another policy can be tried on them. */
import type { Caller } from './principal.js';

/** The newest request of a session, or the newest one that somebody was refused. Never logged or stored. */
export interface SeenRequest {
  /** undefined: it was refused. */
  readonly sessionId: string | undefined;
  readonly caller: Pick<Caller, 'principal' | 'claims'>;
  /** The `:authority` without port. */
  readonly host: string;
  /** Those headers that say where the request goes, by their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** As the client claims it. */
  readonly userId: string;
}

/** Takes in what sidecars saw. Must be cheap. */
export interface SeenRequestSink {
  seen(request: SeenRequest): void;
}
