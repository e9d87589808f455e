/** The newest request of each session, and of each person who was refused, for the control plane to be told of. */
import type { SeenRequest, SeenRequestSink } from '../../model/assignment.js';
import { principalKey } from '../../model/principal.js';
import { recent } from '../../lib/recent.js';

export interface ToldRequest extends SeenRequest {
  /** The caller's, as JSON. */
  readonly claims: string;
}

const REMEMBERED = 10_000;
/** Of one report, characters of claims; what is left comes with the next. */
const MAX_REPORT = 512 * 1024;
/** Larger ones are not told: whom they name stays unknown. No token of this size is accepted. */
const MAX_CLAIMS = 16 * 1024;

export class SeenRequests implements SeenRequestSink {
  readonly #newest = recent<string, SeenRequest>(REMEMBERED);
  readonly #untold = new Set<string>();

  seen(request: SeenRequest): void {
    const key = keyOf(request);
    const known = this.#newest.get(key);
    if (known && isSame(known, request)) return;
    this.#newest.set(key, request);
    this.#untold.add(key);
  }

  /** The next ones to tell, which count as told from now on. */
  next(): readonly ToldRequest[] {
    const told: ToldRequest[] = [];
    let size = 0;
    for (const key of this.#untold) {
      const request = this.#newest.peek(key);
      const claims = JSON.stringify(request?.caller.claims ?? {});
      if (told.length > 0 && size + claims.length > MAX_REPORT) break;
      this.#untold.delete(key);
      if (!request || claims.length > MAX_CLAIMS) continue;
      size += claims.length;
      told.push({ ...request, claims });
    }
    return told;
  }

  /** These did not arrive. */
  takeBack(told: readonly SeenRequest[]): void {
    for (const request of told) this.#untold.add(keyOf(request));
  }

  /** Another control plane may listen from now on, which knows nothing. */
  tellAgain(): void {
    for (const key of this.#newest.keys()) this.#untold.add(key);
  }
}

function keyOf({ sessionId, caller }: SeenRequest): string {
  return sessionId ?? `refused ${principalKey(caller.principal)}`;
}

/** A caller is the same value for as long as its token is remembered. */
function isSame(a: SeenRequest, b: SeenRequest): boolean {
  return (
    a.caller === b.caller &&
    a.host === b.host &&
    a.userId === b.userId &&
    holds(a.headers, b.headers) &&
    holds(b.headers, a.headers)
  );
}

/** Whether all of `part` is in `all`. */
function holds(all: SeenRequest['headers'], part: SeenRequest['headers']): boolean {
  for (const name in part) if (all[name] !== part[name]) return false;
  return true;
}
