/**
 * The lines of RPCs, of which there are thousands a second: what `recordLine(rpcRecord(rpc))` says, for a fraction
 * of its time. Most of what the RPCs of a session say is the same, so its JSON is kept.
 */
import type { AuditedRpc } from '../../model/audit.js';
import { recent } from '../../lib/recent.js';
import { clip, clipped, RECORD_VERSION, verdict } from './audit-record.js';

/** Fields that the RPCs of a session share. */
const SHARED = [
  'principal',
  'issuer',
  'claimedUser',
  'team',
  'environment',
  'namespace',
  'session',
  'driver',
  'client',
  'envoy',
] as const;

interface Known {
  /** In the order of `SHARED`. */
  readonly values: readonly (string | undefined)[];
  /** Members of an object. */
  readonly json: string;
}

const SESSIONS = 10_000;
/** What JSON writes as it is. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

export class RpcLines {
  /** Of each session, what its last RPC shared with those before. */
  readonly #known = recent<string, Known>(SESSIONS);
  /** The second of the last line, since the epoch, and its date and time with the dot behind it. */
  #second = -1;
  #secondText = '';

  /** A line of JSON with its line end. */
  line(rpc: AuditedRpc): string {
    const { refusal, grpcStatus, details, durationMs, traceId } = rpc;
    return (
      `{"version":${RECORD_VERSION},"event":"rpc","time":"${this.#time(rpc.startedAtMs)}"` +
      `,"requestId":${quoted(clip(rpc.requestId))},"decision":"${verdict(rpc)}"` +
      (refusal === undefined ? '' : `,"reason":${quoted(refusal)}`) +
      `,${this.#shared(rpc)},"method":"${rpc.method}"` +
      (grpcStatus === undefined ? '' : `,"grpcStatus":${grpcStatus}`) +
      (details === '' ? '' : `,"details":${quoted(clip(details))}`) +
      (durationMs === undefined ? '' : `,"durationMs":${durationMs}`) +
      `,"bytesReceived":${rpc.bytesReceived},"bytesSent":${rpc.bytesSent}` +
      (traceId === undefined ? '' : `,"traceId":${quoted(traceId)}`) +
      '}\n'
    );
  }

  #shared(rpc: AuditedRpc): string {
    const key = rpc.session ?? '';
    const known = this.#known.get(key);
    if (known && SHARED.every((name, i) => known.values[i] === rpc[name])) return known.json;
    const fields = SHARED.map((name) => [name, clipped(rpc[name])] as const);
    const json = JSON.stringify(Object.fromEntries(fields)).slice(1, -1);
    this.#known.set(key, { values: SHARED.map((name) => rpc[name]), json });
    return json;
  }

  #time(ms: number): string {
    const second = Math.floor(ms / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#secondText = new Date(second * 1000).toISOString().slice(0, -'000Z'.length);
    }
    return `${this.#secondText}${String(ms - second * 1000).padStart(3, '0')}Z`;
  }
}

function quoted(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}
