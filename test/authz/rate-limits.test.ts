import test from 'ava';
import { AuthzGateway } from '../support/authz-gateway.js';
import { allowed, denied } from '../support/check-client.js';

const NONE = { principal: undefined, team: undefined, namespace: undefined };

test('requests beyond the rate are refused with the time to wait, but none that ends running work', async (t) => {
  const principal = { count: 2, perMs: 10_000 };
  const gateway = await AuthzGateway.start({
    rateLimits: () => ({ sessions: NONE, requests: { ...NONE, principal } }),
  });
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  const check = (method: string) => gateway.client.check({ token, method });
  allowed(await check('ExecutePlan'));
  allowed(await check('AnalyzePlan'));
  const refused = denied(await check('ExecutePlan'));
  t.is(refused.code, 'RATE_LIMITED');
  t.is(refused.grpcStatus, 8);
  t.is(refused.retryAfterMs, 5_000);
  t.regex(refused.message, /allows you 2 requests in 10 s/);
  for (const method of ['ReattachExecute', 'ReleaseExecute', 'Interrupt', 'FetchErrorDetails']) {
    allowed(await check(method));
  }
  await gateway.clock.advance(5_000);
  allowed(await check('Config'));
});
