/** What sidecars tell of themselves for people (`AssignmentService.ReportStatus`). No session depends on it. */
import { LRUCache } from 'lru-cache';
import type {
  EnvoyCounts as CountsMessage,
  ReportStatusRequest,
  ShadowReport as ShadowMessage,
  SidecarPolicy as PolicyMessage,
  SeenRequest as SeenRequestMessage,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import type { SeenRequestSink, SeenRequest } from '../model/assignment.js';
import type { Clock } from '../model/clock.js';
import type { EnvoyCounts } from '../model/envoy-counts.js';
import { GatewayError } from '../model/errors.js';
import { isObject } from '../model/json.js';
import type { Leadership } from '../model/ledger.js';
import { principalKey } from '../model/principal.js';
import { notLeading } from '../model/refusals.js';
import type { ShadowKind, ShadowReport, SidecarPolicy } from '../model/reports.js';
import type { SidecarNotices } from './notices.js';

export interface SidecarStatusOptions {
  readonly notices: Pick<SidecarNotices, 'decidesBy'>;
  readonly seen: SeenRequestSink;
  /** Told of what a sidecar's Envoy has counted so far. */
  readonly counted?: (sidecarId: string, counts: readonly EnvoyCounts[]) => void;
  readonly leadership: Leadership;
  readonly clock: Clock;
}

/** Throws the GatewayError after which the sidecar tells it again. */
export function takeStatus(
  { sidecarId, seen: requests, policy, counts }: ReportStatusRequest,
  { notices, seen, counted, leadership, clock }: SidecarStatusOptions,
): void {
  if (leadership.epoch() === undefined) throw notLeading();
  if (policy && !notices.decidesBy(sidecarId, readSidecarPolicy(policy, clock.now()))) {
    throw new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'This sidecar has no open stream here.');
  }
  if (counts.length > 0) counted?.(sidecarId, counts.map(readCounts));
  for (const message of requests) {
    const told = readSeenRequest(message);
    if (told) seen.seen(told);
  }
}

function readCounts({ succeeded, buckets, ...of }: CountsMessage): EnvoyCounts {
  return { ...of, succeeded: Number(succeeded), buckets: buckets.map(Number) };
}

// What a sidecar told of the policy that it decides by.

const sources: readonly string[] = ['policy', 'rule'] satisfies readonly ShadowKind['source'][];
const outcomes: readonly string[] = [
  'refuse',
  'allow',
  'move',
  'same',
] satisfies readonly ShadowKind['would'][];

function readSidecarPolicy(
  { version, problem, shadow, issuers }: PolicyMessage,
  nowMs: number,
): SidecarPolicy {
  return {
    version,
    problem: problem === '' ? undefined : problem,
    shadow: shadow && readShadow(shadow, nowMs),
    issuers: issuers.map(({ issuer, problem: why, keysKnown }) => ({
      issuer,
      problem: why,
      keysKnown,
    })),
  };
}

/** What a sidecar of another release says in words that are not known is left out. */
function readShadow(
  { version, problem, counts, examples }: ShadowMessage,
  nowMs: number,
): ShadowReport {
  return {
    version: version === '' ? undefined : version,
    problem: problem === '' ? undefined : problem,
    counts: counts.flatMap(({ count, ...said }) => {
      const kind = kindOf(said);
      return kind ? [{ ...kind, count: Number(count) }] : [];
    }),
    examples: examples.flatMap(({ by, principal, method, message, ageMs, ...said }) => {
      const kind = kindOf(said);
      if (!kind || !principal) return [];
      const { issuer, subject } = principal;
      const atMs = nowMs - Number(ageMs);
      return [{ ...kind, by, principal: { issuer, subject }, method, message, atMs }];
    }),
  };
}

function kindOf(said: {
  readonly source: string;
  readonly would: string;
  readonly code: string;
}): ShadowKind | undefined {
  return isKind(said) ? { source: said.source, would: said.would, code: said.code } : undefined;
}

function isKind(said: {
  readonly source: string;
  readonly would: string;
  readonly code: string;
}): said is ShadowKind {
  return sources.includes(said.source) && outcomes.includes(said.would);
}

// What sidecars told of the newest requests: in memory only, for the leader's term.

const REMEMBERED = 20_000;
/** Of claims, host, headers and user ids together, characters. */
const MAX_SIZE = 64 * 1024 * 1024;
/** Of one request; a sidecar sends less. */
const MAX_ENTRY = 128 * 1024;

export class SeenRequestTable implements SeenRequestSink {
  readonly #newest = new LRUCache<string, SeenRequest>({
    max: REMEMBERED,
    maxSize: MAX_SIZE,
    maxEntrySize: MAX_ENTRY,
    sizeCalculation: sizeOf,
  });

  seen(request: SeenRequest): void {
    const { principal } = request.caller;
    this.#newest.set(request.sessionId ?? `refused ${principalKey(principal)}`, request);
  }

  /** The newest first. */
  list(): readonly SeenRequest[] {
    return [...this.#newest.values()];
  }
}

/** undefined: it cannot be read, and is left out. */
function readSeenRequest(message: SeenRequestMessage): SeenRequest | undefined {
  const { sessionId, principal, headers, host, userId } = message;
  const claims = readClaims(message.claims);
  if (!principal || !claims) return undefined;
  const { issuer, subject } = principal;
  return {
    sessionId: sessionId === '' ? undefined : sessionId,
    caller: { principal: { issuer, subject }, claims },
    host,
    headers: { ...headers },
    userId,
  };
}

function readClaims(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function sizeOf({ caller, headers, host, userId }: SeenRequest): number {
  return JSON.stringify([caller, headers, host, userId]).length;
}
