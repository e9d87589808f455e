import anyTest, { type TestFn } from 'ava';
import { gzipSync } from 'node:zlib';
import { GatewayError } from '../../src/model/errors.js';
import { assignmentFor, AuthzGateway } from '../support/authz-gateway.js';
import { TestAuthority } from '../support/certificates.js';
import {
  allowed,
  denied,
  NEW_SESSION,
  SESSION,
  sparkBody,
  type CheckOptions,
} from '../support/check-client.js';
import { encode, frame } from '../support/spark-messages.js';
import { TokenIssuer } from '../support/token-issuer.js';

const test = anyTest as TestFn<{ gateway: AuthzGateway }>;

test.beforeEach(async (t) => {
  t.context = {
    gateway: await AuthzGateway.start({
      service: ({ uriSans, dnsSans, subject }) =>
        uriSans.includes('spiffe://corp/ns/jobs/sa/runner') ||
        dnsSans.includes('runner.corp') ||
        subject === 'CN=runner'
          ? {
              principal: { issuer: 'certificate', subject: 'runner' },
              groups: ['data'],
              claims: {},
            }
          : undefined,
      sourceNetwork: (address) =>
        address.startsWith('10.1.')
          ? { principal: { issuer: 'network', subject: 'lab' }, groups: ['data'], claims: {} }
          : undefined,
    }),
  };
});
test.afterEach.always((t) => t.context.gateway.close());

test('an allowed request leaves with the route, the pin, the principal and the driver’s own credential', async (t) => {
  const { gateway } = t.context;
  const token = await gateway.token();
  const { set, remove, metadata } = allowed(
    await gateway.client.check({ token, headers: { 'x-doordash-user': 'ann.smith' } }),
  );
  t.deepEqual(set, {
    'x-spark-cluster': 'spark/sjns-data-prod',
    'x-spark-driver': 'driver-1_0',
    'x-spark-pin': Buffer.from('192.0.2.9:15002').toString('base64'),
    'x-spark-principal': 'ann@example.com',
    'x-spark-issuer': gateway.issuer.url,
    'x-spark-session': SESSION,
    'x-spark-identity': Buffer.from(`${SESSION}/ann@example.com`).toString('base64'),
    authorization: 'Bearer drivers-own-token',
  });
  t.deepEqual(remove, []);
  t.deepEqual(metadata, {
    session: SESSION,
    claimed_user: 'ann.smith',
    principal: 'ann@example.com',
    issuer: gateway.issuer.url,
    team: 'data',
    environment: 'prod',
    namespace: 'sjns-data-prod',
    driver: 'driver-1',
  });
  t.deepEqual(gateway.asked, [
    {
      sessionId: SESSION,
      principal: { issuer: gateway.issuer.url, subject: 'ann@example.com' },
      userId: 'ann@example.com',
      team: 'data',
      environment: 'prod',
      namespace: 'sjns-data-prod',
      mayCreate: true,
      holdMs: 60_000,
      method: 'ExecutePlan',
      traceparent: undefined,
    },
  ]);
  t.deepEqual(gateway.activity, [
    { sessionId: SESSION, atMs: gateway.clock.now(), released: false },
  ]);
});

test('the user’s token never reaches a driver, not even one without a credential of its own', async (t) => {
  const { gateway } = t.context;
  gateway.assign = (request) =>
    Promise.resolve({ ...assignmentFor(request), driverToken: undefined });
  const token = await gateway.token();
  const { set, remove } = allowed(
    await gateway.client.check({ token, headers: { authentication: token } }),
  );
  t.false('authorization' in set);
  t.deepEqual(remove.toSorted(), ['authentication', 'authorization']);
});

test('client copies of internal headers are overwritten or removed', async (t) => {
  const { gateway } = t.context;
  const { set, remove } = allowed(
    await gateway.client.check({
      token: await gateway.token(),
      headers: { 'x-spark-cluster': 'spark/other', 'x-spark-anything': 'else' },
    }),
  );
  t.is(set['x-spark-cluster'], 'spark/sjns-data-prod');
  t.deepEqual(remove, ['x-spark-anything']);
});

test('who the client says it works for is read from the header that the settings name', async (t) => {
  const gateway = await AuthzGateway.start({}, { userHeader: 'x-acme-user' });
  t.teardown(() => gateway.close());
  const headers = { 'x-acme-user': 'ann.smith', 'x-doordash-user': 'someone' };
  const { metadata } = allowed(
    await gateway.client.check({ token: await gateway.token(), headers }),
  );
  t.is(metadata['claimed_user'], 'ann.smith');
});

