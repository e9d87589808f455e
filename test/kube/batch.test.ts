/** Batch jobs on a real API server, with the operator's own definitions where they are known. */
import { randomBytes } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import pLimit from 'p-limit';
import { ALICE } from '../support/batch-world.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { manifests, operatorCrds } from '../support/kube-manifests.js';
import {
  eventually,
  KilledApi,
  KubeBatchWorld,
  type Raw,
  requestId,
  untilState,
  words,
} from './batch-world.js';
import { BatchOperator } from './stand-in/batch-operator.js';

let server: KubeApiServer;
let operator: BatchOperator;

test.before(async () => {
  server = await KubeApiServer.start();
  for (const crd of [...operatorCrds(), ...manifests('k8s/crd/sparkbatches.yaml')]) {
    await server.apply(crd);
  }
  operator = new BatchOperator(server.admin());
  operator.start();
});
test.after.always(async () => {
  await operator?.stop();
  await server?.stop();
});

test('a job becomes an application that the operator admits, runs, and is over with its report', async (t) => {
  const w = await KubeBatchWorld.make(server);
  const leader = w.lead();
  t.teardown(leader.stop);
  await eventually(() => leader.term.jobs().list(ALICE, all).jobs.length === 0);
  const { record } = await leader.term.jobs().create(ALICE, w.submission());
  const { id } = record.job;
  await untilState(leader, id, 'RUNNING');
  const [application] = (await w.applications()).items;
  const spec = application?.['spec'] as Record<string, unknown>;
  t.is(spec['mainApplicationFile'], 'local:///opt/spark/work-dir/coreetl_runner.py');
  t.is(spec['timeToLiveSeconds'], 3600);
  t.like(spec['restartPolicy'], { type: 'OnFailure', onFailureRetryInterval: 30 });
  t.is(application?.metadata.annotations['spark-gateway.io/job-name'], record.job.jobName);
  const [configMap] = (await w.configMaps()).items;
  t.is(configMap?.metadata.ownerReferences?.[0]?.uid, application?.metadata.uid);
  t.is(leader.term.jobs().get(ALICE, id).uiUrl, `https://ui.example.com/${w.jobs}/${id}`);
  await operator.end(w.jobs, id, { exitCode: 0, words: words(id) });
  await untilState(leader, id, 'COMPLETED');
  t.is(leader.term.jobs().get(ALICE, id).record.rowCount, 2n);
});

const all = { team: '', environment: '', states: [], mine: false, pageSize: 0, pageToken: '' };

test('a manifest of 1 MB that does not compress reaches its driver whole', async (t) => {
  const w = await KubeBatchWorld.make(server);
  const leader = w.lead();
  t.teardown(leader.stop);
  await eventually(() => leader.term.jobs().list(ALICE, all).jobs.length === 0);
  const comment = randomBytes(740_000).toString('base64');
  const manifest = w.submission().manifest.replace('SELECT n', `SELECT /* ${comment} */ n`);
  t.true(manifest.length > 980_000);
  const { record } = await leader.term.jobs().create(ALICE, w.submission({ manifest }));
  await untilState(leader, record.job.id, 'RUNNING');
  const [configMap] = (await w.configMaps()).items;
  const binary = (configMap?.['binaryData'] ?? {}) as Record<string, string>;
  const { 'job.json.gz': file = '' } = binary;
  t.true(Buffer.from(file, 'base64').length > 700_000);
  await eventually(
    async () => (await leader.store.read(record.job.id))?.record.jobFile === undefined,
  );
});

/** A job takes fewer. */
const MOST_CHANGES = 12;
/** Of these worlds each waits for its second leader most of the time. */
const worlds = pLimit(8);

test('a control plane that is killed between any two steps leaves one job, which the next one goes on with', async (t) => {
  for (const kills of await Promise.all(
    [false, true].map((done) =>
      Promise.all(
        Array.from({ length: MOST_CHANGES }, (_, index) =>
          worlds(() => killedAndGoneOn(t, { at: index + 1, done })),
        ),
      ),
    ),
  )) {
    t.true(kills[0]);
    t.false(kills.at(-1), 'a job takes a few changes');
  }
});

