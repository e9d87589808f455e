/**
 * The service as it is shipped. With `deployed` also what its role gives it: metrics, a policy from a
 * file with limits of requests, what is remembered of assignments and told of sessions.
 */
import pino from 'pino';
import { Registry } from 'prom-client';
import { ActivityReports } from '../../../src/authz/assignments/activity-reports.js';
import { SeenRequests } from '../../../src/authz/assignments/seen-requests.js';
import { AssignmentCache } from '../../../src/authz/assignments/assignment-cache.js';
import { type AuthzServerOptions, startAuthzServer } from '../../../src/authz/authz-server.js';
import { momentOf, systemClock } from '../../../src/model/clock.js';
import { compilePolicy } from '../../../src/policy/compile.js';
import { authzMetrics } from '../../../src/processes/authz.js';
import { options as policyOptions } from '../../../test/policy/support.js';
import { assigner, policyOf, type Subject, subjectOf } from '../subject.js';

type Variable = Pick<AuthzServerOptions, 'policy' | 'assigner' | 'activity' | 'seen' | 'metrics'>;

function bare(subject: Subject): Variable {
  const policy = policyOf(subject);
  return { policy: () => policy, assigner, activity: { activity: () => undefined } };
}

function deployed({ issuer }: Subject): Variable {
  const metrics = authzMetrics(new Registry());
  const document = `
apiVersion: spark-gateway/v1alpha1
kind: RoutingPolicy
issuers: [{issuer: '${issuer.issuer}', audiences: [${issuer.audiences.join()}], client_ids: [${issuer.clientIds.join()}]}]
targets: {environments: [dev, staging, prod]}
access:
  - {who: {groups: [other]}, what: {teams: [other], environments: ['*']}}
  - {who: {groups: [data]}, what: {teams: [data], environments: [dev, prod]}}
rate_limits:
  - {requests_per_principal: 1000000/1s, requests_per_namespace: 1000000/1s}
`;
  const policy = compilePolicy(document, 'policy.yaml', policyOptions);
  const cache = new AssignmentCache(systemClock);
  const renew = () => cache.renew(momentOf(systemClock));
  renew();
  setInterval(renew, 5_000);
  const reports = new ActivityReports();
  return {
    policy: () => policy,
    metrics,
    assigner: {
      assign: assigner.assign,
      remembered(request) {
        const known = cache.get(request.sessionId);
        metrics.assignmentCache(known ? 'hit' : 'miss');
        if (known) return known;
        const assignment = assigner.remembered(request);
        if (assignment) cache.accept(cache.begin(request.sessionId), assignment);
        return assignment;
      },
    },
    activity: { activity: (events) => events.forEach((event) => reports.add(event)) },
    seen: new SeenRequests(),
  };
}

const subject = subjectOf(process.argv[2]);
await startAuthzServer({
  address: { path: subject.socket },
  clock: systemClock,
  logger: pino({ level: 'warn' }),
  ...(process.argv[3] === 'deployed' ? deployed(subject) : bare(subject)),
});
process.stdout.write('ready\n');