test('a principal is stamped in a form that cannot break out of its header', async (t) => {
  const { gateway } = t.context;
  const { set, metadata } = allowed(
    await gateway.client.check({ token: await gateway.token({ sub: 'Ünal 100%' }) }),
  );
  t.is(set['x-spark-principal'], '%C3%9Cnal%20100%25');
  t.is(metadata['principal'], 'Ünal 100%');
});

for (const [name, headers] of Object.entries({
  'authorization without regard to case': (token: string) => ({ authorization: `bearer ${token}` }),
  'authentication with a scheme': (token: string) => ({ authentication: `Bearer ${token}` }),
  'authentication without one, as the JVM client sends it': (token: string) => ({
    authentication: token,
  }),
  'both headers with the same token': (token: string) => ({
    authorization: `Bearer ${token}`,
    authentication: token,
  }),
})) {
  test(`a token is taken from ${name}`, async (t) => {
    const { gateway } = t.context;
    const headersWithToken = headers(await gateway.token());
    t.truthy(allowed(await gateway.client.check({ headers: headersWithToken })));
  });
}

interface Refusal {
  readonly code: string;
  readonly status: number;
  readonly message: RegExp;
  readonly options: (gateway: AuthzGateway) => Promise<CheckOptions> | CheckOptions;
}

const refusals: Record<string, Refusal> = {
  'a body without a session id': {
    code: 'REQUEST_UNREADABLE',
    status: 3,
    message: /no session_id/,
    options: async (gateway) => ({
      token: await gateway.token(),
      body: frame(encode([2, encode([1, 'ann'])])),
    }),
  },
  'an unreadable body': {
    code: 'REQUEST_UNREADABLE',
    status: 3,
    message: /first message has not arrived/,
    options: async (gateway) => ({ token: await gateway.token(), body: Buffer.alloc(0) }),
  },
  'a bad token before it looks at the body': {
    code: 'TOKEN_MALFORMED',
    status: 16,
    message: /not a JSON Web Token/,
    options: () => ({
      token: 'bad',
      headers: { 'grpc-encoding': 'gzip' },
      body: frame(Buffer.from('no gzip'), true),
    }),
  },
  'a missing token before it looks at the body': {
    code: 'TOKEN_MISSING',
    status: 16,
    message: /no token/,
    options: () => ({ body: Buffer.alloc(0) }),
  },
  'a path that is none of Spark Connect’s': {
    code: 'METHOD_UNKNOWN',
    status: 12,
    message: /spark\.connect\.SparkConnectService 3\.5 to 4\.x/,
    options: () => ({ path: '/spark.connect.SparkConnectService/DropEverything' }),
  },
  'two authorization headers': {
    code: 'HEADER_DUPLICATED',
    status: 3,
    message: /"authorization" came more than once/,
    options: async (gateway) => {
      const token = await gateway.token();
      return { headers: { authorization: `Bearer ${token},Bearer ${token}` } };
    },
  },
  'different tokens in both headers': {
    code: 'HEADER_DUPLICATED',
    status: 3,
    message: /different tokens/,
    options: async (gateway) => ({
      token: await gateway.token(),
      headers: { authentication: await gateway.token({ sub: 'bob' }) },
    }),
  },
  'two team headers, even with a bad token': {
    code: 'HEADER_DUPLICATED',
    status: 3,
    message: /"x-doordash-team"/,
    options: () => ({ token: 'bad', headers: { 'x-doordash-team': 'data,ml' } }),
  },
  'a compressed CloneSession without a new id': {
    code: 'CLONE_SESSION_ID_MISSING',
    status: 3,
    message: /spark\.cloneSession\(new_session_id=str\(uuid\.uuid4\(\)\)\)/,
    options: async (gateway) => ({
      token: await gateway.token(),
      method: 'CloneSession',
      headers: { 'grpc-encoding': 'gzip' },
      body: frame(gzipSync(encode([1, SESSION], [2, encode([1, 'ann'])])), true),
    }),
  },
  'no token': {
    code: 'TOKEN_MISSING',
    status: 16,
    message: /sc:\/\/<host>:15002\/;token=<token>/,
    options: () => ({}),
  },
  'an empty token': {
    code: 'TOKEN_MISSING',
    status: 16,
    message: /no token/,
    options: () => ({ headers: { authorization: 'Bearer ' } }),
  },
  'credentials of another kind': {
    code: 'TOKEN_MALFORMED',
    status: 16,
    message: /does not hold a bearer token/,
    options: () => ({ headers: { authorization: 'Basic YTpi' } }),
  },
  'a malformed token, before its missing team is noticed': {
    code: 'TOKEN_MALFORMED',
    status: 16,
    message: /not a JSON Web Token/,
    options: () => ({ token: 'abc', headers: { 'x-doordash-team': undefined } }),
  },
  'a token of another audience': {
    code: 'TOKEN_AUDIENCE_REFUSED',
    status: 16,
    message: /api:\/\/other/,
    options: async (gateway) => ({ token: await gateway.token({ aud: 'api://other' }) }),
  },
  'an expired token': {
    code: 'TOKEN_EXPIRED',
    status: 16,
    message: /expired at 20\d\d-.*Get a new one/,
    options: async (gateway) => ({
      token: await gateway.token({ exp: gateway.clock.now() / 1000 - 31 }),
    }),
  },
  'a certificate that the policy does not name': {
    code: 'TOKEN_MISSING',
    status: 16,
    message: /no token/,
    options: () => ({ principal: 'spiffe://corp/ns/other/sa/other' }),
  },
  'a missing team': {
    code: 'TEAM_MISSING',
    status: 3,
    message: /;x-doordash-team=/,
    options: async (gateway) => ({
      token: await gateway.token(),
      headers: { 'x-doordash-team': undefined },
    }),
  },
  'an empty environment': {
    code: 'ENVIRONMENT_MISSING',
    status: 3,
    message: /;x-doordash-environment=/,
    options: async (gateway) => ({
      token: await gateway.token(),
      headers: { 'x-doordash-environment': '' },
    }),
  },
  'a namespace that is not the caller’s': {
    code: 'NAMESPACE_REFUSED',
    status: 7,
    message: /You may use: data/,
    options: async (gateway) => ({
      token: await gateway.token(),
      headers: { 'x-doordash-team': 'payments' },
    }),
  },
};
for (const [what, { code, status, message, options }] of Object.entries(refusals)) {
  test(`refuses ${what}`, async (t) => {
    const { gateway } = t.context;
    const refusal = denied(await gateway.client.check(await options(gateway)));
    t.is(refusal.code, code);
    t.is(refusal.grpcStatus, status);
    t.regex(refusal.message, message);
    t.is(refusal.metadata['refusal'], code);
    t.deepEqual(gateway.asked, []);
    t.deepEqual(gateway.activity, []);
    t.like(gateway.decisions[0], { code });
  });
}

