import { namespaceReference } from '../../src/model/fleet-problem.js';
import test from 'ava';
import type {
  DriverView,
  EnvoyView,
  PoolView,
  SessionView,
  StatusView,
} from '../../src/model/admin-api.js';
import type { NodeStatus, SyncState } from '../../src/model/reports.js';
import { startAdminApi } from '../support/admin-api.js';
import {
  bob,
  driverRecord,
  NAMESPACE,
  sessionId,
  sessionRecord,
  START_MS,
} from '../support/driver-records.js';

const at = (ms: number) => new Date(START_MS + ms).toISOString();

const oldest = sessionRecord(sessionId(1));
const bobs = sessionRecord(sessionId(2), {
  principal: bob,
  team: 'ml',
  createdAtMs: START_MS + 1000,
  lastActiveMs: START_MS + 2000,
});
const records = [
  driverRecord('driver-2', {
    namespace: 'sjns-ml-dev',
    phase: 'draining',
    reason: 'It is drained by an operator.',
    drainDeadlineMs: START_MS + 60_000,
    sessions: { [bobs.sessionId]: bobs },
  }),
  driverRecord('driver-1', {
    phase: 'in_use',
    resource: 'driver-abc',
    sessions: { [oldest.sessionId]: oldest },
    tombstones: {
      [sessionId(3)]: {
        sessionId: sessionId(3),
        principal: bob,
        namespace: NAMESPACE,
        endedAtMs: START_MS + 500,
        end: 'expired',
      },
    },
  }),
];
const observed = [
  { uid: 'driver-1', condition: 'ready' },
  { uid: 'driver-2', condition: 'ready' },
] as const;

test('sessions: who is where since when, the oldest first', async (t) => {
  const api = await startAdminApi(t, {
    records,
    observed,
    activity: (id) =>
      id === oldest.sessionId ? { lastActiveMs: START_MS + 9000, openStreams: 2 } : undefined,
  });
  t.deepEqual(await api.read('sessions'), [
    {
      id: oldest.sessionId,
      principal: { issuer: 'https://idp.test', subject: 'alice' },
      team: 'ads',
      environment: 'dev',
      namespace: NAMESPACE,
      driver: 'driver-1',
      state: 'live',
      createdAt: at(0),
      lastActivityAt: at(9000),
      runningQueries: 2,
    },
    {
      id: bobs.sessionId,
      principal: { issuer: 'https://idp.test', subject: 'bob' },
      team: 'ml',
      environment: 'dev',
      namespace: 'sjns-ml-dev',
      driver: 'driver-2',
      state: 'draining',
      createdAt: at(1000),
      lastActivityAt: at(2000),
    },
  ]);
});

const filters: readonly (readonly [string, readonly string[]])[] = [
  ['team=ml', [bobs.sessionId]],
  ['principal=alice', [oldest.sessionId]],
  [`namespace=${NAMESPACE}`, [oldest.sessionId]],
  ['driver=driver-2', [bobs.sessionId]],
  ['environment=dev&team=ads', [oldest.sessionId]],
  ['environment=prod', []],
];
for (const [query, expected] of filters) {
  test(`sessions: filtered by ${query}`, async (t) => {
    const api = await startAdminApi(t, { records, observed });
    const found = await api.read<SessionView[]>(`sessions?${query}`);
    t.deepEqual(
      found.map(({ id }) => id),
      expected,
    );
  });
}

test('a filter that is not known is refused: it would show what it was to hide', async (t) => {
  const api = await startAdminApi(t, { records, observed });
  for (const query of ['teams=ml', 'team=ml&team=ads']) {
    const response = await api.ask(`sessions?${query}`, { token: await api.tokenOf('reader') });
    t.is(response.status, 400);
  }
});

test('one session: also one that has ended and is remembered', async (t) => {
  const api = await startAdminApi(t, { records, observed: [] });
  t.like(await api.read(`sessions/${oldest.sessionId}`), { state: 'unreachable' });
  t.deepEqual(await api.read(`sessions/${sessionId(3)}`), {
    id: sessionId(3),
    principal: { issuer: 'https://idp.test', subject: 'bob' },
    namespace: NAMESPACE,
    driver: 'driver-1',
    state: 'ended',
    end: 'expired',
    endedAt: at(500),
  });
  const token = await api.tokenOf('reader');
  t.is((await api.ask(`sessions/${sessionId(4)}`, { token })).status, 404);
});

