import test from 'ava';
import { compileTemplates as compile } from '../../src/discovery/kubernetes/template-file.js';
import { templateHash } from '../../src/discovery/kubernetes/template.js';
import type { CanaryPolicy } from '../../src/model/policy.js';
import { NAMESPACE, sessionId } from '../support/driver-records.js';
import { POOL, PoolWorld } from '../support/pool-world.js';

// The file of templates.

const HEAD = 'apiVersion: spark-gateway/v1alpha1\nkind: DriverTemplates\n';
const LEAST = `kind: SparkConnect
    spark_version: 4.1.3
    image: example.test/spark:4.1.3
    driver: { cores: 1, memory: 1g }
    executor: { cores: 1, memory: 1g }`;

const TTL_MS = 1_800_000;
const compileTemplates = (text: string, file: string, ttlMs = TTL_MS) => compile(text, file, ttlMs);
const read = (text: string) => compileTemplates(text, 'f').template('any');

test('the first template whose namespaces fit counts, and none may fit', (t) => {
  const templates = compileTemplates(
    `${HEAD}templates:
  - namespaces: [sjns-ml-*]
    ${LEAST.replace('4.1.3\n', '4.2.0\n')}
  - namespaces: [sjns-*-dev, exact]
    ${LEAST}
`,
    'templates.yaml',
  );
  t.is(templates.template('sjns-ml-dev')?.sparkVersion, '4.2.0');
  t.is(templates.template('sjns-ads-dev')?.sparkVersion, '4.1.3');
  t.truthy(templates.template('exact'));
  t.is(templates.template('sjns-ads-prod'), undefined);
  t.is(templates.template('exactly'), undefined);
});

test('a template with a name is for canaries that name it, one without for the pools themselves', (t) => {
  const templates = compileTemplates(
    `${HEAD}templates:
  - name: spark-4.3
    namespaces: [sjns-ads-*]
    ${LEAST.replace('4.1.3\n', '4.3.0\n')}
  - namespaces: ["*"]
    ${LEAST}
`,
    'templates.yaml',
  );
  t.is(templates.template('sjns-ads-dev')?.sparkVersion, '4.1.3');
  t.is(templates.template('sjns-ads-dev', 'spark-4.3')?.sparkVersion, '4.3.0');
  t.is(templates.template('sjns-web-dev', 'spark-4.3'), undefined);
  t.is(templates.template('sjns-ads-dev', 'spark-5'), undefined);
});

test("objects of the Kubernetes API keep YAML's types, settings stay text", (t) => {
  const { template } = compileTemplates(
    `${HEAD}templates:
  - ${LEAST}
    spark_conf: { spark.sql.shuffle.partitions: 064 }
    env: { COUNT: 5, KEY: { secret: keys, key: k } }
    volumes: [{ name: scratch, emptyDir: { sizeLimit: 10Gi } }]
    sidecars: [{ name: proxy, image: p, ports: [{ containerPort: 80 }], tty: true }]
`,
    'templates.yaml',
  );
  t.like(template('any'), {
    sparkConf: { 'spark.sql.shuffle.partitions': '064' },
    env: { COUNT: '5', KEY: { secret: 'keys', key: 'k' } },
    volumes: [{ name: 'scratch', emptyDir: { sizeLimit: '10Gi' } }],
    sidecars: [{ name: 'proxy', image: 'p', ports: [{ containerPort: 80 }], tty: true }],
  });
});

test('drivers of others count in the namespaces that are named', (t) => {
  const { trusts } = compileTemplates(
    `${HEAD}trusted_namespaces: [legacy-*]\ntemplates: []\n`,
    'templates.yaml',
  );
  t.true(trusts('legacy-ads'));
  t.false(trusts('sjns-ads-dev'));
});

test('the hash of a template is that of its content', (t) => {
  const [one, same, other] = [
    read(`${HEAD}templates:\n  - ${LEAST}\n`),
    read(`${HEAD}# a comment\ntemplates:\n  - ${LEAST}\n`),
    read(`${HEAD}templates:\n  - ${LEAST.replace('memory: 1g', 'memory: 2g')}\n`),
  ].map((template) => template && templateHash(template));
  t.is(one, same);
  t.not(one, other);
});

test('a driver of Spark 4 knows a session for longer than the gateway', (t) => {
  for (const ttlMs of [600_000, 86_400_000]) {
    const { template } = compileTemplates(`${HEAD}templates:\n  - ${LEAST}\n`, 'f', ttlMs);
    t.true((template('any')?.sessionTimeoutMs ?? 0) > ttlMs);
  }
});