test('where the policy asks for it, user_id must be the caller’s', async (t) => {
  const gateway = await AuthzGateway.start({ matchUserId: true });
  const token = await gateway.token();
  const refusal = denied(await gateway.client.check({ token, body: sparkBody('bob') }));
  t.is(refusal.code, 'USER_ID_MISMATCH');
  t.is(refusal.grpcStatus, 7);
  t.truthy(allowed(await gateway.client.check({ token, body: sparkBody('ann@example.com') })));
  await gateway.close();
});

test('a refusal of the assigner arrives with its status, message, time to come back and error class', async (t) => {
  const { gateway } = t.context;
  const token = await gateway.token();
  gateway.assign = () =>
    Promise.reject(new GatewayError('DRIVER_STARTING', 'Starting – 40 %', { retryAfterMs: 1500 }));
  t.like(denied(await gateway.client.check({ token })), {
    code: 'DRIVER_STARTING',
    grpcStatus: 14,
    httpStatus: 503,
    message: 'Starting – 40 %',
    retryAfterMs: 1500,
  });
  gateway.assign = () => Promise.reject(new GatewayError('SESSION_ENDED', 'gone'));
  t.like(denied(await gateway.client.check({ token })), {
    code: 'SESSION_ENDED',
    grpcStatus: 13,
    errorClass: 'INVALID_HANDLE.SESSION_CHANGED',
  });
});

test('a failure of the gateway shows nothing of its inside', async (t) => {
  const { gateway } = t.context;
  gateway.assign = () => Promise.reject(new Error('password=hunter2'));
  const refusal = denied(await gateway.client.check({ token: await gateway.token() }));
  t.is(refusal.code, 'INTERNAL');
  t.notRegex(refusal.message, /hunter2/);
});

test('an assignment that is not the one asked for is never used', async (t) => {
  const { gateway } = t.context;
  const token = await gateway.token();
  const cases = {
    SESSION_OF_ANOTHER: { principal: { issuer: gateway.issuer.url, subject: 'bob' } },
    SESSION_ELSEWHERE: { namespace: 'sjns-other-prod' },
    INTERNAL: { address: '' },
  };
  for (const [code, changes] of Object.entries(cases)) {
    gateway.assign = (request) => Promise.resolve({ ...assignmentFor(request), ...changes });
    t.is(denied(await gateway.client.check({ token })).code, code);
  }
});

