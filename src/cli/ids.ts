/** Ids as people write them: the first characters are enough where they fit one only. */
import { type ErrorCode, GatewayError } from '../model/errors.js';

const SHORTEST = 8;
/** Ids up to this length are shown as they are. */
const SHORT_ENOUGH = 16;

/** Each id with its first characters, as few as tell it from all others, but at least eight. */
export function shortIds(ids: readonly string[]): (id: string) => string {
  const sorted = [...new Set(ids)].toSorted();
  const short = new Map(
    sorted.map((id, at) => {
      const shared = Math.max(common(id, sorted[at - 1]), common(id, sorted[at + 1]));
      const length = Math.max(SHORTEST, shared + 1);
      return [id, id.length <= SHORT_ENOUGH ? id : id.slice(0, length)] as const;
    }),
  );
  return (id) => short.get(id) ?? id;
}

function common(a: string, b = ''): number {
  const at = Array.from(a).findIndex((character, index) => character !== b[index]);
  return at === -1 ? a.length : at;
}

export interface IdKind {
  /** For messages: `driver`. */
  readonly name: string;
  readonly unknown: ErrorCode;
  /** The command that lists them, where it is not their plural. */
  readonly listedBy?: string;
}

export const driverIds: IdKind = { name: 'driver', unknown: 'DRIVER_UNKNOWN' };
export const sessionIds: IdKind = { name: 'session', unknown: 'SESSION_UNKNOWN' };
export const jobIds: IdKind = { name: 'job', unknown: 'JOB_UNKNOWN', listedBy: 'job list' };

/** The one id that is `written` or begins so. Throws ARGUMENT_INVALID for several, what `kind` says for none. */
export function wholeId(written: string, ids: readonly string[], kind: IdKind): string {
  if (ids.includes(written)) return written;
  const fitting = [...new Set(ids.filter((id) => id.startsWith(written)))];
  const [only, ...others] = fitting;
  if (only === undefined) {
    throw new GatewayError(
      kind.unknown,
      `There is no ${kind.name} ${written}; "spark-gateway ${kind.listedBy ?? `${kind.name}s`}" lists them.`,
    );
  }
  if (others.length > 0) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      `${written} is the beginning of ${fitting.length} ${kind.name}s: ${fitting.slice(0, 5).join(', ')}${fitting.length > 5 ? ', …' : ''}. Write more of it.`,
    );
  }
  return only;
}
