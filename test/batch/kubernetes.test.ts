import test from 'ava';
import * as fc from 'fast-check';
import type { JobToRun } from '../../src/batch/backend.js';
import {
  reasonOfEvent,
  statusOf,
  viewApplication,
  viewJobPod,
} from '../../src/batch/kubernetes/application-view.js';
import { driverLog, parseLine } from '../../src/batch/kubernetes/driver-log.js';
import {
  type ApplicationSettings,
  imageOf,
  jobConfigMap,
  sparkApplicationOf,
} from '../../src/batch/kubernetes/spark-application.js';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import type { Query } from '../../src/lib/kubernetes/kubernetes-api.js';
import { GatewayKey } from '../../src/lib/kubernetes/ownership.js';
import { anyCharacter } from '../support/any-character.js';

// What is asked of the operator.

const job: JobToRun = {
  id: 'job-aaaaaaaaaaaaaaaaaaaaaaaaaa',
  namespace: 'sjns-ads-staging',
  team: 'ads',
  environment: 'staging',
  user: 'alice',
  jobName: 'daily',
  jobFile: Buffer.from('gz'),
  engineVersion: '4.1',
  resources: {
    driver: { cores: 2, memory: '4g' },
    executor: { cores: 2, memory: '4g', instances: 2 },
    dynamicAllocation: { minExecutors: 1, maxExecutors: 10 },
  },
  outputPath: 's3://results/sjns-ads-staging/job-a',
  retries: true,
  ttlSeconds: 3600,
};

const settings: ApplicationSettings = {
  gateway: 'spark-gateway',
  key: new GatewayKey(Buffer.alloc(32, 7)),
  images: { '4.1': 'example/spark:4.1' },
  imagePullPolicy: 'IfNotPresent',
  serviceAccount: 'spark',
  sparkConf: { 'spark.hadoop.fs.s3a.endpoint': 'http://s3' },
  templates: { small: { 'spark.sql.shuffle.partitions': '8' } },
  catalog: { name: 'unity', uri: 'https://catalog', tokenSecret: 'catalog-token' },
  uiUrl: 'https://ui.example.com/spark/{namespace}/{job_id}/',
};

interface Made {
  readonly metadata: {
    readonly labels: Record<string, string>;
    readonly annotations: Record<string, string>;
  };
  readonly spec: {
    readonly sparkConf: Record<string, string>;
    readonly restartPolicy: Record<string, unknown>;
    readonly driver: { readonly labels: Record<string, string>; readonly template: unknown };
    readonly executor: { readonly labels: Record<string, string> };
  };
}

const made = (given: Partial<JobToRun> = {}) =>
  sparkApplicationOf({ ...job, ...given }, 'image', settings) as unknown as Made;

test('an application that is tried again has both intervals, without which the operator waits for ever', (t) => {
  const { restartPolicy } = made().spec;
  t.is(restartPolicy['type'], 'OnFailure');
  t.true(Number(restartPolicy['onFailureRetryInterval']) > 0);
  t.true(Number(restartPolicy['onSubmissionFailureRetryInterval']) > 0);
  t.deepEqual(made({ retries: false }).spec.restartPolicy, { type: 'Never' });
});

test("what only the operator's webhook would apply stands in the driver's pod template", (t) => {
  const { template } = made().spec.driver;
  t.like(template, {
    spec: {
      containers: [
        {
          name: 'spark-kubernetes-driver',
          volumeMounts: [{ mountPath: '/opt/spark/job', readOnly: true }],
        },
      ],
      volumes: [{ configMap: { name: `${job.id}-job` } }],
    },
  });
});

test("the catalog's token comes from a Secret and stands nowhere in the configuration", (t) => {
  const text = JSON.stringify(made());
  t.true(text.includes('"secretKeyRef":{"name":"catalog-token","key":"token"}'));
  t.false(Object.keys(made().spec.sparkConf).some((key) => key.endsWith('.token')));
});

test("Spark's page knows the path that it is behind", (t) => {
  t.is(made().spec.sparkConf['spark.ui.proxyBase'], `/spark/sjns-ads-staging/${job.id}`);
});

