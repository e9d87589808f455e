/** What the operator's states mean, with its traps (kubeflow/spark-operator, api/v1beta2). */
import test from 'ava';
import {
  reasonOfEvent,
  statusOf,
  viewApplication,
  viewJobPod,
} from '../../../src/batch/kubernetes/application-view.js';

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