test('a timeout of Spark above the session TTL is a template’s own business, as it is in settings', (t) => {
  const key = 'spark.connect.session.manager.defaultSessionTimeout';
  const { template } = compileTemplates(
    `${HEAD}templates:\n  - ${LEAST}\n    spark_conf: { ${key}: 31min }\n`,
    'f',
    TTL_MS,
  );
  t.is(template('any')?.sparkConf?.[key], '31min');
});

test('Spark 3.5, which forgets in silence after an hour, is refused where sessions live for longer', (t) => {
  const written = `${HEAD}templates:\n  - ${LEAST.replace('4.1.3\n', '3.5.8\n')}\n`;
  t.truthy(compileTemplates(written, 'f', 3_599_000).template('any'));
  t.throws(() => compileTemplates(written, 'f', 3_600_000), {
    code: 'SETTINGS_INVALID',
    message: /f:\d+:\d+: .*session_ttl must be shorter than 1h/,
  });
});

for (const { what, entry, message } of [
  {
    what: 'a SparkApplication without a program',
    entry: LEAST.replace('SparkConnect', 'SparkApplication'),
    message: /templates\.yaml:4:\d+: .*needs "main"/,
  },
  {
    what: 'a secret in the Spark settings',
    entry: `${LEAST}\n    spark_conf: { spark.sql.catalog.unity.token: s3cret }`,
    message: /every client can read spark\.sql\.catalog\.unity\.token/,
  },
  {
    what: 'a field that does not exist',
    entry: `${LEAST}\n    imagee: x`,
    message: /"imagee" is no field of a template.*image/,
  },
  {
    what: 'volumes that are no list',
    entry: `${LEAST}\n    volumes: { name: x }`,
    message: /this must be a list as the Kubernetes API has it/,
  },
  {
    what: 'a timeout of Spark below the session TTL',
    entry: `${LEAST}\n    spark_conf: { spark.connect.session.manager.defaultSessionTimeout: 30min }`,
    message:
      /templates\.yaml:\d+.*defaultSessionTimeout is 30min, but must be longer than session_ttl \(1800 s\)/,
  },
  {
    what: 'a token for a Spark 3.5 without the fence',
    entry: `${LEAST.replace('4.1.3\n', '3.5.7\n')}\n    driver_token: true\n    driver_fence: none`,
    message: /driver_token needs Spark 4 or the driver fence/,
  },
  {
    what: 'memory in another notation',
    entry: LEAST.replace('memory: 1g', 'memory: 1Gi'),
    message: /"1Gi" is not memory in Spark's notation/,
  },
]) {
  test(`${what} is refused with its place`, (t) => {
    const error = t.throws(
      () => compileTemplates(`${HEAD}templates:\n  - ${entry}\n`, 'templates.yaml'),
      { code: 'SETTINGS_INVALID' },
    );
    t.regex(error?.message ?? '', message);
  });
}

test('Spark 3.5 ends idle sessions after an hour, so the gateway must do so before', (t) => {
  const text = `${HEAD}templates:\n  - ${LEAST.replace('4.1.3\n', '3.5.7\n')}\n`;
  t.is(compile(text, 'f', 3_599_000).template('any')?.sparkVersion, '3.5.7');
  t.throws(() => compile(text, 'f', 3_600_000), { message: /session_ttl must be shorter/ });
});

// A template that changes.

test('a new template replaces idle drivers one by one and never leaves the pool short', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  world.drivers.changeTemplate();
  await world.pass();
  t.deepEqual(world.drivers.created, ['d1', 'd2', 'd3']);
  t.deepEqual(world.drivers.deleted, [], 'nothing goes before the new one answers');
  for (let step = 0; step < 4; step += 1) {
    await world.allReady();
    await world.pass();
    t.true(world.records('available').length >= POOL.size);
  }
  t.deepEqual(world.drivers.created, ['d1', 'd2', 'd3', 'd4']);
  t.deepEqual(world.drivers.deleted, ['d1', 'd2']);
});

test('a new template leaves drivers with sessions alone', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  world.drivers.changeTemplate();
  for (let step = 0; step < 6; step += 1) await world.allReady();
  t.false(world.drivers.deleted.includes('d1'));
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  t.true(world.drivers.deleted.includes('d2'));
});

test('a pool at its maximum gives up one idle driver at a time for the new template', async (t) => {
  const world = new PoolWorld();
  world.pools.set(NAMESPACE, { ...POOL, size: 2, maximum: 2 });
  await world.start();
  await world.allReady();
  world.drivers.changeTemplate();
  await world.pass();
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.deepEqual(world.drivers.created, ['d1', 'd2', 'd3']);
  await world.pass(60_000);
  t.deepEqual(world.drivers.deleted, ['d1'], 'the next one waits for the new one');
  await world.allReady();
  await world.pass();
  t.deepEqual(world.drivers.deleted, ['d1', 'd2']);
});

