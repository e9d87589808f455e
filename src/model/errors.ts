/**
 * Every refusal and failure that a user or operator can meet. The codes are stable: they appear in
 * logs, metrics and the `reason` of google.rpc.ErrorInfo, and scripts may match on them.
 */

/** gRPC status codes, https://grpc.github.io/grpc/core/md_doc_statuscodes.html. */
export const GrpcStatus = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type GrpcStatus = (typeof GrpcStatus)[keyof typeof GrpcStatus];

/** Each code with the gRPC status it is answered with. */
const statusByCode = {
  /** The first message holds no session id, or is no Spark Connect request. */
  REQUEST_UNREADABLE: GrpcStatus.INVALID_ARGUMENT,
  /** A header used for routing or credentials came more than once. */
  HEADER_DUPLICATED: GrpcStatus.INVALID_ARGUMENT,
  /** CloneSession without `new_session_id`. */
  CLONE_SESSION_ID_MISSING: GrpcStatus.INVALID_ARGUMENT,
  /** The RPC is not one of Spark Connect's. */
  METHOD_UNKNOWN: GrpcStatus.UNIMPLEMENTED,

  TOKEN_MISSING: GrpcStatus.UNAUTHENTICATED,
  TOKEN_MALFORMED: GrpcStatus.UNAUTHENTICATED,
  TOKEN_ALGORITHM_REFUSED: GrpcStatus.UNAUTHENTICATED,
  TOKEN_SIGNATURE_INVALID: GrpcStatus.UNAUTHENTICATED,
  TOKEN_ISSUER_UNKNOWN: GrpcStatus.UNAUTHENTICATED,
  TOKEN_AUDIENCE_REFUSED: GrpcStatus.UNAUTHENTICATED,
  TOKEN_EXPIRED: GrpcStatus.UNAUTHENTICATED,
  TOKEN_NOT_YET_VALID: GrpcStatus.UNAUTHENTICATED,
  /** Its end is further away than any issuer means it. */
  TOKEN_LIFE_TOO_LONG: GrpcStatus.UNAUTHENTICATED,
  /** It names a key that is not known, and the issuer was asked for its keys a moment ago: it may be new. */
  TOKEN_KEY_UNKNOWN: GrpcStatus.UNAVAILABLE,
  /** The issuer's keys cannot be had now, so the token can be neither believed nor refused. */
  ISSUER_UNREACHABLE: GrpcStatus.UNAVAILABLE,

  TEAM_MISSING: GrpcStatus.INVALID_ARGUMENT,
  ENVIRONMENT_MISSING: GrpcStatus.INVALID_ARGUMENT,
  TEAM_OR_ENVIRONMENT_INVALID: GrpcStatus.INVALID_ARGUMENT,
  NAMESPACE_REFUSED: GrpcStatus.PERMISSION_DENIED,
  SESSION_OF_ANOTHER: GrpcStatus.PERMISSION_DENIED,
  /** The session exists in another namespace than the one asked for. */
  SESSION_ELSEWHERE: GrpcStatus.PERMISSION_DENIED,
  USER_ID_MISMATCH: GrpcStatus.PERMISSION_DENIED,
  /** The policy keeps a Spark setting from being read or set through Config. */
  CONFIG_REFUSED: GrpcStatus.PERMISSION_DENIED,
  QUOTA_EXCEEDED: GrpcStatus.RESOURCE_EXHAUSTED,
  /** A request message is larger than the policy allows. */
  MESSAGE_TOO_LARGE: GrpcStatus.RESOURCE_EXHAUSTED,
  /** As many queries run as the policy allows at a time, and none ended while this one waited. */
  QUERY_LIMIT_EXCEEDED: GrpcStatus.RESOURCE_EXHAUSTED,
  /** Its client has interrupted it while it waited. As Spark's own: INTERNAL. */
  OPERATION_CANCELED: GrpcStatus.INTERNAL,
  /** More new sessions or requests in a time than the policy allows. */
  RATE_LIMITED: GrpcStatus.RESOURCE_EXHAUSTED,

  /** An RPC that may not start a session named one that nobody knows. */
  SESSION_UNKNOWN: GrpcStatus.NOT_FOUND,
  /** The session's driver is surely gone, or the session has ended. */
  SESSION_ENDED: GrpcStatus.INTERNAL,
  DRIVER_STARTING: GrpcStatus.UNAVAILABLE,
  DRIVER_START_FAILED: GrpcStatus.UNAVAILABLE,
  /** Every driver is taken and the pool is at its maximum. */
  POOL_EXHAUSTED: GrpcStatus.UNAVAILABLE,
  /** The session's driver is known but cannot be reached or confirmed now. */
  DRIVER_UNREACHABLE: GrpcStatus.UNAVAILABLE,
  CONTROL_PLANE_UNAVAILABLE: GrpcStatus.UNAVAILABLE,
  SHUTTING_DOWN: GrpcStatus.UNAVAILABLE,

  /** An operator named a driver that does not exist. */
  DRIVER_UNKNOWN: GrpcStatus.NOT_FOUND,
  /** The caller's role is not enough for what it asks of the gateway itself. */
  ADMINISTRATION_REFUSED: GrpcStatus.PERMISSION_DENIED,
  /** With a cookie, and not shown to come from the console's own page. */
  CROSS_SITE_REQUEST: GrpcStatus.PERMISSION_DENIED,
  /** An operator's request has an argument that is not allowed. */
  ARGUMENT_INVALID: GrpcStatus.INVALID_ARGUMENT,
  /** The issuer did not let somebody log in on the command line, or lets them in no longer. */
  LOGIN_FAILED: GrpcStatus.UNAUTHENTICATED,
  /** The command line gets no answer of a gateway. */
  ADMIN_API_UNREACHABLE: GrpcStatus.UNAVAILABLE,
  /** The gateway refuses what the command line asks, with a code of a newer release. */
  ADMIN_API_REFUSED: GrpcStatus.UNKNOWN,
  /** As many policies are being compared as may be at a time. */
  POLICY_DIFF_BUSY: GrpcStatus.RESOURCE_EXHAUSTED,
  HTTP_PATH_UNKNOWN: GrpcStatus.NOT_FOUND,
  HTTP_METHOD_REFUSED: GrpcStatus.UNIMPLEMENTED,
  HTTP_BODY_TOO_LARGE: GrpcStatus.RESOURCE_EXHAUSTED,

  /** A batch job's manifest has mistakes: `problems` says each, with its place. */
  MANIFEST_INVALID: GrpcStatus.INVALID_ARGUMENT,
  /** An option of a batch job is not known, or its value is not allowed. */
  OPTION_INVALID: GrpcStatus.INVALID_ARGUMENT,
  /** No such job, or none that the caller may see. */
  JOB_UNKNOWN: GrpcStatus.NOT_FOUND,
  /** A job of the same id has another content or another owner. */
  JOB_EXISTS: GrpcStatus.ALREADY_EXISTS,
  /** The policy does not let the caller submit this, there, or for this user. */
  BATCH_REFUSED: GrpcStatus.PERMISSION_DENIED,
  /** As many jobs are there as the policy allows at a time. */
  JOB_LIMIT_EXCEEDED: GrpcStatus.RESOURCE_EXHAUSTED,
  /** Results were asked for before the job's end. */
  JOB_NOT_ENDED: GrpcStatus.FAILED_PRECONDITION,
  /** What the job has written cannot be read now. */
  RESULTS_UNREADABLE: GrpcStatus.UNAVAILABLE,
  /** The Playground gets no answer of its Runner. */
  RUNNER_UNAVAILABLE: GrpcStatus.UNAVAILABLE,
  /** The certificate of a caller of the Runner is none that may call it. */
  CALLER_UNKNOWN: GrpcStatus.UNAUTHENTICATED,

  /** An xDS client sent what cannot be read or served. */
  XDS_REQUEST_INVALID: GrpcStatus.INVALID_ARGUMENT,
  /** An xDS client names more resources, or longer ones, than a control plane keeps. */
  XDS_TOO_MANY_NAMES: GrpcStatus.RESOURCE_EXHAUSTED,
  /** An xDS client's certificate gives it no view. */
  XDS_NODE_REFUSED: GrpcStatus.PERMISSION_DENIED,

  SETTINGS_INVALID: GrpcStatus.FAILED_PRECONDITION,
  POLICY_INVALID: GrpcStatus.FAILED_PRECONDITION,
  RECORD_CONFLICT: GrpcStatus.ABORTED,
  /** The driver's record has reached its largest size, so the driver takes no more sessions. */
  RECORD_FULL: GrpcStatus.RESOURCE_EXHAUSTED,
  INTERNAL: GrpcStatus.INTERNAL,
} as const satisfies Record<string, GrpcStatus>;

