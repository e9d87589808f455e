/** What sidecars told of the newest requests: in memory only, for the leader's term. */
import { LRUCache } from 'lru-cache';
import type { SeenRequest as SeenRequestMessage } from '#gen/spark_gateway/v1/assignments_pb.js';
import { isObject } from '../model/json.js';
import { principalKey } from '../model/principal.js';
import type { SeenRequest, SeenRequestSink } from '../model/seen-request.js';

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
export function readSeenRequest(message: SeenRequestMessage): SeenRequest | undefined {
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
