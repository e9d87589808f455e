/**
 * The lines of RPCs, of which there are thousands a second: what `recordLine(rpcRecord(rpc))` says, for a fraction
 * of its time. Most of what the RPCs of a session say is the same, so its JSON is kept.
 */
import type { AuditedRpc } from '../../model/audit.js';
import { recent } from '../../lib/recent.js';
import { clip, clipped, RECORD_VERSION, verdict } from './audit-record.js';

/** What the RPCs of a session share, in the order in which a line has it. */
function sharedOf({
  principal,
  issuer,
  claimedUser,
  team,
  environment,
  namespace,
  session,
  driver,
}: AuditedRpc) {
  return { principal, issuer, claimedUser, team, environment, namespace, session, driver };
}

type Shared = ReturnType<typeof sharedOf>;

interface Known {
  readonly shared: Shared;
  /** Members of an object, each behind a comma. */
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
    const { refusal, client, grpcStatus, details, durationMs, traceId } = rpc;
    return (
      `{"version":${RECORD_VERSION},"event":"rpc","time":"${this.#time(rpc.startedAtMs)}"` +
      `,"requestId":${quoted(clip(rpc.requestId))},"decision":"${verdict(rpc)}"` +
      (refusal === undefined ? '' : `,"reason":${quoted(refusal)}`) +
      this.#shared(rpc) +
      (client === undefined ? '' : `,"client":${quoted(clip(client))}`) +
      `,"envoy":${quoted(clip(rpc.envoy))},"method":"${rpc.method}"` +
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
    if (known && isSame(known.shared, rpc)) return known.json;
    const shared = sharedOf(rpc);
    const fields = Object.entries(shared).map(([name, value]) => [name, clipped(value)] as const);
    const members = JSON.stringify(Object.fromEntries(fields)).slice(1, -1);
    const json = members === '' ? '' : `,${members}`;
    this.#known.set(key, { shared, json });
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

/** Each field by its name: a loop over names costs several times as much. */
function isSame(a: Shared, b: Shared): boolean {
  return (
    a.principal === b.principal &&
    a.issuer === b.issuer &&
    a.claimedUser === b.claimedUser &&
    a.team === b.team &&
    a.environment === b.environment &&
    a.namespace === b.namespace &&
    a.session === b.session &&
    a.driver === b.driver
  );
}