test('drivers: by namespace and phase, and one with its sessions and what has ended on it', async (t) => {
  const api = await startAdminApi(t, { records, observed });
  const [first, second, ...others] = await api.read<DriverView[]>('drivers');
  t.deepEqual(others, []);
  t.like(first, { uid: 'driver-1', name: 'driver-abc', phase: 'in_use', ready: true, sessions: 1 });
  t.like(second, {
    uid: 'driver-2',
    name: 'driver-2',
    drainDeadline: at(60_000),
    problem: 'It is drained by an operator.',
  });
  t.is((await api.read<DriverView[]>('drivers?phase=draining')).length, 1);
  const detail = await api.read('drivers/driver-1');
  t.like(detail, { uid: 'driver-1', instance: 'driver-1@1', epoch: 0 });
  t.like(detail, {
    sessions: [{ id: oldest.sessionId }],
    ended: [{ id: sessionId(3), end: 'expired', at: at(500) }],
  });
});

test('pools: a warm one is shown before it has a driver, and a follower counts by the records', async (t) => {
  const api = await startAdminApi(t, { records, observed });
  t.deepEqual(await api.read<PoolView[]>('pools'), [
    {
      namespace: NAMESPACE,
      team: 'ads',
      environment: 'dev',
      size: 2,
      maximum: 4,
      drivers: 1,
      warming: 0,
      available: 0,
      inUse: 1,
      draining: 0,
      sessions: 1,
    },
    {
      namespace: 'sjns-ml-dev',
      team: 'ml',
      environment: 'dev',
      size: 2,
      maximum: 4,
      drivers: 1,
      warming: 0,
      available: 0,
      inUse: 0,
      draining: 1,
      sessions: 1,
    },
  ]);
});

const ofCanary = { namespace: NAMESPACE, variant: 'spark-next' };

test('pools: the drivers of a canary stand beside those of the pool, each with what it waits for', async (t) => {
  const report = {
    maximum: 3,
    warming: 0,
    failure: undefined,
    retryInMs: undefined,
    size: 3,
    draining: 0,
    sessions: 0,
  };
  const fleet = {
    pools: [
      {
        ...report,
        namespace: NAMESPACE,
        variant: undefined,
        drivers: 3,
        waiting: 0,
        available: 2,
        inUse: 1,
      },
      {
        ...report,
        ...ofCanary,
        drivers: 2,
        warming: 1,
        size: 1,
        waiting: 4,
        failure: 'no image',
        available: 1,
        inUse: 0,
      },
    ],
  };
  const drivers = [
    driverRecord('own-1', { phase: 'in_use' }),
    driverRecord('own-2'),
    driverRecord('own-3'),
    driverRecord('next-1', { variant: 'spark-next' }),
    driverRecord('of-a-former-canary', { variant: 'spark-old' }),
  ];
  const policy = 'canaries: [{ template: spark-next, share: 50% }]\n';
  const api = await startAdminApi(t, { records: drivers, observed, fleet, policy });
  const [own, next, old, ...others] = await api.read<PoolView[]>('pools');
  t.deepEqual(others, []);
  t.like(own, {
    namespace: NAMESPACE,
    size: 3,
    maximum: 3,
    drivers: 3,
    available: 2,
    inUse: 1,
    waiting: 0,
  });
  t.is(own?.variant, undefined);
  t.is(own?.failure, undefined, 'what fails is the canary');
  t.like(next, {
    ...ofCanary,
    size: 1,
    drivers: 2,
    warming: 1,
    available: 1,
    inUse: 0,
    waiting: 4,
    failure: 'no image',
  });
  t.like(old, { variant: 'spark-old', size: 0, maximum: 0, drivers: 1, available: 1 });

  const follower = await startAdminApi(t, {
    records: drivers,
    fleet,
    policy,
    unknown: 'nobody leads',
  });
  const shown = await follower.read<PoolView[]>('pools');
  t.deepEqual(
    shown.map(({ waiting, failure }) => [waiting, failure]),
    shown.map(() => [undefined, undefined]),
    'without a word of the leader nobody knows who waits, and what fails',
  );
});