/** Answers whether the control plane was killed: not when a job takes fewer changes. */
async function killedAndGoneOn(
  t: ExecutionContext,
  kill: { readonly at: number; readonly done: boolean },
): Promise<boolean> {
  const w = await KubeBatchWorld.make(server);
  const api = new KilledApi(w.admin, kill);
  const first = w.lead({ api });
  await eventually(() => first.term.jobs().list(ALICE, all).jobs.length === 0);
  const submission = w.submission({ options: { client_request_id: requestId() } });
  const outcome = await first.term
    .jobs()
    .create(ALICE, submission)
    .catch((error: unknown) => error);
  await Promise.race([api.died, eventually(async () => (await isOver(w, first)) || api.isDead)]);
  const wasKilled = api.isDead;
  await first.stop();
  const second = w.lead();
  await eventually(() => second.term.jobs().list(ALICE, all).jobs.length >= 0);
  // The client was told nothing, or that it is open: it asks again.
  const { record } = await second.term.jobs().create(ALICE, submission);
  const { id } = record.job;
  await untilState(second, id, 'RUNNING');
  const { items } = await w.applications();
  t.is(items.length, 1, `killed at change ${kill.at}`);
  await eventually(async () => {
    const [configMap] = (await w.configMaps()).items;
    return configMap?.metadata.ownerReferences?.[0]?.uid === items[0]?.metadata.uid;
  });
  await second.term.jobs().cancel(ALICE, id);
  await untilState(second, id, 'CANCELLED');
  t.is((await w.pods()).items.length, 0);
  t.is((await w.configMaps()).items.length, 0);
  await second.stop();
  t.truthy(outcome);
  return wasKilled;
}

/** Whether the first leader has done all that there is to do, so that it was not killed. */
async function isOver(w: KubeBatchWorld, { store }: ReturnType<KubeBatchWorld['lead']>) {
  const [application] = (await w.applications()).items;
  if (!application) return false;
  const stored = await store.read(application.metadata.name);
  return stored?.record.state === 'RUNNING';
}

test('cancelling takes executors with two owners, and a driver that comes after its application is gone', async (t) => {
  const w = await KubeBatchWorld.make(server);
  const late = new BatchOperator(w.admin);
  const leader = w.lead();
  t.teardown(leader.stop);
  await eventually(() => leader.term.jobs().list(ALICE, all).jobs.length === 0);
  const { record } = await leader.term.jobs().create(ALICE, w.submission());
  const { id } = record.job;
  await untilState(leader, id, 'RUNNING');
  await eventually(async () => (await w.pods()).items.length === 2);
  const [driver] = (await w.pods()).items.filter(({ metadata }) =>
    metadata.name.endsWith('driver'),
  );
  await leader.term.jobs().cancel(ALICE, id);
  await untilState(leader, id, 'CANCELLED');
  t.deepEqual((await w.pods()).items, []);
  // The operator was in the middle of submitting it.
  await w.admin.request({
    method: 'POST',
    path: `/api/v1/namespaces/${w.jobs}/pods`,
    body: lateDriver(driver),
  });
  await eventually(async () => (await w.pods()).items.length === 0);
  t.is(leader.term.jobs().get(ALICE, id).state, 'CANCELLED');
  await late.stop();
});

function lateDriver(driver: Raw | undefined) {
  const { name = '', labels = {} } = driver?.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: { containers: [{ name: 'spark-kubernetes-driver', image: 'late' }] },
  };
}

