/** What becomes of a request between its question and its answer, and of a session between its requests. */
import anyTest, { type TestFn } from 'ava';
import type { AssignRequest, Assignment } from '../../src/model/assignment.js';
import { GatewayError } from '../../src/model/errors.js';
import { assignmentFor, AuthzGateway } from '../support/authz-gateway.js';
import { allowed, denied, sparkBody } from '../support/check-client.js';
import type { PlainPolicyOptions } from '../support/plain-policy.js';
import { Signal } from '../support/signal.js';

const test = anyTest as TestFn<{ gateway: AuthzGateway }>;

test.beforeEach(async (t) => {
  t.context = { gateway: await AuthzGateway.start() };
});
test.afterEach.always((t) => t.context.gateway.close());

const asAnn = (request: AssignRequest) => ({ ...assignmentFor(request), userId: 'ann' });

/** Each question waits until it is answered. */
function held(gateway: AuthzGateway): Signal<{ request: AssignRequest; answer: () => void }> {
  const asked = new Signal<{ request: AssignRequest; answer: () => void }>();
  gateway.assign = (request) =>
    new Promise<Assignment>((resolve) => {
      asked.emit({ request, answer: () => resolve(assignmentFor(request)) });
    });
  return asked;
}

const changes: readonly (readonly [
  what: string,
  policy: Partial<PlainPolicyOptions>,
  code: string | undefined,
])[] = [
  ['refuses its principal', { matchUserId: true }, 'USER_ID_MISMATCH'],
  ['accepts its issuer no longer', { issuers: [] }, 'TOKEN_ISSUER_UNKNOWN'],
  ['allows it still', {}, undefined],
];
for (const [what, policy, code] of changes) {
  test(`a policy that ${what} is applied to a session that waited for its driver`, async (t) => {
    const { gateway } = t.context;
    const asked = held(gateway);
    const token = await gateway.token();
    const answer = gateway.client.check({ token, body: sparkBody('somebody else') });
    const question = await asked.next();
    gateway.setPolicy(policy);
    question.answer();
    const response = await answer;
    if (code === undefined) t.truthy(allowed(response));
    else t.is(denied(response).code, code);
    t.is(gateway.activity.length, code === undefined ? 1 : 0);
  });
}

test('a policy that sends it elsewhere meanwhile refuses it', async (t) => {
  const { gateway } = t.context;
  gateway.assign = (request) => {
    gateway.setPolicy({ namespacePrefix: 'other-' });
    return Promise.resolve(assignmentFor(request));
  };
  const refused = denied(await gateway.client.check({ token: await gateway.token() }));
  t.is(refused.code, 'SESSION_ELSEWHERE');
});

test('a session keeps the user_id that it began with, whether it is remembered or asked for', async (t) => {
  const { gateway } = t.context;
  const token = await gateway.token();
  const check = (user: string, method = 'ExecutePlan') =>
    gateway.client.check({ token, method, body: sparkBody(user) });
  for (const way of ['assign', 'remembered'] as const) {
    gateway.assign = (request) =>
      way === 'assign'
        ? Promise.resolve(asAnn(request))
        : Promise.reject(new GatewayError('INTERNAL', 'not asked'));
    gateway.remembered = (request) => (way === 'remembered' ? asAnn(request) : undefined);
    t.truthy(allowed(await check('ann')));
    for (const method of ['ExecutePlan', 'Config', 'ReleaseSession']) {
      for (const user of ['bob', '', 'Ann']) {
        const refused = denied(await check(user, method));
        t.is(refused.code, 'USER_ID_MISMATCH', `${way} ${method} as ${user}`);
        t.is(refused.grpcStatus, 7);
        t.regex(refused.message, /began with another user_id/);
      }
    }
  }
});

test('a control plane of an earlier release, which tells no user_id, refuses nobody for it', async (t) => {
  const { gateway } = t.context;
  const token = await gateway.token();
  t.truthy(allowed(await gateway.client.check({ token, body: sparkBody('bob') })));
});
