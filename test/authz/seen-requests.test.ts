import test from 'ava';
import type { SeenRequest } from '../../src/model/assignment.js';
import { AuthzGateway } from '../support/authz-gateway.js';
import { allowed, denied, SESSION } from '../support/check-client.js';

test('a request is told as the policy saw it, with claims and without the token', async (t) => {
  const seen: SeenRequest[] = [];
  const gateway = await AuthzGateway.start({}, { seen: { seen: (request) => seen.push(request) } });
  t.teardown(() => gateway.close());
  const token = await gateway.token({ groups: ['data'], team: 'data' });
  allowed(await gateway.client.check({ token }));
  const [request] = seen;
  t.is(request?.sessionId, SESSION);
  t.like(request?.caller.principal, { subject: 'ann@example.com' });
  t.like(request?.caller.claims, { groups: ['data'], team: 'data' });
  t.deepEqual(request?.headers, {
    'x-doordash-team': 'data',
    'x-doordash-environment': 'prod',
  });
  t.false(JSON.stringify(request).includes(token.slice(-40)));
  t.false(gateway.logLines.some((line) => line.includes('"groups"')));
});

test('one that is refused is told as nobody’s session', async (t) => {
  const seen: SeenRequest[] = [];
  const gateway = await AuthzGateway.start({}, { seen: { seen: (request) => seen.push(request) } });
  t.teardown(() => gateway.close());
  const headers = { 'x-doordash-team': '', 'x-doordash-environment': '' };
  denied(await gateway.client.check({ token: await gateway.token(), headers }));
  t.is(seen.length, 1);
  t.is(seen[0]?.sessionId, undefined);
});
