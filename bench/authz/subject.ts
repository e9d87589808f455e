/** What every contender is given: one issuer, one policy, a driver for each session. */
import type { Assigner, AssignRequest, Assignment } from '../../src/model/assignment.js';
import type { IssuerPolicy, Policy } from '../../src/model/policy.js';
import { plainPolicy } from '../../test/support/plain-policy.js';

export interface Subject {
  readonly issuer: IssuerPolicy;
  /** Where the contender listens. */
  readonly socket: string;
}

export function subjectOf(argument: string | undefined): Subject {
  return JSON.parse(argument ?? '') as Subject;
}

export function policyOf(subject: Subject): Policy {
  return plainPolicy({ issuers: [subject.issuer] });
}

const assignments = new Map<string, Assignment>();

function assignmentOf(request: AssignRequest): Assignment {
  let known = assignments.get(request.sessionId);
  if (!known) {
    known = {
      sessionId: request.sessionId,
      principal: request.principal,
      driverUid: '0b6c6a3e-7c1d-4a55-9a3c-5d0d3c1f2e10',
      cluster: `spark/${request.namespace}`,
      address: '10.1.2.3:15002',
      driverToken: '0123456789abcdef0123456789abcdef',
      team: request.team,
      environment: request.environment,
      namespace: request.namespace,
      cacheTtlMs: 60_000,
    };
    assignments.set(request.sessionId, known);
  }
  return known;
}

/** Every session has its driver already, as it does for all requests but the first. */
export const assigner: Required<Assigner> = {
  assign: (request) => Promise.resolve(assignmentOf(request)),
  remembered: assignmentOf,
};