test('pools: a canary is shown before it has a driver, with the size that it is to have', async (t) => {
  const policy = 'canaries: [{ template: spark-next, share: 50% }]\n';
  const api = await startAdminApi(t, { policy });
  t.deepEqual(
    (await api.read<PoolView[]>('pools')).map(({ variant, size, maximum }) => [
      variant,
      size,
      maximum,
    ]),
    [
      [undefined, 2, 4],
      ['spark-next', 1, 2],
    ],
  );
});

function stream(id: string, states: Readonly<Record<string, SyncState>>, aggregated = true) {
  const types = Object.entries(states).map(([name, state]) => ({
    typeUrl: `type.googleapis.com/envoy.any.v3.${name}`,
    state,
    version: 'v1',
    lastAckMs: START_MS,
    wildcard: true,
    names: 0,
    error: state === 'NACKED' ? 'no such route' : undefined,
  }));
  const node: NodeStatus = {
    id,
    cluster: 'front',
    view: 'front',
    remoteAddress: '10.1.1.1:4711',
    protocol: 'delta',
    aggregated,
    connectedAtMs: START_MS,
    types,
  };
  return node;
}

test('Envoys: the state of each type, and why one was rejected', async (t) => {
  const envoys = [
    stream('b', { Cluster: 'SYNCED', RouteConfiguration: 'NACKED' }),
    stream('a', { Cluster: 'SYNCED' }, false),
    stream('a', { ClusterLoadAssignment: 'STALE' }, false),
  ];
  const api = await startAdminApi(t, { envoys });
  const [a, b, ...others] = await api.read<EnvoyView[]>('envoys');
  t.deepEqual(others, []);
  t.deepEqual(
    [a?.types.CDS.state, a?.types.EDS.state, a?.types.LDS.state],
    ['SYNCED', 'STALE', 'NEVER_SENT'],
  );
  t.deepEqual(b?.types.RDS, { state: 'NACKED', version: 'v1', reason: 'no such route' });
  const status = await api.read<StatusView>('status');
  t.deepEqual(status.envoys, { connected: 2, synced: 0, stale: 1, nacked: 1 });
  t.deepEqual(status.problems, ['Envoy b rejects its RDS: no such route']);
});

test('status: what is wrong, in sentences', async (t) => {
  const api = await startAdminApi(t, {
    records,
    observed,
    problems: [
      { kind: 'unreadable', message: 'Discovery cannot be read: connect ECONNREFUSED' },
      {
        kind: 'pool_failing',
        object: namespaceReference('sjns-ads-dev'),
        message: 'No driver comes up: quota',
      },
    ],
    replica: { epoch: undefined },
  });
  const status = await api.read<StatusView>('status');
  t.like(status, { version: '1.2.3', replica: { leads: false }, sessions: 2 });
  t.is(status.drivers.in_use, 1);
  t.deepEqual(status.problems, [
    'No control plane leads: new sessions wait.',
    'Discovery cannot be read: connect ECONNREFUSED',
    'Namespace sjns-ads-dev: No driver comes up: quota',
  ]);
  t.deepEqual(await api.read('problems'), [
    {
      kind: 'unreadable',
      message: 'Discovery cannot be read: connect ECONNREFUSED',
      since: at(0),
    },
    {
      kind: 'pool_failing',
      object: 'Namespace sjns-ads-dev',
      message: 'No driver comes up: quota',
      since: at(0),
    },
  ]);
});