test('an attempt that fails is followed by another, which counts', async (t) => {
  const w = await KubeBatchWorld.make(server);
  const leader = w.lead();
  t.teardown(leader.stop);
  await eventually(() => leader.term.jobs().list(ALICE, all).jobs.length === 0);
  const { record } = await leader.term.jobs().create(ALICE, w.submission());
  const { id } = record.job;
  await untilState(leader, id, 'RUNNING');
  await operator.end(w.jobs, id, {
    exitCode: 1,
    words: words(id, { state: 'FAILED', exit_code: 1 }),
  });
  await eventually(() => leader.term.jobs().get(ALICE, id).attempt === 2);
  t.notRegex(leader.term.jobs().get(ALICE, id).state, /FAILED|UNKNOWN/);
  await untilState(leader, id, 'RUNNING');
  await eventually(async () =>
    (await w.pods()).items.some(({ metadata }) => metadata.name === `${id}-driver`),
  );
  await operator.end(w.jobs, id, { exitCode: 0, words: words(id) });
  await untilState(leader, id, 'COMPLETED');
});

test('a driver that nobody saw end has completed where the job says so, and is lost where it does not', async (t) => {
  const w = await KubeBatchWorld.make(server);
  const leader = w.lead();
  t.teardown(leader.stop);
  await eventually(() => leader.term.jobs().list(ALICE, all).jobs.length === 0);
  const jobs = leader.term.jobs();
  const ids: string[] = [];
  for (const reported of [true, false]) {
    const { record } = await jobs.create(
      ALICE,
      w.submission({
        environment: 'staging',
        manifest: w.submission().manifest.replace('name: daily', `name: daily-${reported}`),
      }),
    );
    const { id } = record.job;
    ids.push(id);
    operator.attempts.set(id, [
      { exitCode: 0, unseen: true },
      { exitCode: 0, unseen: true },
      { exitCode: 0, unseen: true },
    ]);
    if (reported) {
      w.reports.set(id, { jobId: id, applicationId: 'any', state: 'COMPLETED', exitCode: 0 });
    }
  }
  const [done = '', lost = ''] = ids;
  await untilState(leader, lost, 'FAILED');
  t.is(jobs.get(ALICE, lost).reason?.code, 'DRIVER_LOST');
  await untilState(leader, done, 'COMPLETED');
  t.is(jobs.get(ALICE, done).reason?.code, 'END_UNSEEN');
});

test('an application of that name which the gateway did not make is left alone, and the job has failed', async (t) => {
  const w = await KubeBatchWorld.make(server);
  const first = w.lead();
  await eventually(() => first.term.jobs().list(ALICE, all).jobs.length === 0);
  const submission = w.submission({ options: { client_request_id: requestId() } });
  const { record } = await first.term.jobs().create(ALICE, submission);
  const { id } = record.job;
  await untilState(first, id, 'RUNNING');
  await first.term.jobs().cancel(ALICE, id);
  await untilState(first, id, 'CANCELLED');
  await first.stop();
  // While somebody leads, a record that is deleted is written again.
  const stored = await first.store.read(id);
  await first.store.delete(id, stored?.version ?? '');
  const path = `/apis/sparkoperator.k8s.io/v1beta2/namespaces/${w.jobs}/sparkapplications`;
  await w.admin.request({
    method: 'POST',
    path,
    body: {
      apiVersion: 'sparkoperator.k8s.io/v1beta2',
      kind: 'SparkApplication',
      metadata: { name: id },
      spec: {
        type: 'Python',
        mode: 'cluster',
        mainApplicationFile: 'local:///other.py',
        sparkVersion: '4.1',
        suspend: true,
        driver: {},
        executor: {},
      },
    },
  });
  const second = w.lead();
  t.teardown(second.stop);
  await eventually(() => second.term.jobs().list(ALICE, all).jobs.length === 0);
  await second.term.jobs().create(ALICE, submission);
  await untilState(second, id, 'FAILED');
  t.regex(second.term.jobs().get(ALICE, id).reason?.message ?? '', /did not make/);
  t.is((await w.applications()).items.length, 1);
});

