/** Names that Envoy, the sidecar and the control plane must agree on. */

export const SPARK_CONNECT_SERVICE = 'spark.connect.SparkConnectService';

/** The RPCs of Spark Connect 3.5 to 4.x. */
export const SPARK_RPCS = [
  'ExecutePlan',
  'AnalyzePlan',
  'Config',
  'AddArtifacts',
  'ArtifactStatus',
  'Interrupt',
  'ReattachExecute',
  'ReleaseExecute',
  'ReleaseSession',
  'FetchErrorDetails',
  'CloneSession',
  'GetStatus',
] as const;

export type SparkRpc = (typeof SPARK_RPCS)[number];

/** Those whose stream is open while a query runs. */
export const QUERY_RPCS: readonly SparkRpc[] = ['ExecutePlan', 'ReattachExecute'];

/** The `:path` of its requests. */
export function rpcPath(rpc: SparkRpc): string {
  return `/${SPARK_CONNECT_SERVICE}/${rpc}`;
}

const rpcByPath = new Map<string, SparkRpc>(SPARK_RPCS.map((rpc) => [rpcPath(rpc), rpc]));

/**
 * What is written down of the `:path` of a request: the name of a known RPC, or `other`. A path and its
 * query are the client's own text, which may hold a secret.
 */
export function rpcOfPath(path: string): SparkRpc | 'other' {
  const end = path.indexOf('?');
  return rpcByPath.get(end === -1 ? path : path.slice(0, end)) ?? 'other';
}

/**
 * Headers that authz stamps and Envoy routes on. Every client copy of an `x-spark-` header is
 * dropped before authz sees the request.
 */
export const INTERNAL_HEADER_PREFIX = 'x-spark-';
/** Name of the EDS cluster to route to. */
export const CLUSTER_HEADER = 'x-spark-cluster';
/** Hashed by the ring; `ringHashKey(uid)`. */
export const AFFINITY_HEADER = 'x-spark-driver';
/** The strict pin: base64 of `ip:port`. Never empty. */
export const PIN_HEADER = 'x-spark-pin';
/** Behind trusted proxies: who the client is, as Envoy found out. Never a client's own, like all with the prefix. */
export const CLIENT_ADDRESS_HEADER = 'x-spark-client-address';
/** The verified principal's subject and issuer. */
export const PRINCIPAL_HEADER = 'x-spark-principal';
export const ISSUER_HEADER = 'x-spark-issuer';
export const SESSION_HEADER = 'x-spark-session';
/** What the driver fence compares each message with; `requestIdentity`. */
export const IDENTITY_HEADER = 'x-spark-identity';
/** CloneSession: the id of the new session, where the client leaves it to the server. */
export const NEW_SESSION_HEADER = 'x-spark-new-session';
/** AddArtifacts: the policy's limit for each of its messages, in bytes. */
export const MESSAGE_LIMIT_HEADER = 'x-spark-message-limit';
/**
 * Base64 of the response's framed messages: authz answers the request itself, with these. Envoy brings
 * it to authz, as only an upstream can answer a gRPC call with messages.
 */
export const ANSWER_HEADER = 'x-spark-answer';

/**
 * Of a request: the number by which Envoy asks authz for a lease of its decision. Of a response: that lease,
 * which no client sees (src/envoy/lease.ts).
 */
export const LEASE_HEADER = 'x-spark-lease';
/**
 * The request leaves by a lease, so authz is not asked. Its value is what authz has found out, packed, for its
 * record, if it has one.
 */
export const LEASED_HEADER = 'x-spark-leased';
/** The RPC of which success has no record: Envoy counts it (docs/decisions/records-for-what-matters.md). */
export const COUNTED_RPC = 'ReleaseExecute' satisfies SparkRpc;

/** The strict pin alone says which driver, and what other headers would say is packed in the first. */
const FEWEST_WORDS = [LEASED_HEADER, CLUSTER_HEADER, PIN_HEADER, IDENTITY_HEADER] as const;

/**
 * The RPCs that leases are for (docs/decisions/decision-leases.md), with the headers that a leased request leaves
 * with, in the order of a lease's words. The last word, if there is one more, is the driver's own token.
 */
export const LEASE_WORDS = {
  ReleaseExecute: FEWEST_WORDS,
  /** As many as when authz is asked. */
  Config: [...FEWEST_WORDS, AFFINITY_HEADER, PRINCIPAL_HEADER, ISSUER_HEADER, SESSION_HEADER],
} as const satisfies Partial<Record<SparkRpc, readonly string[]>>;

export type LeasedRpc = keyof typeof LEASE_WORDS;

/**
 * What Envoy shows authz of a body. A request that is decided on its whole message fits: its ids, and a
 * user agent of 2,048 characters.
 */
export const BODY_PREFIX_BYTES = 4096;

/** To the Runner: a group of the person that a service acts for; one header for each. */
export const GROUP_HEADER = 'x-doordash-group';

/** From the Runner, ahead of its answer to Submit: `true` when the job was there already. */
export const DUPLICATE_HEADER = 'x-spark-duplicate';

/** The trace that a request is part of (W3C Trace Context). */
export const TRACE_HEADER = 'traceparent';

/** Key under which ext_authz returns dynamic metadata for the access log. */
export const AUTHZ_METADATA_NAMESPACE = 'envoy.filters.http.ext_authz';

/** Who the client says it works for, where settings name no other header: recorded, never trusted. */
export const CLAIMED_USER_HEADER = 'x-doordash-user';

/**
 * The dynamic metadata itself: what authz found out before it allowed or refused the request. All
 * values are strings; a key that is not known yet at a refusal is left out. Never a token.
 *
 * Each is a key of its own where Envoy looks at them: of a refused request, and of one that is traced. Else
 * they are packed, which costs Envoy and the control plane a fraction.
 */
export const AccessMetadata = {
  session: 'session',
  /** The verified principal's subject and issuer. */
  principal: 'principal',
  issuer: 'issuer',
  team: 'team',
  environment: 'environment',
  namespace: 'namespace',
  /** UID of the session's driver. */
  driver: 'driver',
  /** What the client claims to be (the user header, else `user_id`). */
  claimedUser: 'claimed_user',
  /** `true` for a ReleaseSession after which the client means to come back: the session goes on. */
  comesBack: 'comes_back',
  /** What a policy or rules in shadow mode would have decided otherwise, such as `refuse:NAMESPACE_REFUSED`. */
  shadow: 'shadow',
  /** Code of the GatewayError that the request was refused with. */
  refusal: 'refusal',
  /** Instead of all others: base64 of theirs as JSON. */
  packed: 'packed',
} as const;

/**
 * The header value that hits exactly the endpoint whose metadata `envoy.lb` holds `hash_key: uid`:
 * Envoy's ring hashes `<hash_key>_<i>` for the i-th point of a host (ring_hash_lb.cc).
 */
export function ringHashKey(uid: string): string {
  return `${uid}_0`;
}

/** One EDS cluster for each namespace. */
export function clusterName(namespace: string): string {
  return `spark/${namespace}`;
}