test('a driver that is not seen while its cluster cannot be read is not gone', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  world.drivers.inDoubt = true;
  world.drivers.remove('uid-of-d1');
  await world.pass(60_000);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  t.true(world.fleet.uids.includes('uid-of-d1'));
  world.drivers.inDoubt = false;
  world.drivers.changed();
  await world.pass();
  t.is(world.phaseOf('uid-of-d1'), 'gone');
});

test('a rollout that failed goes on when the template changes again', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  world.drivers.createFailures.push(new Error('no such image'));
  world.drivers.changeTemplate();
  await world.pass();
  t.is(world.controller.status({ namespace: NAMESPACE }).failure, 'no such image');
  t.deepEqual(world.drivers.deleted, [], 'a template that fails costs no driver that works');
  world.drivers.changeTemplate();
  for (let step = 0; step < 6; step += 1) await world.allReady();
  t.is(world.controller.status({ namespace: NAMESPACE }).failure, undefined);
  t.deepEqual(world.drivers.deleted.toSorted(), ['d1', 'd2']);
  t.is(world.records('available').length, POOL.size);
});

// Canaries.

const CANARY: CanaryPolicy = {
  variant: 'next',
  share: 0.05,
  sticky: 'principal',
  whenNoneIsReady: 'stable',
  size: undefined,
  maximum: undefined,
};

function worldWith(canary: Partial<CanaryPolicy> = {}): PoolWorld {
  const made = new PoolWorld();
  made.pools.set(NAMESPACE, { ...POOL, canaries: [{ ...CANARY, ...canary }] });
  return made;
}

const requests = ({ drivers }: PoolWorld) =>
  [...drivers.requests.values()].map(({ variant }) => variant ?? 'own').toSorted();

test('a canary has drivers of its own beside those of the pool', async (t) => {
  const w = worldWith();
  await w.start();
  t.deepEqual(requests(w), ['next', 'own', 'own']);
  await w.allReady();
  t.is(w.records('available').filter(({ variant }) => variant === 'next').length, 1);
  const pools = w.controller.report().pools;
  t.deepEqual(
    pools.map(({ variant, size, maximum, available }) => ({ variant, size, maximum, available })),
    [
      { variant: undefined, size: 2, maximum: 4, available: 2 },
      { variant: 'next', size: 1, maximum: 1, available: 1 },
    ],
  );
});

test('demand for a canary makes drivers of it, up to its own maximum', async (t) => {
  const w = worldWith({ size: 0, maximum: 2 });
  await w.start();
  t.deepEqual(requests(w), ['own', 'own']);
  w.demand.set(`${NAMESPACE}/next`, 5);
  await w.pass();
  t.deepEqual(requests(w), ['next', 'next', 'own', 'own']);
});

test('a canary whose drivers fail to start holds up no driver of the pool', async (t) => {
  const w = worldWith();
  w.drivers.createFailures.push(new Error('no such template'));
  w.drivers.failsFor = 'next';
  await w.start();
  t.deepEqual(requests(w), ['own', 'own']);
  t.is(w.controller.status({ namespace: NAMESPACE }).failure, undefined);
  t.is(w.controller.status({ namespace: NAMESPACE, variant: 'next' }).failure, 'no such template');
});

test('drivers of a canary that the policy no longer has go when their sessions have ended', async (t) => {
  const w = worldWith({ size: 2, maximum: 2 });
  await w.start();
  await w.allReady();
  const [busy, idle] = w.records('available').filter(({ variant }) => variant === 'next');
  if (!busy || !idle) return t.fail();
  await w.assign(busy.uid, sessionId(1));
  w.pools.set(NAMESPACE, POOL);
  w.controller.trigger();
  await w.pass();
  t.is(w.phaseOf(idle.uid), 'gone');
  t.is(w.phaseOf(busy.uid), 'in_use');
  await w.release(busy.uid, sessionId(1));
  await w.pass();
  t.is(w.phaseOf(busy.uid), 'gone');
  t.deepEqual(requests(w), ['own', 'own']);
});

test('a restarted control plane knows which drivers are of the canary', async (t) => {
  const w = worldWith();
  await w.start();
  await w.allReady();
  await w.start();
  await w.pass();
  t.deepEqual(requests(w), ['next', 'own', 'own']);
  t.is(w.records().filter(({ variant }) => variant === 'next').length, 1);
});
