/** What the gateway takes from one of Envoy's access log entries. */
import type { SparkRpc } from '../../model/names.js';

/** One RPC, running or ended. What authz had not found out when it refused is undefined. */
export interface AccessRecord {
  readonly kind: 'running' | 'ended';
  /** Unique for each RPC: Envoy's request id. */
  readonly streamId: string;
  readonly startedAtMs: number;
  readonly durationMs: number | undefined;
  readonly method: SparkRpc | 'other';
  readonly session: string | undefined;
  readonly principal: string | undefined;
  readonly issuer: string | undefined;
  readonly team: string | undefined;
  readonly environment: string | undefined;
  readonly namespace: string | undefined;
  readonly driver: string | undefined;
  readonly claimedUser: string | undefined;
  /** It was a ReleaseSession after which the client means to come back. */
  readonly comesBack: true | undefined;
  /** Code of the GatewayError with which authz refused. */
  readonly refusal: string | undefined;
  /** The driver has answered that the session has ended there. */
  readonly sessionClosed: true | undefined;
  /** Undefined when the client was given none, as when it went away. */
  readonly grpcStatus: number | undefined;
  /** Envoy's word on how the response came about (`via_upstream`, `ext_authz_denied`, …). */
  readonly details: string;
  /** On the wire, from and to the client. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly client: string | undefined;
  /** The client's TCP connection: its address and port, unique while it lasts. */
  readonly connection: string | undefined;
  /** From the `traceparent` that the driver was sent, 32 hexadecimal digits. */
  readonly traceId: string | undefined;
}

/** The end of a client's TCP connection. */
export interface ConnectionEnd {
  /** As in its requests' records. */
  readonly connection: string;
  readonly atMs: number;
}
