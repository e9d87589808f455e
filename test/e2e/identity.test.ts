import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { ISSUER_KEYS_FILE, DevelopmentKeys, mintToken } from '../../src/issuer/tokens.js';
import { AFFINITY_HEADER, CLUSTER_HEADER, PIN_HEADER, ringHashKey } from '../../src/model/names.js';
import { developmentPolicy } from '../support/development-policy.js';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { TokenIssuer } from '../support/token-issuer.js';

const test = anyTest as TestFn<{ gateway: Gateway; pyspark: PySpark }>;

test.before(async (t) => {
  [t.context.gateway, t.context.pyspark] = await Promise.all([
    Gateway.start({
      policy: developmentPolicy({ size: 1, maximum: 2, sessions_per_driver: 1 }),
    }),
    PySpark.start('4'),
  ]);
});

test.after.always(async (t) => {
  await t.context.pyspark?.kill();
  t.is(await t.context.gateway?.stop(), 0);
});

test.serial('two users have a driver each and cannot see the other', async (t) => {
  const { gateway, pyspark } = t.context;
  const alice = await pyspark.connect('alice', await gateway.url({ user: 'alice' }));
  const bob = await pyspark.connect('bob', await gateway.url({ user: 'bob' }));
  await pyspark.createTempView('alice', 'secret', "SELECT 'alice was here' AS text");
  t.deepEqual((await pyspark.sql('alice', 'SELECT * FROM secret')).rows, [['alice was here']]);

  const failed = await t.throwsAsync(pyspark.sql('bob', 'SELECT * FROM secret'));
  t.regex(failed?.message ?? '', /TABLE_OR_VIEW_NOT_FOUND/);

  const aliceDriver = await gateway.driverOf(alice.sessionId);
  const bobDriver = await gateway.driverOf(bob.sessionId);
  t.not(aliceDriver.uid, bobDriver.uid);
  t.is(aliceDriver.tenant?.principal.subject, 'alice@example.com');
  t.is(bobDriver.tenant?.principal.subject, 'bob@example.com');
});

test.serial('a session id and user id that were stolen are of no use', async (t) => {
  const { gateway, pyspark } = t.context;
  const { sessionId } = await pyspark.identity('alice');
  await pyspark.connect(
    'thief',
    await gateway.url({
      token: await gateway.token('bob'),
      user: 'alice',
      parameters: { session_id: sessionId },
    }),
  );
  const refused = await t.throwsAsync(pyspark.sql('thief', 'SELECT * FROM secret'), {
    instanceOf: PySparkError,
  });
  t.is(refused?.code, 'PERMISSION_DENIED');
  t.is(refused?.reason, 'SESSION_OF_ANOTHER');
  t.regex(refused?.message ?? '', /belongs to someone else/);

  for (const method of ['AnalyzePlan', 'Config', 'ReleaseSession', 'Interrupt'] as const) {
    const call = pyspark.raw({
      target: `127.0.0.1:${gateway.port}`,
      method,
      sessionId,
      userId: 'alice',
      metadata: [
        ['authorization', `Bearer ${await gateway.token('bob')}`],
        ['x-doordash-team', 'data'],
        ['x-doordash-environment', 'dev'],
      ],
    });
    const error = await t.throwsAsync(call.result, { instanceOf: PySparkError });
    t.is(error?.reason, 'SESSION_OF_ANOTHER', method);
  }
  t.deepEqual((await pyspark.sql('alice', 'SELECT * FROM secret')).rows, [['alice was here']]);
});

test.serial("forged internal headers do not lead to another's driver", async (t) => {
  const { gateway, pyspark } = t.context;
  const bobDriver = await gateway.driverOf((await pyspark.identity('bob')).sessionId);
  const alice = await pyspark.identity('alice');
  await pyspark.connect(
    'forger',
    await gateway.url({
      parameters: {
        session_id: alice.sessionId,
        [CLUSTER_HEADER]: `spark/${bobDriver.namespace}`,
        [AFFINITY_HEADER]: ringHashKey(bobDriver.uid),
        [PIN_HEADER]: Buffer.from(bobDriver.address).toString('base64url'),
        'x-spark-principal': 'bob@example.com',
      },
    }),
  );
  const host = await pyspark.conf('forger', 'spark.driver.host');
  t.is(`${host}:15002`, (await gateway.driverOf(alice.sessionId)).address);
  t.not(`${host}:15002`, bobDriver.address);
});

interface Refusal {
  readonly title: string;
  readonly url: (gateway: Gateway) => Promise<string>;
  readonly code: string;
  readonly reason: string;
  /** In what PySpark shows. */
  readonly message: RegExp;
}