test('a quota that is used up keeps a job pending with that reason, and it is made when there is room', async (t) => {
  const w = await KubeBatchWorld.make(server);
  const quota = `/api/v1/namespaces/${w.jobs}/resourcequotas`;
  const hard = { 'count/sparkapplications.sparkoperator.k8s.io': '0' };
  await w.admin.request({
    method: 'POST',
    path: quota,
    body: { metadata: { name: 'none' }, spec: { hard } },
  });
  await w.admin.request({
    method: 'PATCH',
    path: `${quota}/none/status`,
    contentType: 'application/merge-patch+json',
    body: { status: { hard, used: { ...hard } } },
  });
  const leader = w.lead();
  t.teardown(leader.stop);
  await eventually(() => leader.term.jobs().list(ALICE, all).jobs.length === 0);
  const { record } = await leader.term.jobs().create(ALICE, w.submission());
  const { id } = record.job;
  await eventually(() => leader.term.jobs().get(ALICE, id).reason?.code === 'QUOTA_EXCEEDED');
  t.is(leader.term.jobs().get(ALICE, id).state, 'PENDING');
  await w.admin.request({ method: 'DELETE', path: `${quota}/none` });
  await untilState(leader, id, 'RUNNING');
});

test('records: what was written comes back, what somebody broke is shown, and what somebody deletes is written again', async (t) => {
  const w = await KubeBatchWorld.make(server);
  const leader = w.lead();
  await eventually(() => leader.term.jobs().list(ALICE, all).jobs.length === 0);
  const { record } = await leader.term.jobs().create(ALICE, w.submission());
  const { id } = record.job;
  await untilState(leader, id, 'RUNNING');
  await leader.store.writeLog(id, Buffer.from('log'));
  t.is(Buffer.from((await leader.store.readLog(id)) ?? []).toString(), 'log');
  const path = `/apis/spark-gateway.io/v1alpha1/namespaces/${w.namespace}/sparkbatches`;
  await w.admin.request({ method: 'DELETE', path: `${path}/${id}` });
  await eventually(async () => (await leader.store.read(id))?.record.state === 'RUNNING');
  t.is(leader.term.jobs().get(ALICE, id).state, 'RUNNING');
  const older = await leader.store.read(id);
  await leader.stop();
  const broken = await w.admin.request<Raw>({ path: `${path}/${id}` });
  await w.admin.request({
    method: 'POST',
    path,
    body: {
      ...broken,
      metadata: { name: 'job-broken', labels: broken.metadata.labels },
      job: {
        ...(broken['job'] as object),
        id: 'job-broken',
        createdAt: '2026-11-29T00:00:00Z',
        team: '',
      },
    },
  });
  const next = w.lead({ epoch: 7 });
  t.teardown(next.stop);
  await untilState(next, id, 'RUNNING');
  await eventually(() => [...next.term.problems()].some(({ kind }) => kind === 'job_unreadable'));
  await next.term.jobs().cancel(ALICE, id);
  await untilState(next, id, 'CANCELLED');
  // What a former leader sends late, it sends from what it had seen.
  if (!older) throw new Error('there is no record');
  await t.throwsAsync(leader.store.write(older.record, older.version), { code: 'RECORD_CONFLICT' });
  t.is((await next.store.read(id))?.record.state, 'CANCELLED');
});

test('100 equal submissions at once, at two replicas that both believe to lead, make one application', async (t) => {
  const w = await KubeBatchWorld.make(server);
  const [one, two] = [w.lead(), w.lead()];
  t.teardown(one.stop);
  t.teardown(two.stop);
  for (const { term } of [one, two]) {
    await eventually(() => term.jobs().list(ALICE, all).jobs.length === 0);
  }
  const submission = w.submission({ options: { client_request_id: requestId() } });
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, n) =>
      (n % 2 ? one : two).term.jobs().create(ALICE, submission),
    ),
  );
  t.is(new Set(answers.map(({ record }) => record.job.id)).size, 1);
  await untilState(two, answers[0]?.record.job.id ?? '', 'RUNNING');
  t.is((await w.applications()).items.length, 1);
});