test('nothing stands in sparkConf that the admission of the operator refuses', (t) => {
  const refused =
    /^spark\.(master$|kubernetes\.(driver\.master|namespace|.*container\.image|authenticate\..*(serviceAccountName|oauthToken)))/;
  t.deepEqual(
    Object.keys(made({ template: 'small' }).spec.sparkConf).filter((key) => refused.test(key)),
    [],
  );
  t.is(made({ template: 'small' }).spec.sparkConf['spark.sql.shuffle.partitions'], '8');
});

test('labels are legal whatever a team, a user and a job are called; annotations hold the originals', (t) => {
  const name = fc.oneof(
    fc.string({ minLength: 1, maxLength: 120, unit: anyCharacter }),
    fc.constantFrom('a+b@example.com', 'x'.repeat(64), 'Team_A', '-', '..', 'Ä'),
  );
  fc.assert(
    fc.property(name, name, name, (team, user, jobName) => {
      const { metadata, spec } = made({ team, user, jobName });
      for (const labels of [metadata.labels, spec.driver.labels, spec.executor.labels]) {
        for (const value of Object.values(labels)) {
          t.regex(value, /^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$/);
        }
      }
      t.is(metadata.annotations['spark-gateway.io/user'], user);
    }),
  );
});

test('equal jobs make equal objects', (t) => {
  t.deepEqual(made(), made());
  t.deepEqual(jobConfigMap(job, settings), jobConfigMap({ ...job }, settings));
});

test('a version or template that the settings do not know is refused, with those that they know', (t) => {
  t.throws(() => imageOf({ ...job, engineVersion: '3.5' }, settings), {
    code: 'BATCH_REFUSED',
    message: /names 4\.1/,
  });
  t.throws(() => imageOf({ ...job, template: 'large' }, settings), { message: /has small/ });
  t.is(imageOf({ ...job, image: 'own' }, settings), 'own');
});

// What the operator's states mean, with its traps (kubeflow/spark-operator, api/v1beta2).

const ID = 'job-aaaaaaaaaaaaaaaaaaaaaaaaaa';

function application(state: string | undefined, more: Record<string, unknown> = {}, spec = {}) {
  const object = {
    metadata: { name: ID, namespace: 'ns', uid: 'u', creationTimestamp: '2026-11-29T10:00:00Z' },
    spec: {
      restartPolicy: {
        type: 'OnFailure',
        onFailureRetries: 2,
        onFailureRetryInterval: 30,
        onSubmissionFailureRetries: 3,
      },
      ...spec,
    },
    ...(state === undefined
      ? {}
      : { status: { applicationState: { state, ...more }, executionAttempts: 1, ...more } }),
  };
  return viewApplication(object, true);
}

function driver(state: Record<string, unknown>, phase = 'Running', status = {}) {
  return viewJobPod({
    metadata: {
      name: `${ID}-driver`,
      namespace: 'ns',
      uid: 'p',
      labels: { 'spark-gateway.io/job': ID, 'spark-role': 'driver' },
    },
    status: { phase, containerStatuses: [{ name: 'spark-kubernetes-driver', state }], ...status },
  });
}

for (const [state, expected] of [
  [undefined, 'PENDING'],
  ['', 'PENDING'],
  ['NEW', 'PENDING'],
  ['SUBMITTED', 'PENDING'],
  ['INVALIDATING', 'PENDING'],
  ['PENDING_RERUN', 'PENDING'],
  ['SUSPENDING', 'PENDING'],
  ['SUSPENDED', 'PENDING'],
  ['RESUMING', 'PENDING'],
  ['RUNNING', 'RUNNING'],
  ['SUCCEEDING', 'RUNNING'],
  ['COMPLETED', 'SUCCEEDED'],
  ['FAILED', 'FAILED'],
  ['UNKNOWN', 'UNKNOWN'],
  ['SOMETHING_NEW', 'UNKNOWN'],
] as const) {
  test(`the operator says ${state ?? 'nothing yet'}: ${expected}`, (t) => {
    t.is(statusOf(application(state), undefined, undefined).state, expected);
  });
}

function failing(executionAttempts: number, spec = {}) {
  return statusOf(application('FAILING', { executionAttempts }, spec), undefined, undefined);
}