const refusals: readonly Refusal[] = [
  {
    title: 'no environment',
    url: (gateway) => gateway.url({ environment: undefined }),
    code: 'INVALID_ARGUMENT',
    reason: 'ENVIRONMENT_MISSING',
    message: /x-doordash-environment=/,
  },
  {
    title: 'no team, of someone whose token names none',
    url: (gateway) => gateway.url({ user: 'dave', team: undefined }),
    code: 'INVALID_ARGUMENT',
    reason: 'TEAM_MISSING',
    message: /x-doordash-team=/,
  },
  {
    title: 'the team of others',
    url: (gateway) => gateway.url({ user: 'carol' }),
    code: 'PERMISSION_DENIED',
    reason: 'NAMESPACE_REFUSED',
    message: /ml/,
  },
  {
    title: 'a token that is none',
    url: (gateway) => gateway.url({ token: 'letmein' }),
    code: 'UNAUTHENTICATED',
    reason: 'TOKEN_MALFORMED',
    message: /token/,
  },
  {
    title: 'a token with a changed signature',
    url: async (gateway) => {
      const token = await gateway.token('alice');
      const signature = token.slice(token.lastIndexOf('.') + 1);
      const forged = (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1);
      return gateway.url({ token: token.slice(0, -signature.length) + forged });
    },
    code: 'UNAUTHENTICATED',
    reason: 'TOKEN_SIGNATURE_INVALID',
    message: /token/,
  },
  {
    title: 'an expired token',
    url: async (gateway) => {
      const keys = await DevelopmentKeys.open(join(gateway.folder, 'state', ISSUER_KEYS_FILE));
      const token = await mintToken(keys, 'alice', {
        issuer: gateway.issuer,
        audience: 'api://spark-gateway',
        clientId: 'spark-gateway-development',
        issuedAtMs: Date.now() - 7_200_000,
        ttlMs: 3_600_000,
      });
      return gateway.url({ token });
    },
    code: 'UNAUTHENTICATED',
    reason: 'TOKEN_EXPIRED',
    message: /expired at .*Get a new one/,
  },
  {
    title: 'a token of a foreign issuer',
    url: async (gateway) => {
      const foreign = await TokenIssuer.start('foreign', '127.0.0.1');
      const token = await foreign.token(Date.now());
      await foreign.close();
      return gateway.url({ token });
    },
    code: 'UNAUTHENTICATED',
    reason: 'TOKEN_ISSUER_UNKNOWN',
    message: /issuer/,
  },
];

for (const { title, url, code, reason, message } of refusals) {
  test.serial(`refused, as PySpark shows it: ${title}`, async (t) => {
    const { gateway, pyspark } = t.context;
    const name = randomUUID();
    const error = await t.throwsAsync(
      url(gateway)
        .then((text) => pyspark.connect(name, text))
        .then(() => pyspark.sql(name, 'SELECT 1')),
      { instanceOf: PySparkError },
    );
    t.is(error?.code, code);
    t.is(error?.reason, reason);
    t.regex(error?.message ?? '', message);
  });
}

test.serial('a request without any token is refused', async (t) => {
  const { gateway, pyspark } = t.context;
  const url = (await gateway.url()).replace(/token=[^;]+;/, '');
  await pyspark.connect('nobody', url);
  const error = await t.throwsAsync(pyspark.sql('nobody', 'SELECT 1'), {
    instanceOf: PySparkError,
  });
  t.is(error?.code, 'UNAUTHENTICATED');
  t.is(error?.reason, 'TOKEN_MISSING');
});

test.serial('what the gateway logs holds no token', async (t) => {
  const { gateway } = t.context;
  const token = await gateway.token('alice');
  const [head = ''] = token.split('.');
  t.true(head.length > 10);
  t.false(gateway.allLogs().includes(head));
});

test.serial('a PySpark 3.5 client works the same way', async (t) => {
  const { gateway, pyspark } = t.context;
  await pyspark.stop('bob');
  const old = await PySpark.start('3.5');
  t.teardown(() => old.kill());
  await old.connect('bob', await gateway.url35({ user: 'bob' }));
  await old.createTempView('bob', 'own', 'SELECT 35 AS version');
  t.deepEqual((await old.sql('bob', 'SELECT * FROM own')).rows, [[35]]);
  const frame = await old.toPandas('bob', 1000);
  t.is(frame.sum, (1000 * 999) / 2);

  await old.connect('carol', await gateway.url35({ user: 'carol' }));
  const error = await t.throwsAsync(old.sql('carol', 'SELECT 1'), { instanceOf: PySparkError });
  t.is(error?.code, 'PERMISSION_DENIED');
  await old.stop('bob');
});
