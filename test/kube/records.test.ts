import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { pino } from 'pino';
import { parse } from 'yaml';
import type { KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import { systemClock } from '../../src/model/clock.js';
import type { DriverRecord } from '../../src/model/driver.js';
import { asGone, withSession } from '../../src/model/driver-record.js';
import { GatewayError } from '../../src/model/errors.js';
import { KubernetesRecordStore } from '../../src/fleet/records/kubernetes-store.js';
import { openLedger } from '../../src/fleet/records/ledger.js';
import { driverRecord, sessionId, sessionRecord, START_MS } from '../support/driver-records.js';
import { KubeApiServer, type ApplicableObject } from '../support/kube-api-server.js';
import { TestLeadership } from '../support/leadership.js';
import { ManualClock } from '../support/manual-clock.js';

const logger = pino({ level: 'silent' });
let server: KubeApiServer;
let admin: KubernetesApi;

test.before(async () => {
  server = await KubeApiServer.shared();
  await server.apply(parse(readFileSync('k8s/crd/sparkdrivers.yaml', 'utf8')) as ApplicableObject);
  admin = server.admin();
});
test.after.always(() => server?.stop());

/** A namespace of one's own for the records of one test. */
async function setUp() {
  const namespace = `gateway-${randomUUID().slice(0, 8)}`;
  await server.createNamespace(namespace);
  const store = new KubernetesRecordStore({
    api: admin,
    namespace,
    clock: systemClock,
    logger,
  });
  const path = `/apis/spark-gateway.io/v1alpha1/namespaces/${namespace}/sparkdrivers`;
  return { namespace, store, path };
}

function withSessions(record: DriverRecord, count: number): DriverRecord {
  const sessions = Array.from({ length: count }, (_, n) => sessionRecord(sessionId(n)));
  return {
    ...record,
    phase: 'in_use',
    sessions: Object.fromEntries(sessions.map((session) => [session.sessionId, session])),
  };
}

test('a record comes back from the API server as it was written, sessions and tombstones alike', async (t) => {
  const { store } = await setUp();
  const record: DriverRecord = {
    ...withSessions(driverRecord(randomUUID(), { resource: 'spark-1', reason: 'why' }), 3),
    drainDeadlineMs: START_MS + 1,
    epoch: 7,
  };
  const first = await store.write(record, undefined);
  t.deepEqual(await store.list(), [{ record, version: first }]);
  const gone = asGone(record, START_MS + 5, 'It was deleted.');
  const second = await store.write(gone, first);
  t.deepEqual(await store.read(record.uid), { record: gone, version: second });
  await t.throwsAsync(store.delete(record.uid, first), { code: 'RECORD_CONFLICT' });
  await store.delete(record.uid, second);
  await store.delete(record.uid, second);
  t.is(await store.read(record.uid), undefined);
});

test('a write from an old version, of a deleted record or by an older leader is refused', async (t) => {
  const { store, path } = await setUp();
  const record = driverRecord(randomUUID(), { epoch: 5 });
  const conflict = { instanceOf: GatewayError, code: 'RECORD_CONFLICT' };
  const first = await store.write(record, undefined);
  await t.throwsAsync(store.write(record, undefined), conflict);
  const second = await store.write(record, first);
  await t.throwsAsync(store.write(record, first), conflict);
  const older = await t.throwsAsync(store.write({ ...record, epoch: 4 }, second), {
    instanceOf: KubernetesError,
  });
  t.regex(older?.message ?? '', /a newer leader has written this record/);
  await store.delete(record.uid, second);
  await t.throwsAsync(store.write(record, second), conflict);
  await store.write(record, undefined);
  await t.throwsAsync(store.write(record, first), conflict, 'made anew under the same name');
  t.truthy(await admin.request({ path: `${path}/${record.uid}` }));
});

test('what an operator asks for in the spec survives our writes and is no conflict', async (t) => {
  const { store, path } = await setUp();
  const record = driverRecord(randomUUID());
  const version = await store.write(record, undefined);
  await admin.request({
    method: 'PATCH',
    path: `${path}/${record.uid}`,
    contentType: 'application/merge-patch+json',
    body: { spec: { drain: { deadline: '2030-01-01T00:00:00Z' } } },
  });
  await store.write(withSessions(record, 1), version);
  const object = await admin.request<{ spec: unknown }>({ path: `${path}/${record.uid}` });
  t.deepEqual(object.spec, { drain: { deadline: '2030-01-01T00:00:00Z' } });
});

test('objects that no gateway wrote are reported, left as they are, and hide nothing', async (t) => {
  const { store, path } = await setUp();
  const good = driverRecord(randomUUID());
  await store.write(good, undefined);
  const { record, ...status } = {
    record: driverRecord(randomUUID()),
    phase: 'available',
    phaseSince: '2024-01-01T00:00:00Z',
    sessions: {},
    tombstones: {
      x: {
        principal: { issuer: '', subject: 's' },
        namespace: '',
        endedAt: '2024-01-01T00:00:00Z',
        end: 'expired',
      },
    },
    sessionCount: 0,
    epoch: 1,
    revision: 1,
  };
  await admin.request({
    method: 'POST',
    path,
    body: {
      apiVersion: 'spark-gateway.io/v1alpha1',
      kind: 'SparkDriver',
      metadata: {
        name: record.uid,
        labels: { 'app.kubernetes.io/managed-by': 'spark-gateway' },
      },
      driver: {
        uid: record.uid,
        instance: '',
        namespace: 'n',
        address: '',
        port: 1,
        createdAt: '2024-01-01T00:00:00Z',
      },
      status,
    },
  });
  t.deepEqual(
    (await store.list()).map((stored) => stored.record),
    [good],
  );
  t.deepEqual(
    store.unreadable().map(({ uid }) => uid),
    [record.uid],
  );
  await t.throwsAsync(store.read(record.uid), { message: /tombstones\.x\.namespace/ });
  await t.throwsAsync(store.write(record, undefined), { code: 'RECORD_CONFLICT' });
});

for (const { what, change, message } of [
  {
    what: 'another name than its driver',
    change: { metadata: { name: 'another' } },
    message: /named by the UID of its driver/,
  },
  {
    what: 'an unknown phase',
    change: { status: { phase: 'sleeping' } },
    message: /Unsupported value: "sleeping"/,
  },
  {
    what: 'a wrong count of sessions',
    change: { status: { sessionCount: 3 } },
    message: /sessionCount is the number of sessions/,
  },
  { what: 'no identity', change: { driver: { uid: undefined } }, message: /driver\.uid: Required/ },
] as const) {
  test(`the schema refuses a record with ${what}`, async (t) => {
    const { store, path } = await setUp();
    const record = driverRecord(randomUUID());
    const version = await store.write(record, undefined);
    const found = await admin.request<Record<string, Record<string, unknown>>>({
      path: `${path}/${record.uid}`,
    });
    await store.delete(record.uid, version);
    const object: Record<string, unknown> = { ...found, metadata: { name: record.uid } };
    for (const [part, fields] of Object.entries(change)) {
      object[part] = { ...(object[part] as object), ...fields };
    }
    const error = await t.throwsAsync(admin.request({ method: 'POST', path, body: object }), {
      instanceOf: KubernetesError,
    });
    t.regex(error?.message ?? '', message);
  });
}

test('a record that is full refuses one more session and says so', async (t) => {
  const { store } = await setUp();
  const record = driverRecord(randomUUID());
  const version = await store.write(record, undefined);
  const error = await t.throwsAsync(store.write(withSessions(record, 9_000), version), {
    instanceOf: GatewayError,
    code: 'RECORD_FULL',
  });
  t.regex(error?.message ?? '', /holds 9000 sessions/);
  t.deepEqual((await store.read(record.uid))?.record, record);

  const leadership = new TestLeadership();
  const ledger = await openLedger({ store, leadership, clock: systemClock, logger });
  await t.throwsAsync(
    ledger.update(record.uid, (current) => withSessions(current, 9_000)),
    { code: 'RECORD_FULL' },
  );
  t.deepEqual(ledger.get(record.uid), record);
});

test('more records than one page holds are listed as one snapshot', async (t) => {
  const { store } = await setUp();
  const uids = Array.from({ length: 620 }, () => randomUUID());
  for (let start = 0; start < uids.length; start += 62) {
    await Promise.all(
      uids.slice(start, start + 62).map((uid) => store.write(driverRecord(uid), undefined)),
    );
  }
  const listed = await store.list();
  t.deepEqual(listed.map(({ record }) => record.uid).toSorted(), uids.toSorted());
});

test('two leaders that both believe to lead cannot both change one record', async (t) => {
  const { store } = await setUp();
  const record = driverRecord(randomUUID());
  await store.write(record, undefined);
  const open = () =>
    openLedger({ store, leadership: new TestLeadership(), clock: systemClock, logger });
  const [one, two] = [await open(), await open()];
  await one.update(record.uid, (current) => withSession(current, sessionRecord('a'), START_MS));
  await t.throwsAsync(
    two.update(record.uid, (current) => withSession(current, sessionRecord('b'), START_MS)),
    { instanceOf: GatewayError },
  );
  t.deepEqual(Object.keys(two.get(record.uid)?.sessions ?? {}), ['a'], 'it has read the truth');
});

test('after a write without an answer a read waits until its outcome is certain', async (t) => {
  const { namespace } = await setUp();
  const clock = new ManualClock();
  let lost = true;
  const store = new KubernetesRecordStore({
    api: {
      request: (request) =>
        lost && request.method === 'POST'
          ? Promise.reject(new KubernetesError(0, 'ECONNRESET', 'no answer'))
          : admin.request(request),
    },
    namespace,
    clock,
    logger,
  });
  const record = driverRecord(randomUUID());
  await t.throwsAsync(store.write(record, undefined), { message: 'no answer' });
  let answered = false;
  const read = store.read(record.uid).then((found) => {
    answered = true;
    return found;
  });
  await clock.advance(6_000);
  t.false(answered);
  await clock.advance(2_000);
  t.is(await read, undefined);
  lost = false;
  t.truthy(await store.write(record, undefined));
});
