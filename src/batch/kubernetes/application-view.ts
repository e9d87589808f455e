/** What a SparkApplication and its driver's pod say about a job. Pure. */
import type { KubernetesObject, Pod } from '../../lib/kubernetes/objects.js';
import type { JobReason } from '../../model/job.js';
import { isObject } from '../../model/json.js';
import { tellingLine } from '../../model/telling-line.js';
import type { ApplicationStatus } from '../backend.js';
import { parseReport } from '../report.js';
import { JOB_LABEL } from './job-names.js';

/** Of an application, what is kept. */
export interface ApplicationView {
  readonly id: string;
  readonly namespace: string;
  readonly uid: string;
  readonly isOurs: boolean;
  readonly isEnding: boolean;
  /** As the operator has it; '' before it has looked. */
  readonly state: string;
  readonly message: string;
  readonly attempts: number;
  readonly hasRetryLeft: boolean;
  readonly hasSubmissionRetryLeft: boolean;
  readonly applicationId: string | undefined;
  readonly endedAtMs: number | undefined;
  readonly createdAtMs: number;
}

/** Of a pod of a job, what is kept. */
export interface JobPodView {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly isDriver: boolean;
  readonly phase: string;
  readonly startedAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
  readonly exitCode: number | undefined;
  /** Why its container ended, as the kubelet says: OOMKilled, Error, Evicted. */
  readonly endReason: string | undefined;
  /** What the program left in its termination message. */
  readonly words: string | undefined;
  /** What it waits for, where that is known. */
  readonly waiting: JobReason | undefined;
}

const DRIVER_CONTAINER = 'spark-kubernetes-driver';

export function viewApplication(object: KubernetesObject, isOurs: boolean): ApplicationView {
  const { name, namespace = '', uid = '', creationTimestamp, deletionTimestamp } = object.metadata;
  const status = fieldOf(object, 'status');
  const spec = fieldOf(object, 'spec');
  const application = fieldOf(status, 'applicationState');
  const restart = fieldOf(spec, 'restartPolicy');
  const attempts = numberOf(status, 'executionAttempts');
  const retries = restart['type'] === 'OnFailure' ? numberOf(restart, 'onFailureRetries') : -1;
  const submissions =
    restart['type'] === 'OnFailure' ? numberOf(restart, 'onSubmissionFailureRetries') : -1;
  const applicationId = textOf(status, 'sparkApplicationId');
  return {
    id: name,
    namespace,
    uid,
    isOurs,
    isEnding: deletionTimestamp !== undefined,
    state: textOf(application, 'state'),
    message: textOf(application, 'errorMessage'),
    attempts,
    // The operator's own rule: it tries again while attempts <= retries.
    hasRetryLeft: restart['type'] === 'Always' || attempts <= retries,
    hasSubmissionRetryLeft: numberOf(status, 'submissionAttempts') <= submissions,
    applicationId: applicationId === '' ? undefined : applicationId,
    endedAtMs: timeOf(textOf(status, 'terminationTime')),
    createdAtMs: timeOf(creationTimestamp) ?? 0,
  };
}

export function viewJobPod(pod: Pod): JobPodView {
  const { name, namespace = '', uid = '', labels = {} } = pod.metadata;
  const { status = {} } = pod;
  const container = status.containerStatuses?.find((one) => one.name === DRIVER_CONTAINER);
  const ended = container?.state?.terminated;
  return {
    id: labels[JOB_LABEL] ?? '',
    namespace,
    name,
    uid,
    isDriver: labels['spark-role'] === 'driver',
    phase: status.phase ?? '',
    startedAtMs: timeOf(container?.state?.running?.startedAt ?? ended?.startedAt),
    endedAtMs: timeOf(ended?.finishedAt),
    exitCode: ended?.exitCode,
    endReason: ended?.reason ?? (status.phase === 'Failed' ? status.reason : undefined),
    words: ended?.message,
    waiting: waitingOf(pod),
  };
}

/** Why a container waits that is about to start. */
const BEGINNINGS = new Set(['PodInitializing', 'ContainerCreating']);
const IMAGE = /^(ErrImage|ImagePull|InvalidImageName|ImageInspectError|RegistryUnavailable)/;

function waitingOf({ status = {} }: Pod): JobReason | undefined {
  if (status.phase !== 'Pending') return undefined;
  for (const { state } of status.containerStatuses ?? []) {
    const { reason, message = '' } = state?.waiting ?? {};
    if (reason === undefined || BEGINNINGS.has(reason)) continue;
    const code = IMAGE.test(reason) ? 'IMAGE_PULL_FAILED' : 'CONTAINER_NOT_STARTED';
    return { code, message: said(reason, message) };
  }
  const unscheduled = status.conditions?.find(
    ({ type, status: value }) => type === 'PodScheduled' && value === 'False',
  );
  if (!unscheduled) return undefined;
  const { reason = 'Unschedulable', message = '' } = unscheduled;
  return { code: 'UNSCHEDULABLE', message: said(reason, message) };
}

/** What events say that neither the pod nor the application does. */
export function reasonOfEvent(reason: string, message: string): JobReason | undefined {
  if (/exceeded quota/i.test(message)) {
    return { code: 'QUOTA_EXCEEDED', message: said(reason, message) };
  }
  if (/^Failed(Mount|AttachVolume)$/.test(reason)) {
    return { code: 'VOLUME_MISSING', message: said(reason, message) };
  }
  if (reason === 'FailedScheduling') {
    return { code: 'UNSCHEDULABLE', message: said(reason, message) };
  }
  return IMAGE.test(reason) || /pull image/i.test(message)
    ? { code: 'IMAGE_PULL_FAILED', message: said(reason, message) }
    : undefined;
}