test('status: who waits for a driver that somebody else holds is told, and by whom', async (t) => {
  const pool = {
    namespace: NAMESPACE,
    variant: undefined,
    drivers: 2,
    maximum: 2,
    size: 2,
    warming: 0,
    available: 1,
    inUse: 1,
    draining: 0,
    sessions: 1,
    failure: undefined,
    retryInMs: undefined,
    waiting: 3,
  };
  const tenant = { principal: bob, team: 'ml' };
  const held = [
    driverRecord('d1', { phase: 'in_use', sessions: { [oldest.sessionId]: oldest } }),
    driverRecord('d2', { tenant }),
  ];
  const status = async (fleet: object, of = held) =>
    (await startAdminApi(t, { records: of, fleet })).read<StatusView>('status');
  t.deepEqual((await status({ pools: [pool] })).problems, [
    `Namespace ${NAMESPACE}: 3 sessions wait for a driver. All 2 that the pool may have are held: session ${oldest.sessionId} of alice, quiet since ${at(0)}; driver d2, kept for bob. "spark-gateway release <session>" ends one.`,
  ]);
  t.deepEqual((await status({ pools: [{ ...pool, waiting: 0 }] })).problems, []);
  t.deepEqual((await status({ pools: [{ ...pool, maximum: 3 }] })).problems, [], 'one may come');
  const free = [...held.slice(0, 1), driverRecord('d2')];
  t.deepEqual((await status({ pools: [pool] }, free)).problems, [], 'one is free');
});

test('policy: what is in force, as it was written', async (t) => {
  const api = await startAdminApi(t);
  const policy = await api.read<{ text: string; version: string }>('policy');
  t.regex(policy.text, /^administration:$/m);
  t.deepEqual(await api.read('policy/history'), [
    { version: policy.version, loadedAt: at(0), text: policy.text },
  ]);
});

test('explain: why the policy in force allows or refuses a batch job', async (t) => {
  const policy = `
batch:
  speak_for: [{ services: [local], users: ['*'] }]
  submit: [{ who: { principals: [zoe@example.com] }, what: { teams: [ads], environments: [dev] } }]
  limits: [{ largest: { driver: { cores: 2 } } }]
`;
  const api = await startAdminApi(t, { policy });
  const token = await api.tokenOf('reader');
  const explain = async (body: unknown) => {
    const init = { method: 'POST', token, body: JSON.stringify(body) };
    return (await api.ask('policy/explain', init)).json() as Promise<object>;
  };
  const job = { service: 'local', principal: 'zoe@example.com', team: 'ads', environment: 'dev' };
  t.like(await explain({ ...job, job: {} }), {
    allowed: true,
    place: { namespace: 'sjns-ads-dev' },
    grant: { owner: 'zoe@example.com', ttlSeconds: 3600 },
  });
  t.like(await explain({ ...job, job: { resources: { driver: { cores: 3 } } } }), {
    allowed: false,
    refusal: { code: 'BATCH_REFUSED' },
  });
  for (const bad of [
    { ...job, job: { ttl: 5 } },
    { ...job, job: 5 },
    { ...job, service: undefined, job: {} },
    { ...job, team: undefined, job: {} },
  ]) {
    t.like(await explain(bad), { error: { code: 'ARGUMENT_INVALID' } }, JSON.stringify(bad));
  }
});

test('explain: why the policy in force allows or refuses, also for whoever asks', async (t) => {
  const api = await startAdminApi(t);
  const token = await api.tokenOf('reader');
  const explain = async (body: unknown) => {
    const init = { method: 'POST', token, body: JSON.stringify(body) };
    return (await api.ask('policy/explain', init)).json() as Promise<object>;
  };
  const request = { principal: 'zoe@example.com', team: 'ads', environment: 'dev' };
  t.like(await explain(request), {
    allowed: false,
    refusal: { code: 'NAMESPACE_REFUSED' },
    caller: { issuer: api.issuer.url, subject: 'zoe@example.com' },
    target: { namespace: 'sjns-ads-dev' },
  });
  t.like(await explain({ team: 'ads', environment: 'dev' }), {
    caller: { subject: 'reader@example.com', groups: ['data'] },
    administration: 'read',
  });
  for (const bad of [
    { principals: 'zoe' },
    { groups: ['a'] },
    { ...request, service: 'etl' },
    { ...request, team: 7 },
    [],
  ]) {
    t.like(await explain(bad), { error: { code: 'ARGUMENT_INVALID' } }, JSON.stringify(bad));
  }
});
