import test from 'ava';
import { startAdminApi } from '../support/admin-api.js';
import { TokenIssuer } from '../support/token-issuer.js';

interface Refusal {
  readonly error: { readonly code: string; readonly message: string };
}

async function refusal(response: Response): Promise<[number, string]> {
  const { error } = (await response.json()) as Refusal;
  return [response.status, error.code];
}

test('without a token nobody is shown anything, and is told how to say who they are', async (t) => {
  const api = await startAdminApi(t);
  const response = await api.ask('sessions');
  t.is(response.headers.get('www-authenticate'), 'Bearer realm="spark-gateway"');
  t.deepEqual(await refusal(response), [401, 'TOKEN_MISSING']);
});

test('an expired token is refused, without grace', async (t) => {
  const api = await startAdminApi(t);
  const token = await api.issuer.token(api.clock.now(), { sub: 'reader@example.com' });
  t.is((await api.ask('status', { token })).status, 200);
  await api.clock.advance(3600_000 + 60_000);
  const response = await api.ask('status', { token });
  t.regex(response.headers.get('www-authenticate') ?? '', /error="invalid_token"/);
  t.deepEqual(await refusal(response), [401, 'TOKEN_EXPIRED']);
});

test("another issuer's token is refused, though its claims would do", async (t) => {
  const api = await startAdminApi(t);
  const foreign = await TokenIssuer.start('foreign', '127.0.0.1');
  t.teardown(() => foreign.close());
  const claims = { sub: 'operator@example.com' };
  const token = await foreign.token(api.clock.now(), claims);
  t.deepEqual(await refusal(await api.ask('status', { token })), [401, 'TOKEN_ISSUER_UNKNOWN']);
  const forged = await foreign.token(api.clock.now(), { ...claims, iss: api.issuer.url });
  t.deepEqual(await refusal(await api.ask('status', { token: forged })), [
    401,
    'TOKEN_SIGNATURE_INVALID',
  ]);
});

test('credentials of another kind are refused', async (t) => {
  const api = await startAdminApi(t);
  const response = await fetch(`${api.url}/api/v1/status`, {
    headers: { authorization: 'Basic cm9vdDpyb290' },
  });
  t.deepEqual(await refusal(response), [401, 'TOKEN_MALFORMED']);
});

test('whom the policy gives no role is told which one is missing', async (t) => {
  const api = await startAdminApi(t);
  const response = await api.ask('sessions', { token: await api.tokenOf('nobody') });
  t.is(response.status, 403);
  t.deepEqual(await response.json(), {
    error: {
      code: 'ADMINISTRATION_REFUSED',
      message:
        'nobody@example.com lacks the role "read": ask whoever keeps the routing policy for a rule in administration.read.',
    },
  });
});

test('an admin may read, too', async (t) => {
  const api = await startAdminApi(t);
  t.is((await api.ask('status', { token: await api.tokenOf('operator') })).status, 200);
});

test('nothing that is shown may be kept by a browser or a proxy', async (t) => {
  const api = await startAdminApi(t);
  const { headers } = await api.ask('status', { token: await api.tokenOf('reader') });
  t.is(headers.get('cache-control'), 'no-store');
  t.is(headers.get('x-content-type-options'), 'nosniff');
});
