import type { LimitPolicy } from '../../src/model/policy.js';
import type { Query, QueryReports } from '../../src/model/assignment.js';

/** Limits of a policy that says so much. */
export function limitPolicy(fields: Partial<LimitPolicy>): LimitPolicy {
  return {
    messageSizeBytes: undefined,
    connectionsPerDriver: undefined,
    queriesPerSession: undefined,
    queriesPerPrincipal: undefined,
    queriesPerTeam: undefined,
    queriesPerNamespace: undefined,
    ...fields,
  };
}

/** Keeps what an access log told of queries, in order. */
export class RecordingQueries implements QueryReports {
  readonly events: (
    readonly ['running', Query] | readonly ['ended', string] | readonly ['lost']
  )[] = [];

  running(query: Query): void {
    this.events.push(['running', query]);
  }

  ended(requestId: string): void {
    this.events.push(['ended', requestId]);
  }

  lost(): void {
    this.events.push(['lost']);
  }
}