test('FAILING is an end when the operator will not try again, by its own count of attempts', (t) => {
  t.like(failing(2), { state: 'RUNNING', retrying: true });
  t.is(failing(3).state, 'FAILED');
  t.is(failing(1, { restartPolicy: { type: 'Never' } }).state, 'FAILED');
});

test('SUBMISSION_FAILED waits for the next submission, as long as one comes, and tells what spark-submit said', (t) => {
  const errorMessage =
    'failed to run spark-submit: Exception in thread "main" \n\tat x\nCaused by: pods "a" is forbidden: exceeded quota: team, requested: cpu=2';
  const at = (submissionAttempts: number) =>
    statusOf(
      application('SUBMISSION_FAILED', { submissionAttempts, errorMessage, executionAttempts: 0 }),
      undefined,
      undefined,
    );
  t.like(at(3), { state: 'PENDING', reason: { code: 'QUOTA_EXCEEDED' } });
  t.like(at(4), { state: 'FAILED', reason: { code: 'QUOTA_EXCEEDED' } });
  t.regex(at(4).reason?.message ?? '', /exceeded quota/);
});

test('what a driver waits for is said: an image, a node, a volume', (t) => {
  const waiting = (reason: string, message: string) =>
    statusOf(
      application('SUBMITTED'),
      driver({ waiting: { reason, message } }, 'Pending'),
      undefined,
    ).reason;
  t.like(waiting('ImagePullBackOff', 'Back-off pulling image "x"'), { code: 'IMAGE_PULL_FAILED' });
  t.like(waiting('CreateContainerConfigError', 'secret "catalog" not found'), {
    code: 'CONTAINER_NOT_STARTED',
  });
  t.like(waiting('ContainerCreating', ''), { code: 'DRIVER_STARTING' });
  const unscheduled = driver({}, 'Pending', {
    conditions: [
      { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes' },
    ],
  });
  t.like(statusOf(application('SUBMITTED'), unscheduled, undefined).reason, {
    code: 'UNSCHEDULABLE',
    message: 'Unschedulable: 0/3 nodes',
  });
  const found = reasonOfEvent('FailedMount', 'configmap "job" not found');
  t.like(statusOf(application('SUBMITTED'), driver({}, 'Pending'), found).reason, {
    code: 'VOLUME_MISSING',
  });
});

test('how a driver ended is told by its container, its words, and else by the operator', (t) => {
  const words = JSON.stringify({
    format: 1,
    job_id: ID,
    application_id: 'spark-1',
    state: 'FAILED',
    exit_code: 11,
    code: 'SQL_INVALID',
    message: 'no column m',
    step: 'doubled',
    line: 12,
    column: 3,
  });
  const ended = driver({ terminated: { exitCode: 11, reason: 'Error', message: words } }, 'Failed');
  const status = statusOf(
    application('FAILED', { terminationTime: '2026-11-29T10:05:00Z' }),
    ended,
    undefined,
  );
  t.is(status.exitCode, 11);
  t.like(status.report?.reason, { code: 'SQL_INVALID', line: 12 });
  t.is(status.endedAtMs, Date.parse('2026-11-29T10:05:00Z'));
  const gone = statusOf(
    application('FAILED', {
      errorMessage: 'driver container failed with ExitCode: 143, Reason: Error',
    }),
    undefined,
    undefined,
  );
  t.is(gone.exitCode, 143);
  t.is(gone.reason?.code, 'DRIVER_TERMINATED');
  const lost = statusOf(
    application('FAILED', { errorMessage: 'driver pod not found' }),
    undefined,
    undefined,
  );
  t.is(lost.exitCode, undefined);
  t.is(lost.reason?.code, 'DRIVER_LOST');
  const killed = driver({ terminated: { exitCode: 137, reason: 'OOMKilled' } }, 'Failed');
  t.is(statusOf(application('FAILED'), killed, undefined).reason?.code, 'DRIVER_OUT_OF_MEMORY');
});

test("another job's words, or anybody's, are no report", (t) => {
  for (const message of [
    'Killed',
    '{"format":1}',
    JSON.stringify({ format: 1, job_id: 'job-b', application_id: 'x', state: 'COMPLETED' }),
  ]) {
    const ended = driver({ terminated: { exitCode: 0, message } }, 'Succeeded');
    t.is(statusOf(application('COMPLETED'), ended, undefined).report, undefined);
  }
});

// The driver's log.

/** An API server whose kubelet has these lines, and falls silent as one does that rotates a file. */
class Kubelet {
  readonly asked: Query[] = [];
  readonly lines: string[] = [];
  /** After how many lines the next stream falls silent; none: it ends. */
  readonly silences: number[] = [];
  isRunning = true;
  whileSilent: () => void = () => undefined;

  readonly api = {
    lines: (request: { readonly query: Query }) => this.#stream(request.query),
  };

  async *#stream(query: Query): AsyncGenerator<string, void> {
    await Promise.resolve();
    this.asked.push(query);
    const since = String(query['sinceTime'] ?? '');
    const own = this.lines.filter((line) => line.slice(0, 19) >= since.slice(0, 19));
    const silence = this.silences.shift();
    for (const line of own.slice(0, silence)) yield line;
    if (silence === undefined) return;
    this.whileSilent();
    throw new KubernetesError(0, 'Silent', 'nothing came');
  }

  async read(since?: string): Promise<string[]> {
    const lines: string[] = [];
    const stream = driverLog(
      {
        api: this.api,
        namespace: 'ns',
        id: 'job-a',
        attempt: 1,
        isRunning: () => this.isRunning,
      },
      {
        follow: true,
        signal: new AbortController().signal,
        ...(since === undefined ? {} : { since }),
      },
    );
    for await (const { time, text } of stream) lines.push(`${time} ${text}`);
    return lines;
  }
}