export type ErrorCode = keyof typeof statusByCode;

export interface GatewayErrorOptions {
  readonly cause?: unknown;
  /** When it makes sense to come back, milliseconds (google.rpc.RetryInfo). */
  readonly retryAfterMs?: number;
  /** Each mistake, where there may be several (google.rpc.BadRequest). */
  readonly problems?: readonly PlacedProblem[];
}

/** One mistake in a text that a person wrote. */
export interface PlacedProblem {
  /** Counted from 1; undefined: it is about the text as a whole. */
  readonly line?: number;
  readonly column?: number;
  /** As spec.coreEtl.sinks[0].mode; empty: the whole. */
  readonly path: string;
  /** What is wrong, and what is allowed. */
  readonly message: string;
}

/** The one error type of the gateway. `message` says what is wrong and what to do; it never holds a secret. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  readonly status: GrpcStatus;
  readonly retryAfterMs: number | undefined;
  readonly problems: readonly PlacedProblem[];

  constructor(code: ErrorCode, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = statusByCode[code];
    this.retryAfterMs = options.retryAfterMs;
    this.problems = options.problems ?? [];
  }
}

/** Turns whatever was thrown into a GatewayError; what is not ours becomes INTERNAL without its text. */
export function toGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError('INTERNAL', 'The gateway failed to handle this request; see its log.', {
    cause: thrown,
  });
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(statusByCode, text);
}

export const errorCodes: readonly ErrorCode[] = Object.keys(statusByCode).filter(isErrorCode);

/** A one-line reason for people, whatever was thrown. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** When whoever refused it wants to be asked again, milliseconds; undefined where that was not said. */
export function retryAfterOf(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error)) return undefined;
  if ('retryAfterMs' in thrown && typeof thrown.retryAfterMs === 'number')
    return thrown.retryAfterMs;
  return retryAfterOf(thrown.cause);
}

/** Whether this is Node's error of that code, such as ENOENT. */
export function hasCode(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === code;
}
