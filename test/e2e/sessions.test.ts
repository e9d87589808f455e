import { randomUUID } from 'node:crypto';
import anyTest, { type TestFn } from 'ava';
import { Gateway, type UrlOptions } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { routingPolicy } from '../support/routing-policy.js';

const test = anyTest as TestFn<{ gateway: Gateway; pyspark: PySpark }>;

/** Kept warm; a driver for each session, replaced after it. */
const WARM = 'sjns-data-dev';
/** Started on demand; drivers are used again by the same user. */
const REUSED = 'sjns-data-staging';

test.before(async (t) => {
  [t.context.gateway, t.context.pyspark] = await Promise.all([
    Gateway.start({
      policy: routingPolicy({
        pools: [
          { match: { namespaces: [WARM] }, size: 1, maximum: 2 },
          { match: { namespaces: [REUSED] }, size: 0, maximum: 1, after_use: 'reuse' },
        ],
        warm_namespaces: [WARM],
        quotas: [
          { match: { namespaces: [REUSED] }, sessions_per_principal: 1, sessions_per_namespace: 1 },
        ],
      }),
    }),
    PySpark.start('4'),
  ]);
});

test.after.always(async (t) => {
  await t.context.pyspark?.kill();
  t.is(await t.context.gateway?.stop(), 0);
});

/** A session with its first query, which is when it gets its driver. */
async function begin(
  { gateway, pyspark }: { gateway: Gateway; pyspark: PySpark },
  name: string,
  options: UrlOptions,
): Promise<string> {
  const { sessionId } = await pyspark.connect(name, await gateway.url(options));
  await pyspark.sql(name, 'SELECT 1');
  return sessionId;
}

async function pool(gateway: Gateway, namespace: string) {
  const found = (await gateway.pools()).find((report) => report.namespace === namespace);
  if (!found) throw new Error(`There is no pool ${namespace}.`);
  return found;
}

test.serial(
  'sessions that begin at once get a driver each; with a full pool, one waits',
  async (t) => {
    const { gateway, pyspark } = t.context;
    const names = ['a', 'b', 'c'];
    const begun = names.map((name) => begin(t.context, name, {}));
    const served = await gateway.until(
      () => gateway.sessions(),
      ({ length }) => length === 2,
    );
    await gateway.until(
      () => pool(gateway, WARM),
      ({ waiting }) => waiting === 1,
    );
    const taken = served.map(({ driver }) => driver);
    t.is(new Set(taken).size, 2);

    const ids = await Promise.all(names.map((name) => pyspark.identity(name)));
    const late = ids.findIndex(({ sessionId }) => !served.some(({ id }) => id === sessionId));
    const [stopped = 0, kept = 0] = [0, 1, 2].filter((index) => index !== late);
    await Promise.all([begun[stopped], begun[kept]]);
    await pyspark.stop(names[stopped] ?? '');
    const lateId = (await begun[late]) ?? '';
    const driver = await gateway.driverOf(lateId);
    t.false(taken.includes(driver.uid), 'it is not a driver that was used');
    t.is(driver.sessions, 1);
    t.deepEqual((await pyspark.sql(names[kept] ?? '', 'SELECT 1')).rows, [[1]]);
  },
);

test.serial('after use the drivers are replaced and the pool is at its size', async (t) => {
  const { gateway, pyspark } = t.context;
  const used = (await gateway.drivers()).map(({ uid }) => uid);
  await Promise.all(['a', 'b', 'c'].map((name) => pyspark.stop(name)));
  await gateway.until(
    () => pool(gateway, WARM),
    (report) => report.drivers === 1 && report.available === 1,
  );
  const drivers = await gateway.drivers();
  const [fresh, ...others] = drivers.filter(({ phase }) => phase !== 'gone');
  t.deepEqual(others, []);
  t.false(used.includes(fresh?.uid ?? ''));
  t.is(fresh?.tenant, undefined);
});

test.serial('two first requests of one session at once get one driver', async (t) => {
  const { gateway, pyspark } = t.context;
  const sessionId = randomUUID();
  const metadata = [
    ['authorization', `Bearer ${await gateway.token('alice')}`],
    ['x-doordash-team', 'data'],
    ['x-doordash-environment', 'staging'],
  ] as const;
  const calls = [1, 2].map(() =>
    pyspark.raw({
      target: `127.0.0.1:${gateway.port}`,
      method: 'AnalyzePlan',
      sessionId,
      userId: 'alice',
      message: { sparkVersion: {} },
      metadata,
    }),
  );
  const answers = await Promise.all(calls.map(({ result }) => result));
  const servers = answers.map(({ responses: [first] }) => first?.['serverSideSessionId']);
  t.is(typeof servers[0], 'string');
  t.is(servers[0], servers[1]);
  t.is((await pool(gateway, REUSED)).drivers, 1);

  const parameters = { session_id: sessionId };
  await pyspark.connect('reused', await gateway.url({ environment: 'staging', parameters }));
  t.deepEqual((await pyspark.sql('reused', 'SELECT 1')).rows, [[1]]);
});

test.serial('a session over the quota is refused at once', async (t) => {
  const cases = [
    { user: 'alice', message: /You have 1 session,.*spark\.stop\(\)/ },
    { user: 'bob', message: /sjns-data-staging has 1 session,/ },
  ];
  for (const { user, message } of cases) {
    const error = await t.throwsAsync(begin(t.context, user, { user, environment: 'staging' }), {
      instanceOf: PySparkError,
    });
    t.is(error?.code, 'RESOURCE_EXHAUSTED');
    t.is(error?.reason, 'QUOTA_EXCEEDED');
    t.regex(error?.message ?? '', message);
  }
});

test.serial('a driver that is used again is for the same user only', async (t) => {
  const { gateway, pyspark } = t.context;
  const ended = () =>
    gateway.until(
      () => pool(gateway, REUSED),
      (report) => report.sessions === 0,
    );
  const driverOf = async (sessionId: string) => (await gateway.driverOf(sessionId)).uid;

  const first = await driverOf((await pyspark.identity('reused')).sessionId);
  await pyspark.stop('reused');
  await ended();
  t.is(await driverOf(await begin(t.context, 'again', { environment: 'staging' })), first);
  await pyspark.stop('again');
  await ended();

  const other = await begin(t.context, 'other', { user: 'bob', environment: 'staging' });
  t.not(await driverOf(other), first);
  const [former] = (await gateway.drivers()).filter(({ uid }) => uid === first);
  t.is(former?.phase ?? 'gone', 'gone');
});

test.serial(
  'a client with the longest user agent can do everything, and its stop() ends its session',
  async (t) => {
    const { gateway, pyspark } = t.context;
    const url = `${await gateway.url({})};user_agent=${'a'.repeat(2048)}`;
    const { sessionId } = await pyspark.connect('long', url);
    t.deepEqual((await pyspark.sql('long', 'SELECT 1')).rows, [[1]]);
    t.like(await pyspark.toPandas('long', 1000), { rows: 1000 });
    await pyspark.interrupt('long');
    t.true((await gateway.sessions()).some(({ id }) => id === sessionId));
    await pyspark.stop('long');
    await gateway.until(
      () => gateway.sessions(),
      (sessions) => !sessions.some(({ id }) => id === sessionId),
    );
    t.pass();
  },
);
