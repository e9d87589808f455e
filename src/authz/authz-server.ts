/** The ext_authz service as one part: everything between Envoy's socket and the assigner. */
import type { Logger } from 'pino';
import { frame } from '../lib/grpc/http2-calls.js';
import type { SocketAddress } from '../model/address.js';
import {
  type ActivitySink,
  type Assigner,
  type QueryAdmission,
  unlimitedQueries,
  type SeenRequestSink,
} from '../model/assignment.js';
import { noTracer, type Tracer } from '../model/audit.js';
import type { Clock } from '../model/clock.js';
import { GrpcStatus } from '../model/errors.js';
import { type InterruptChannel, noInterruptChannel } from '../model/interrupt.js';
import { CLAIMED_USER_HEADER } from '../model/names.js';
import type { Policy } from '../model/policy.js';
import { decodeCheckRequest, encodeAllowed, encodeDenied } from './check-codec.js';
import type { CheckMemory } from './check-memory.js';
import { CheckService, type Decision } from './check-service.js';
import type { AfterExpiry } from './decision.js';
import { andThen, CallError } from './grpc-wire.js';
import { Http2Transport, type UnaryHandler } from './http2-transport.js';
import type { ShadowTally } from './shadow.js';
import { type IssuerKeyState, TokenVerifier } from './token/verifier.js';
import { MalformedMessage } from '../lib/protobuf/wire.js';
import { noMetrics, type AuthzMetrics } from './authz-metrics.js';

export interface AuthzServerOptions {
  /** A unix socket, or a loopback address. */
  readonly address: SocketAddress;
  /** The policy now; asked at every check. */
  readonly policy: () => Policy;
  /** A policy that is tried out: what it would decide otherwise is reported. */
  readonly shadowPolicy?: () => Policy | undefined;
  /** Told of that, too. */
  readonly shadowTally?: ShadowTally;
  readonly assigner: Assigner;
  readonly activity: Pick<ActivitySink, 'activity'>;
  /** Told of what policies look at. Default: nobody is. */
  readonly seen?: SeenRequestSink;
  /** Asked where the policy limits queries. Default: none is held. */
  readonly queries?: QueryAdmission;
  /** Where interrupts of what other sidecars hold are told. Default: there are no others. */
  readonly interrupts?: InterruptChannel;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: AuthzMetrics;
  /** Default: nothing is traced. */
  readonly tracer?: Tracer;
  /** Headers that say where a request goes; refused when they come twice. Default: `x-doordash-team`, `x-doordash-environment`. */
  readonly routingHeaders?: readonly string[];
  /** Header that says who the client works for; recorded. Default: `x-doordash-user`. */
  readonly userHeader?: string;
  /** The longest time that a check waits for a driver. Shorter than the filter's timeout. Default 60 s. */
  readonly holdMs?: number;
  /** How long Envoy may keep a decision of those that it may keep. Default: not at all. */
  readonly leaseMs?: number;
  /** How long after its end an owner's token is still good for what it began. Default: a day for queries, 15 min for sessions. */
  readonly afterExpiry?: AfterExpiry;
  /** The largest check that is taken: headers, certificate and body prefix. Default 256 KiB. */
  readonly maxCheckBytes?: number;
  /** Verified tokens remembered at most. Default 10,000. */
  readonly tokenCacheSize?: number;
  /** Default 16 KiB. */
  readonly maxTokenBytes?: number;
  /** How often issuers' keys are fetched again. Default 5 min. */
  readonly keyRefreshMs?: number;
  /** The least time between two fetches that unknown key ids ask for. Default 30 s. */
  readonly keyCooldownMs?: number;
  /** How long keys are believed that cannot be fetched again. Default 1 day. */
  readonly keyGreatestAgeMs?: number;
}

export interface AuthzServer {
  /** The gRPC target that reaches it. */
  readonly target: string;
  /** Issuers of the policy whose keys could not be fetched so far. */
  issuersWithoutKeys(): readonly string[];
  /** All issuers of the policy. */
  issuerKeys(): readonly IssuerKeyState[];
  /**
   * Health says NOT_SERVING, connections are told to go, checks under way finish; those that are held
   * longer than `limitMs` (default 10 s) are answered with UNAVAILABLE.
   */
  close(limitMs?: number): Promise<void>;
}