for (const [method, mayCreate] of Object.entries({
  Config: true,
  AnalyzePlan: true,
  ExecutePlan: true,
  AddArtifacts: true,
  ArtifactStatus: true,
  ReattachExecute: false,
  ReleaseExecute: false,
  ReleaseSession: false,
  Interrupt: false,
  FetchErrorDetails: false,
  GetStatus: false,
})) {
  test(`${method} may ${mayCreate ? '' : 'not '}start a session`, async (t) => {
    const { gateway } = t.context;
    await gateway.client.check({ token: await gateway.token(), method });
    t.like(gateway.asked[0], { mayCreate, method });
  });
}

test('ReleaseSession is reported as the end of the session, unless the client means to come back', async (t) => {
  const { gateway } = t.context;
  const token = await gateway.token();
  const user = [2, encode([1, 'ann'])] as const;
  const final = await gateway.client.check({ token, method: 'ReleaseSession' });
  const body = frame(encode([1, SESSION], user, [4, 1]));
  const passing = await gateway.client.check({ token, method: 'ReleaseSession', body });
  t.is(allowed(final).metadata['comes_back'], undefined);
  t.is(allowed(passing).metadata['comes_back'], 'true');
  t.deepEqual(
    gateway.activity.map(({ released }) => released),
    [true, false],
  );
});

test('a clone is pinned to the driver of its source, whose owner alone may clone it', async (t) => {
  const { gateway } = t.context;
  const token = await gateway.token();
  const body = frame(encode([1, SESSION], [2, encode([1, 'ann'])], [4, NEW_SESSION]));
  const { set } = allowed(await gateway.client.check({ token, method: 'CloneSession', body }));
  t.is(set['x-spark-session'], SESSION);
  t.like(gateway.asked[0], { sessionId: SESSION, mayCreate: false });
  t.like(gateway.asked[1], { sessionId: NEW_SESSION, cloneOf: SESSION });
  t.deepEqual(
    gateway.activity.map(({ sessionId }) => sessionId),
    [SESSION, NEW_SESSION],
  );

  gateway.assign = (request) =>
    Promise.resolve({ ...assignmentFor(request), driverUid: request.cloneOf ? 'two' : 'one' });
  const elsewhere = denied(await gateway.client.check({ token, method: 'CloneSession', body }));
  t.is(elsewhere.code, 'SESSION_ELSEWHERE');
});

test('a clone whose id is left to the server is given one, which Envoy is told', async (t) => {
  const { gateway } = t.context;
  gateway.asked.length = 0;
  const token = await gateway.token();
  const { set } = allowed(await gateway.client.check({ token, method: 'CloneSession' }));
  const [source, clone] = gateway.asked;
  t.is(source?.sessionId, SESSION);
  t.is(clone?.cloneOf, SESSION);
  t.regex(clone?.sessionId ?? '', /^[0-9a-f-]{36}$/);
  t.is(set['x-spark-new-session'], clone?.sessionId);
  const other = allowed(await gateway.client.check({ token, method: 'CloneSession' }));
  t.not(other.set['x-spark-new-session'], clone?.sessionId);
});

test('an owner’s expired token finishes what began with it, each for a time of its own', async (t) => {
  const gateway = await AuthzGateway.start(
    {},
    { afterExpiry: { queryMs: 3_600_000, sessionMs: 60_000 } },
  );
  const token = await gateway.token({ exp: gateway.clock.now() / 1000 + 10 });
  const finishing = ['ReattachExecute', 'ReleaseExecute', 'Interrupt', 'FetchErrorDetails'];
  const others = ['ExecutePlan', 'AnalyzePlan', 'Config', 'AddArtifacts', 'GetStatus'];
  const good = async (methods: readonly string[]) => {
    for (const method of methods) {
      t.truthy(allowed(await gateway.client.check({ token, method })), method);
    }
  };
  const expired = async (methods: readonly string[]) => {
    for (const method of methods) {
      const { code, message } = denied(await gateway.client.check({ token, method }));
      t.is(code, 'TOKEN_EXPIRED', method);
      t.true(message.includes(`;session_id=${SESSION};token=<token>").create()`), message);
    }
  };
  // The issuer's policy allows clocks to differ by 30 s.
  await gateway.clock.advance(10_000 + 30_000);
  await good([...finishing, 'ReleaseSession']);
  await expired(others);
  await gateway.clock.advance(60_000);
  await good(finishing);
  await expired([...others, 'ReleaseSession']);
  const elsewhere = gateway.assign;
  for (const code of ['SESSION_UNKNOWN', 'SESSION_OF_ANOTHER'] as const) {
    gateway.assign = () => Promise.reject(new GatewayError(code, 'no'));
    const refusal = denied(await gateway.client.check({ token, method: 'ReattachExecute' }));
    t.is(refusal.code, 'TOKEN_EXPIRED', code);
    t.false(refusal.message.includes(SESSION), 'nobody is told to go on with what is not theirs');
  }
  gateway.assign = elsewhere;
  await gateway.clock.advance(3_600_000);
  await expired([...finishing, 'ReleaseSession']);
  await gateway.close();
});