const at = (second: number, nanos: number, text: string) =>
  `2026-11-29T10:00:0${second}.${String(nanos).padStart(9, '0')}Z ${text}`;

test('a stream that falls silent is opened again where it was: no line twice, none left out', async (t) => {
  const kubelet = new Kubelet();
  kubelet.lines.push(at(1, 1, 'a'), at(1, 2, 'b'), at(1, 2, 'c'));
  kubelet.silences.push(2, 3);
  let rotated = 0;
  kubelet.whileSilent = () => {
    rotated += 1;
    if (rotated === 2) {
      kubelet.lines.push(at(1, 2, 'd'), at(2, 0, 'e'));
      kubelet.isRunning = false;
    }
  };
  t.deepEqual(
    (await kubelet.read()).map((line) => line.slice(-1)),
    ['a', 'b', 'c', 'd', 'e'],
  );
  t.deepEqual(
    kubelet.asked.map(({ follow, sinceTime }) => [follow, sinceTime]),
    [
      [true, undefined],
      [true, '2026-11-29T10:00:01Z'],
      [undefined, '2026-11-29T10:00:01Z'],
    ],
  );
});

test('a log is resumed within a second, although Kubernetes counts in whole ones', async (t) => {
  const kubelet = new Kubelet();
  kubelet.isRunning = false;
  kubelet.lines.push(at(1, 1, 'a'), at(1, 5, 'b'), at(2, 0, 'c'));
  t.deepEqual(await kubelet.read('2026-11-29T10:00:01.000000005Z'), kubelet.lines.slice(1));
});

test('times compare as texts whatever zone and precision the kubelet writes', (t) => {
  t.deepEqual(parseLine('2026-11-29T11:00:01.5+01:00 hello world', undefined), {
    time: '2026-11-29T10:00:01.500000000Z',
    text: 'hello world',
  });
  t.deepEqual(parseLine('no time', '2026-11-29T10:00:01.500000000Z'), {
    time: '2026-11-29T10:00:01.500000000Z',
    text: 'no time',
  });
});

test('without a pod there is no log, and no error', async (t) => {
  const missing = {
    lines: () => {
      throw new KubernetesError(404, 'NotFound', 'pods "job-a-driver" not found');
    },
  };
  const signal = new AbortController().signal;
  const stream = driverLog(
    { api: missing, namespace: 'ns', id: 'job-a', attempt: 1, isRunning: () => true },
    { follow: true, signal },
  );
  t.true((await stream.next()).done);
});
