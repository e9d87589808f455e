/** One Follow stream: reports in, notices out. */
import { create } from '@bufbuild/protobuf';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import {
  FollowResponseSchema,
  type FollowRequest,
  type FollowResponse,
  type ShadowReport as ShadowMessage,
  type SidecarPolicy as PolicyMessage,
  type SeenRequest as SeenRequestMessage,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { toServiceError } from '../lib/grpc/status-details.js';
import type { ActivitySink, SeenRequestSink, SeenRequest } from '../model/assignment.js';
import type { Clock, Timer } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import { isObject } from '../model/json.js';
import type { Leadership } from '../model/ledger.js';
import { principalKey } from '../model/principal.js';
import type { ShadowKind, ShadowReport, SidecarPolicy } from '../model/reports.js';
import type { NoticeStream, SidecarConnection, SidecarNotices } from './notices.js';
import { notLeading } from '../model/refusals.js';

/** A sidecar reports every 10 s; one that is silent for so long is taken for cut off. */
const SILENCE_MS = 60_000;

export interface FollowOptions {
  readonly notices: SidecarNotices;
  readonly activity: ActivitySink;
  readonly seen: SeenRequestSink;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function follow(
  call: ServerDuplexStream<FollowRequest, FollowResponse>,
  { notices, activity, seen, leadership, clock, logger }: FollowOptions,
): void {
  let connection: SidecarConnection | undefined;
  let sidecarId = '';
  let silence: Timer | undefined;
  let over = false;

  /** Ends the stream, from whichever side it ends first. */
  const finish = (error?: GatewayError) => {
    if (over) return;
    over = true;
    silence?.cancel();
    if (connection) {
      connection.closed();
      activity.reporterDisconnected(sidecarId);
      logger.info({ sidecar: sidecarId, reason: error?.message }, 'sidecar disconnected');
    }
    if (error) call.emit('error', toServiceError(error));
    else call.end();
  };

  const connect = (request: FollowRequest): SidecarConnection => {
    sidecarId = request.sidecarId;
    const stream: NoticeStream = {
      send: (notice) =>
        call.write(
          create(FollowResponseSchema, {
            ...notice,
            endedSessions: [...notice.endedSessions],
            endedDrivers: [...notice.endedDrivers],
            interrupts: notice.interrupts.map((interrupt) => ({
              ...interrupt,
              principal: { ...interrupt.principal },
            })),
          }),
        ),
      replaced: () => finish(new GatewayError('SHUTTING_DOWN', 'A newer stream took its place.')),
    };
    const opened = notices.connect(sidecarId, request.applied, stream, request.name);
    if (opened.unknownPast) activity.reporterDisconnected(sidecarId);
    activity.reporterConnected(sidecarId);
    logger.info({ sidecar: sidecarId }, 'sidecar connected');
    return opened;
  };

  const listen = () => {
    silence?.cancel();
    silence = clock.setTimer(SILENCE_MS, () =>
      finish(new GatewayError('SHUTTING_DOWN', 'The sidecar sent no report for a minute.')),
    );
  };

  listen();
  call.on('data', (request: FollowRequest) => {
    if (over) return;
    if (leadership.epoch() === undefined) return finish(notLeading());
    if (!connection && request.sidecarId === '') {
      return finish(new GatewayError('INTERNAL', 'The first message names no sidecar.'));
    }
    listen();
    connection ??= connect(request);
    const nowMs = clock.now();
    activity.activity(
      request.activity.map(({ sessionId, ageMs, released }) => ({
        sessionId,
        atMs: nowMs - ageMs,
        released,
      })),
      sidecarId,
    );
    for (const message of request.seen) {
      const told = readSeenRequest(message);
      if (told) seen.seen(told);
    }
    if (request.policy) connection.decidesBy(readSidecarPolicy(request.policy, nowMs));
    connection.report(request.applied, request.report);
  });
  call.on('drain', () => connection?.writable());
  call.on('end', () => finish());
  call.on('cancelled', () => finish());
  call.on('error', () => finish());
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