test('a token that has expired is told so whatever its request is', async (t) => {
  const { gateway } = t.context;
  const token = await gateway.token({ exp: gateway.clock.now() / 1000 + 10 });
  await gateway.clock.advance(100_000);
  const refused = denied(await gateway.client.check({ token, body: Buffer.alloc(3) }));
  t.is(refused.code, 'TOKEN_EXPIRED');
  t.regex(refused.message, /Get a new one and connect with it/);
});

for (const [what, options] of Object.entries({
  'its URI': { principal: 'spiffe://corp/ns/jobs/sa/runner' },
  'its DNS name': { principal: 'runner.corp' },
  'its subject': { principal: 'CN=runner' },
  'a name of its certificate that is not the first': {
    principal: 'spiffe://corp/first',
    certificate: encodeURIComponent(
      new TestAuthority().issue({
        commonName: 'x',
        uris: ['spiffe://corp/first', 'spiffe://corp/ns/jobs/sa/runner'],
        dnsNames: ['other.corp'],
      }).certificatePem,
    ),
  },
})) {
  test(`a service without a token is known by ${what}`, async (t) => {
    const { gateway } = t.context;
    const { set } = allowed(await gateway.client.check(options));
    t.is(set['x-spark-principal'], 'runner');
    t.is(set['x-spark-issuer'], 'certificate');
  });
}

test('a name in a certificate cannot pass for two', async (t) => {
  const { gateway } = t.context;
  const { certificatePem } = new TestAuthority().issue({
    commonName: 'x',
    uris: ['spiffe://evil, URI:spiffe://corp/ns/jobs/sa/runner'],
  });
  const options = { principal: 'x', certificate: encodeURIComponent(certificatePem) };
  t.is(denied(await gateway.client.check(options)).code, 'TOKEN_MISSING');
});

test('a request without a token from a network that the policy names has that network’s principal', async (t) => {
  const { gateway } = t.context;
  const { set } = allowed(await gateway.client.check({ sourceAddress: '10.1.2.3' }));
  t.is(set['x-spark-principal'], 'lab');
});

test('behind proxies the client is whom Envoy names, not the proxy', async (t) => {
  const { gateway } = t.context;
  const named = (client: string, sourceAddress: string) =>
    gateway.client.check({ sourceAddress, headers: { 'x-spark-client-address': client } });
  t.is(allowed(await named('10.1.2.3', '192.0.2.7')).set['x-spark-principal'], 'lab');
  t.is(denied(await named('192.0.2.7', '10.1.2.3')).code, 'TOKEN_MISSING');
});

test('a token that is shown counts, even if it is bad and the certificate is good', async (t) => {
  const { gateway } = t.context;
  const options = { token: 'bad', principal: 'spiffe://corp/ns/jobs/sa/runner' };
  t.is(denied(await gateway.client.check(options)).code, 'TOKEN_MALFORMED');
});

test('while the issuer cannot be asked, a client is told to come back', async (t) => {
  const down = await TokenIssuer.start('down');
  down.down = true;
  const gateway = await AuthzGateway.start({ issuers: [down.policy()] });
  const token = await down.token(gateway.clock.now());
  const refusal = denied(await gateway.client.check({ token }));
  t.is(refusal.code, 'ISSUER_UNREACHABLE');
  t.is(refusal.grpcStatus, 14);
  t.true((refusal.retryAfterMs ?? 0) > 0);
  await gateway.close();
  await down.close();
});

test('a refusal is logged with its reason, principal and session, and never a token', async (t) => {
  const { gateway } = t.context;
  const token = await gateway.token();
  await gateway.client.check({ token, headers: { 'x-doordash-team': 'payments' } });
  await gateway.client.check({ token: `${token}x` });
  const log = gateway.logLines.join('');
  t.regex(log, /"code":"NAMESPACE_REFUSED"/);
  t.regex(log, /"principal":"ann@example.com"/);
  t.true(log.includes(SESSION));
  t.false(log.includes(token.split('.')[2] ?? ''));
  t.false(log.includes(token.split('.')[1] ?? ''));
});