/** Resolves when it listens and has asked each issuer for its keys once. Rejects with SETTINGS_INVALID. */
export async function startAuthzServer(options: AuthzServerOptions): Promise<AuthzServer> {
  const { policy, assigner, activity, clock, logger } = options;
  const metrics = options.metrics ?? noMetrics;
  const verifier = new TokenVerifier({
    clock,
    logger,
    ...(options.tokenCacheSize === undefined ? {} : { cacheSize: options.tokenCacheSize }),
    ...(options.maxTokenBytes === undefined ? {} : { maxTokenBytes: options.maxTokenBytes }),
    ...(options.keyRefreshMs === undefined ? {} : { keyRefreshMs: options.keyRefreshMs }),
    ...(options.keyCooldownMs === undefined ? {} : { keyCooldownMs: options.keyCooldownMs }),
    ...(options.keyGreatestAgeMs === undefined
      ? {}
      : { keyGreatestAgeMs: options.keyGreatestAgeMs }),
    onCache: (result) => metrics.tokenCache(result),
    onKeyFetch: (issuer, ok) => metrics.keyFetch(issuer, ok),
  });
  const service = new CheckService({
    policy,
    shadowPolicy: options.shadowPolicy ?? (() => undefined),
    ...(options.shadowTally && { shadowTally: options.shadowTally }),
    assigner,
    activity,
    seen: options.seen ?? { seen: () => undefined },
    queries: options.queries ?? unlimitedQueries,
    interrupts: options.interrupts ?? noInterruptChannel,
    verifier,
    clock,
    logger,
    metrics,
    tracer: options.tracer ?? noTracer,
    headers: {
      routing: options.routingHeaders ?? ['x-doordash-team', 'x-doordash-environment'],
      user: options.userHeader ?? CLAIMED_USER_HEADER,
    },
    holdMs: options.holdMs ?? 60_000,
    leaseMs: options.leaseMs ?? 0,
    afterExpiry: options.afterExpiry ?? { queryMs: 86_400_000, sessionMs: 15 * 60_000 },
  });
  const transport = new Http2Transport({
    handlers: new Map([[CHECK_PATH, checkHandler(service)]]),
    clock,
    logger,
    maxMessageBytes: options.maxCheckBytes ?? 256 * 1024,
  });
  await verifier.useIssuers(policy().issuers);
  const target = await transport.listen(options.address);
  return {
    target,
    issuersWithoutKeys: () => verifier.issuersWithoutKeys(),
    issuerKeys: () => verifier.issuerKeys(),
    async close(limitMs = 10_000) {
      await transport.drain(limitMs);
      verifier.close();
    },
  };
}

// The RPC that Envoy calls: bytes in, a decision, bytes out.

export const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';

/** Answers calls of `CHECK_PATH`. */
export function checkHandler(service: Pick<CheckService, 'check' | 'memory'>): UnaryHandler {
  const { memory } = service;
  return (message, call) => {
    let request;
    try {
      request = decodeCheckRequest(message, memory.texts);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      throw new CallError(GrpcStatus.INVALID_ARGUMENT, 'This is no CheckRequest.');
    }
    return andThen(service.check(request, call), (decision) => encodeDecision(decision, memory));
  };
}

/** A CheckResponse, framed. It is shared: not to be changed. */
export function encodeDecision(
  { allowed, response }: Decision,
  memory: Pick<CheckMemory, 'encoded'>,
): Buffer {
  if (!allowed) return frame(encodeDenied(response));
  let encoded = memory.encoded.get(response);
  if (!encoded) {
    encoded = ownBytes(frame(encodeAllowed(response)));
    memory.encoded.set(response, encoded);
  }
  return encoded;
}

/** What is kept for long must be no slice of Node's pool: it would keep all 8 KiB of it. */
function ownBytes(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