const WAITS: Readonly<Record<string, JobReason>> = {
  '': { code: 'SUBMITTED', message: 'The Spark operator has not looked at it yet.' },
  NEW: { code: 'SUBMITTED', message: 'The Spark operator has not looked at it yet.' },
  SUBMITTED: { code: 'DRIVER_STARTING', message: 'Its driver is about to start.' },
  INVALIDATING: { code: 'RESTARTING', message: 'The operator begins with it anew.' },
  PENDING_RERUN: { code: 'RETRYING', message: 'Its next attempt is about to begin.' },
  SUSPENDING: { code: 'SUSPENDED', message: 'Somebody has suspended it.' },
  SUSPENDED: { code: 'SUSPENDED', message: 'Somebody has suspended it.' },
  RESUMING: { code: 'RESUMING', message: 'It is about to go on.' },
};

/** As the backend tells it. `driver`: of the newest attempt, if there is one. `found`: what events say of a job that waits. */
export function statusOf(
  application: ApplicationView,
  driver: JobPodView | undefined,
  found: JobReason | undefined,
): ApplicationStatus {
  const { id, namespace, state, attempts, message } = application;
  const report = driver?.words === undefined ? undefined : parseReport(driver.words, id);
  const exitCode = driver?.exitCode ?? exitCodeIn(message);
  const base = {
    id,
    namespace,
    attempt: attempts,
    ...(application.applicationId === undefined
      ? {}
      : { applicationId: application.applicationId }),
    ...(driver?.startedAtMs === undefined ? {} : { startedAtMs: driver.startedAtMs }),
  };
  const end = (): Omit<ApplicationStatus, 'state' | 'id' | 'namespace' | 'attempt'> => {
    const endedAtMs = application.endedAtMs ?? driver?.endedAtMs;
    return {
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(report ? { report } : {}),
      ...(endedAtMs === undefined ? {} : { endedAtMs }),
    };
  };
  const waits = WAITS[state];
  if (waits) {
    return { ...base, state: 'PENDING', reason: driver?.waiting ?? found ?? waits };
  }
  switch (state) {
    case 'RUNNING':
    case 'SUCCEEDING':
      return { ...base, state: 'RUNNING' };
    case 'FAILING':
      return application.hasRetryLeft
        ? { ...base, state: 'RUNNING', retrying: true, reason: failure(message, driver, exitCode) }
        : { ...base, state: 'FAILED', ...end(), reason: failure(message, driver, exitCode) };
    case 'SUBMISSION_FAILED':
      return application.hasSubmissionRetryLeft
        ? { ...base, state: 'PENDING', reason: submissionFailure(message) }
        : { ...base, state: 'FAILED', exitCode: exitCode ?? 1, reason: submissionFailure(message) };
    case 'COMPLETED':
      return { ...base, state: 'SUCCEEDED', ...end() };
    case 'FAILED':
      // An application that was never submitted has no driver that could have done anything.
      return attempts === 0
        ? {
            ...base,
            state: 'FAILED',
            ...end(),
            exitCode: exitCode ?? 1,
            reason: submissionFailure(message),
          }
        : { ...base, state: 'FAILED', ...end(), reason: failure(message, driver, exitCode) };
    default:
      return {
        ...base,
        state: 'UNKNOWN',
        reason: { code: 'OPERATOR_STATE', message: `The operator says ${state || 'nothing'}.` },
      };
  }
}

function failure(
  message: string,
  driver: JobPodView | undefined,
  exitCode: number | undefined,
): JobReason {
  const why = driver?.endReason ?? '';
  if (why === 'OOMKilled' || /OOMKilled/.test(message)) {
    return {
      code: 'DRIVER_OUT_OF_MEMORY',
      message: 'The driver needed more memory than it was given: raise resources.driver.memory.',
    };
  }
  if (why === 'Evicted' || why === 'Preempting') {
    return { code: 'DRIVER_EVICTED', message: 'The driver was evicted from its node.' };
  }
  if (why === 'DeadlineExceeded') {
    return { code: 'DEADLINE_EXCEEDED', message: 'The driver ran beyond the deadline of the job.' };
  }
  if (exitCode === 143 || exitCode === 137) {
    return {
      code: 'DRIVER_TERMINATED',
      message: `The driver was ended from outside (exit code ${exitCode}): its node may have been drained.`,
    };
  }
  if (exitCode !== undefined) {
    return { code: 'DRIVER_FAILED', message: `The driver ended with exit code ${exitCode}.` };
  }
  return {
    code: 'DRIVER_LOST',
    message: `Nobody has seen how the driver ended${message === '' ? '' : `: ${tellingLine(message)}`}.`,
  };
}

function submissionFailure(message: string): JobReason {
  const code = /exceeded quota/i.test(message) ? 'QUOTA_EXCEEDED' : 'SUBMISSION_FAILED';
  return { code, message: tellingLine(message === '' ? 'spark-submit failed' : message) };
}

/** `driver container failed with ExitCode: 1, Reason: Error`. */
function exitCodeIn(message: string): number | undefined {
  const match = /ExitCode: (\d{1,3})\b/.exec(message);
  return match ? Number(match[1]) : undefined;
}

function said(reason: string, message: string): string {
  return message === '' ? reason : `${reason}: ${tellingLine(message)}`;
}

function fieldOf(value: unknown, name: string): Record<string, unknown> {
  const field = isObject(value) ? value[name] : undefined;
  return isObject(field) ? field : {};
}

function textOf(value: Record<string, unknown>, name: string): string {
  const text = value[name];
  return typeof text === 'string' ? text : '';
}

function numberOf(value: Record<string, unknown>, name: string): number {
  const number = value[name];
  return typeof number === 'number' ? number : 0;
}

function timeOf(text: string | undefined): number | undefined {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? undefined : ms;
}
