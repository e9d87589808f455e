import test from 'ava';
import { pino } from 'pino';
import type { PolicyObserver } from '../../src/model/policy.js';
import { policyObserver } from '../../src/processes/policy.js';
import { caller, policyOf } from '../policy/support.js';

test('an expression without an answer is counted each time, and logged once for each rule, code and version', (t) => {
  const counted: string[] = [];
  const metrics: PolicyObserver = {
    expressionFailed: ({ rule, code }) => counted.push(`${rule} ${code}`),
  };
  const logged: Record<string, unknown>[] = [];
  const logger = pino(
    {},
    { write: (line) => logged.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const observer = policyObserver(metrics, logger);
  const rules = (name: string) =>
    policyOf(
      `access:\n  - {name: ${name}, who: {principals: ["*"]}, what: {teams: [data], environments: [dev]}, when: caller.claims.level > 3}\n`,
      { observer },
    );
  const target = { team: 'data', environment: 'dev', namespace: 'sjns-data-dev' };
  const policy = rules('seniors');
  for (const name of ['ann', 'bob', 'ann']) policy.refuseUse(caller(name), target);
  t.deepEqual(
    counted,
    Array.from({ length: 3 }, () => 'seniors no_such_key'),
  );
  t.is(logged.length, 1);
  t.like(logged[0], { version: policy.version, rule: 'seniors', code: 'no_such_key' });
  t.is(JSON.stringify(logged).includes('ann'), false);

  const next = rules('elders');
  next.refuseUse(caller('ann'), target);
  t.is(logged.length, 2);
  t.like(logged[1], { version: next.version, rule: 'elders' });
});
