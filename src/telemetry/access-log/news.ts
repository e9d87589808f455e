/** Which of the records that came together say something of a session that the others do not. */
import { QUERY_RPCS } from '../../model/names.js';
import type { AccessRecord } from './access-record.js';

/** Of whose RPCs each one is told. */
const TOLD = new Set<string>([...QUERY_RPCS, 'AddArtifacts', 'ReleaseSession']);

/**
 * For each record whether it is news. Of the small RPCs that succeeded, the newest one of each session and connection
 * is: that it was active says as much as that it was so twenty times within a moment.
 * @param intervalMs how often Envoys report a running RPC, milliseconds
 */
export function whichAreNews(records: readonly AccessRecord[], intervalMs: number): boolean[] {
  const areNews = records.map(() => true);
  /** By session: those that are news so far, each of another connection. */
  const newest = new Map<string, number[]>();
  for (const [index, record] of records.entries()) {
    const session = commonSession(record, intervalMs);
    if (session === undefined) continue;
    const others = newest.get(session);
    if (!others) {
      newest.set(session, [index]);
      continue;
    }
    const place = others.findIndex((one) => records[one]?.connection === record.connection);
    const other = others[place];
    if (other === undefined) others.push(index);
    else if (record.startedAtMs < (records[other]?.startedAtMs ?? 0)) areNews[index] = false;
    else {
      areNews[other] = false;
      others[place] = index;
    }
  }
  return areNews;
}

/** Its session, if it only says that this was active: nobody was told that it runs, and nothing has ended with it. */
function commonSession(record: AccessRecord, intervalMs: number): string | undefined {
  const { kind, grpcStatus, refusal, session, method, durationMs, sessionClosed } = record;
  const isCommon =
    kind === 'ended' &&
    grpcStatus === 0 &&
    refusal === undefined &&
    sessionClosed === undefined &&
    durationMs !== undefined &&
    durationMs < intervalMs &&
    !TOLD.has(method);
  return isCommon ? session : undefined;
}
