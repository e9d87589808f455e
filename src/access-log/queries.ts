/** From access records to the queries that run. */
import type { QueryReports } from '../model/query.js';
import type { AccessRecord } from './record.js';

const METHODS = new Set(['ExecutePlan', 'ReattachExecute']);

/** `source`: stands for the stream of the access log. */
export function tellOfQuery(record: AccessRecord, source: object, reports: QueryReports): void {
  if (!METHODS.has(record.method)) return;
  // Whether or not authz knew whose it was: a client may go away while its query waits.
  if (record.kind === 'ended') reports.ended(record.streamId, record.durationMs ?? 0);
  const { issuer, namespace, principal, refusal, session, streamId, team } = record;
  if (record.kind === 'ended' || refusal !== undefined) return;
  if (session === undefined || principal === undefined || issuer === undefined) return;
  if (team === undefined || namespace === undefined) return;
  const query = {
    requestId: streamId,
    sessionId: session,
    principal: { issuer, subject: principal },
    team,
    namespace,
  };
  reports.running(query, source);
}
