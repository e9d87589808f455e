/** The form of the records, which docs/audit.md describes. What is added keeps `version`; what changes raises it. */
import type { AdminAction, AuditedRpc } from '../../model/audit.js';
import type { Omitted } from '../../model/unverified-sample.js';

export const RECORD_VERSION = 1;

/** Text in a record, at most: clients choose some of it. */
const LONGEST_TEXT = 1024;
const MOST_DETAILS = 32;

export type AuditValue = string | number | boolean;

/** By name; what is undefined is not there. */
export type AuditFields = Readonly<
  Record<string, AuditValue | Readonly<Record<string, AuditValue>> | undefined>
>;

/** Flat, but for `detail`; a field that is not known is left out. */
export interface AuditRecord {
  readonly version: typeof RECORD_VERSION;
  /** `rpc`: an RPC that has ended; `admin`: what an operator did; `lost`: records that were dropped. */
  readonly event: 'rpc' | 'admin' | 'lost';
  /** When it began. */
  readonly timeMs: number;
  readonly fields: AuditFields;
  /** No verified principal stands behind it: it takes little of the room of the others. Not written. */
  readonly unverified: boolean;
}

/** `allowed` and `refused` are authz's decisions; `none`: Envoy answered by itself, `details` says why. */
type Verdict = 'allowed' | 'refused' | 'none';

export function rpcRecord(rpc: AuditedRpc): AuditRecord {
  return record('rpc', rpc.startedAtMs, rpc.principal === undefined, {
    requestId: clip(rpc.requestId),
    decision: verdict(rpc),
    reason: rpc.refusal,
    principal: clipped(rpc.principal),
    issuer: clipped(rpc.issuer),
    claimedUser: clipped(rpc.claimedUser),
    team: clipped(rpc.team),
    environment: clipped(rpc.environment),
    namespace: clipped(rpc.namespace),
    session: clipped(rpc.session),
    method: rpc.method,
    driver: clipped(rpc.driver),
    grpcStatus: rpc.grpcStatus,
    details: rpc.details === '' ? undefined : clip(rpc.details),
    durationMs: rpc.durationMs,
    bytesReceived: rpc.bytesReceived,
    bytesSent: rpc.bytesSent,
    client: clipped(rpc.client),
    envoy: clip(rpc.envoy),
    traceId: rpc.traceId,
  });
}

export function adminRecord(action: AdminAction, atMs: number): AuditRecord {
  return record('admin', atMs, action.principal === undefined, {
    requestId: clipped(action.requestId),
    action: clip(action.action),
    object: clipped(action.object),
    outcome: action.outcome,
    reason: action.code,
    principal: clipped(action.principal?.subject),
    issuer: clipped(action.principal?.issuer),
    client: action.client,
    detail: action.detail && clippedDetail(action.detail),
  });
}

/** Stands in a destination where records are missing. */
export function lostRecord(count: number, atMs: number): AuditRecord {
  return record('lost', atMs, false, { count });
}

/** Stands for those that were left out because no verified principal stands behind them. */
export function omittedRecord({ count, kinds, sinceMs }: Omitted): AuditRecord {
  return record('lost', sinceMs, true, {
    count,
    reason: 'UNVERIFIED',
    detail: clippedDetail(kinds),
  });
}

/** A line of JSON with its line end. */
export function recordLine({ version, event, timeMs, fields }: AuditRecord): string {
  const rest = JSON.stringify(fields).slice(1);
  const comma = rest === '}' ? '' : ',';
  return `{"version":${version},"event":"${event}","time":"${new Date(timeMs).toISOString()}"${comma}${rest}\n`;
}

export function verdict({ refusal, driver, details }: AuditedRpc): Verdict {
  if (refusal !== undefined) return 'refused';
  // What authz answers by itself, for a session without a driver, comes from an upstream, too.
  return driver === undefined && details !== 'via_upstream' ? 'none' : 'allowed';
}

function record(
  event: AuditRecord['event'],
  timeMs: number,
  unverified: boolean,
  fields: AuditFields,
): AuditRecord {
  return { version: RECORD_VERSION, event, timeMs, fields, unverified };
}

function clippedDetail(detail: Readonly<Record<string, AuditValue>>): Record<string, AuditValue> {
  return Object.fromEntries(
    Object.entries(detail)
      .slice(0, MOST_DETAILS)
      .map(([name, value]) => [clip(name), typeof value === 'string' ? clip(value) : value]),
  );
}

export function clipped(text: string | undefined): string | undefined {
  return text === undefined ? undefined : clip(text);
}

export function clip(text: string): string {
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text;
}
