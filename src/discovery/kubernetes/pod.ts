/** What a pod says about the driver in it. Pure. */
import { isIP } from 'node:net';
import { controllerOf, gatewayOf, TOKEN_VARIABLE } from '../../lib/kubernetes/ownership.js';
import type { ContainerStatus, Pod } from '../../lib/kubernetes/objects.js';
import type { DriverCondition } from '../../model/driver.js';
import { tellingLine } from '../../model/telling-line.js';

export interface PodView {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** UID of the resource that controls it. */
  readonly controller: string | undefined;
  /** The gateway that says to have made it. */
  readonly gateway?: string;
  readonly instance: string;
  readonly node: string | undefined;
  readonly address: string;
  readonly port: number;
  readonly condition: DriverCondition;
  readonly reason: string | undefined;
  /** Name of the Secret that its driver takes its token from. */
  readonly tokenSecret?: string;
  /** When it came into being, milliseconds since the epoch. */
  readonly createdAtMs: number | undefined;
  /** Since when it is ready no more, in whatever condition. */
  readonly silentSinceMs?: number;
  /** When it is to have ended, where it was asked to. */
  readonly endsAtMs?: number;
  /** Its reason is one that passes by itself in the first seconds: the Secret with its token is made after it. */
  readonly isPassing?: boolean;
  /** What keeps it from becoming ready, where that will not pass by waiting. */
  readonly trouble?: 'pod_without_address' | 'driver_start_failed';
}

/** Names that the operator gives the container that Spark runs in. */
const DRIVER_CONTAINERS = ['spark-kubernetes-driver', 'spark-connect-server'];
const PORT_NAME = 'spark-connect';
/** Why a container waits that is about to start. */
const BEGINNINGS = new Set(['PodInitializing', 'ContainerCreating']);
const NOT_CONFIGURED = 'CreateContainerConfigError';

export function viewPod(pod: Pod, defaultPort: number): PodView {
  const { name, namespace = '', uid = '' } = pod.metadata;
  const container = driverContainer(pod);
  const { condition, reason, trouble } = conditionOf(pod, container);
  const silentSinceMs = silentSince(pod, container);
  const endsAtMs = Date.parse(pod.metadata.deletionTimestamp ?? '');
  const createdAtMs = Date.parse(pod.metadata.creationTimestamp ?? '');
  const address = pod.status?.podIP ?? '';
  const tokenSecret = tokenSecretOf(pod);
  const gateway = gatewayOf(pod.metadata);
  return {
    uid,
    name,
    namespace,
    controller: controllerOf(pod.metadata),
    ...(gateway === undefined ? {} : { gateway }),
    instance: container?.containerID ?? '',
    node: pod.spec?.nodeName,
    address: isIP(address) === 0 ? '' : address,
    port: portOf(pod, container?.name) ?? defaultPort,
    condition,
    reason,
    createdAtMs: Number.isNaN(createdAtMs) ? undefined : createdAtMs,
    ...(silentSinceMs === undefined ? {} : { silentSinceMs }),
    ...(Number.isNaN(endsAtMs) ? {} : { endsAtMs }),
    ...(reason?.includes(NOT_CONFIGURED) === true ? { isPassing: true } : {}),
    ...(tokenSecret === undefined ? {} : { tokenSecret }),
    ...(trouble === undefined ? {} : { trouble }),
  };
}

function tokenSecretOf(pod: Pod): string | undefined {
  const variables = (pod.spec?.containers ?? []).flatMap(({ env = [] }) => env);
  return variables.find(({ name }) => name === TOKEN_VARIABLE)?.valueFrom?.secretKeyRef?.name;
}

/** Status of the container that Spark runs in: by its name, by its port, or the first. */
function driverContainer(pod: Pod): ContainerStatus | undefined {
  const statuses = pod.status?.containerStatuses ?? [];
  const named = statuses.find(({ name }) => DRIVER_CONTAINERS.includes(name));
  if (named) return named;
  const containers = pod.spec?.containers ?? [];
  const main = containers.find(({ ports }) => ports?.some((port) => port.name === PORT_NAME));
  return statuses.find(({ name }) => name === (main ?? containers[0])?.name);
}

function portOf(pod: Pod, container: string | undefined): number | undefined {
  const ports = (pod.spec?.containers ?? [])
    .filter(({ name }) => container === undefined || name === container)
    .flatMap((candidate) => candidate.ports ?? []);
  return ports.find(({ name }) => name === PORT_NAME)?.containerPort;
}

export const NOT_READY_YET = 'Its pod is not ready yet.';

interface Found {
  readonly condition: DriverCondition;
  readonly reason?: string | undefined;
  readonly trouble?: PodView['trouble'];
}

function conditionOf(pod: Pod, container: ContainerStatus | undefined): Found {
  const { metadata, status = {} } = pod;
  const ended = container?.state?.terminated;
  if (status.phase === 'Failed' || status.phase === 'Succeeded' || ended) {
    const why = ended ? endOf(ended) : podReason(pod);
    return { condition: 'ended', reason: `Its pod ended: ${why ?? status.phase}.` };
  }
  const ready = status.conditions?.find(({ type }) => type === 'Ready');
  if (metadata.deletionTimestamp !== undefined) {
    return { condition: 'terminating', reason: 'Its pod was asked to end.' };
  }
  if (ready?.status === 'True') {
    if (isIP(status.podIP ?? '') !== 0) return { condition: 'ready' };
    return {
      condition: 'starting',
      reason: 'Its pod is ready but has no IP address.',
      trouble: 'pod_without_address',
    };
  }
  const reason = podReason(pod);
  const wasReady = silentSince(pod, container) !== undefined;
  return {
    condition: wasReady ? 'not_ready' : 'starting',
    reason: reason ?? (wasReady ? 'Its pod is ready no more.' : NOT_READY_YET),
    ...(reason === undefined || wasReady ? {} : { trouble: 'driver_start_failed' }),
  };
}

/** The condition is set when the pod comes into being, and from then on whenever it changes. */
function silentSince(pod: Pod, container: ContainerStatus | undefined): number | undefined {
  const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready === undefined || ready.status === 'True') return undefined;
  const since = Date.parse(ready.lastTransitionTime ?? '');
  const started = Date.parse(container?.state?.running?.startedAt ?? '');
  return since > started ? since : undefined;
}

/** The most telling of what a pod says about itself. */
function podReason({ status = {} }: Pod): string | undefined {
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  for (const { name, state } of containers) {
    const waiting = state?.waiting;
    if (waiting?.reason !== undefined && !BEGINNINGS.has(waiting.reason)) {
      return `container ${name}: ${text(waiting.reason, waiting.message)}`;
    }
    if (state?.terminated?.exitCode !== undefined && state.terminated.exitCode !== 0) {
      return `container ${name}: ${endOf(state.terminated)}`;
    }
  }
  if (status.reason !== undefined) return text(status.reason, status.message);
  const failing = status.conditions?.find(
    ({ type, status: value }) => type === 'PodScheduled' && value === 'False',
  );
  return failing && text(failing.reason ?? 'not scheduled', failing.message);
}

function endOf({
  reason,
  exitCode,
  message,
}: NonNullable<NonNullable<ContainerStatus['state']>['terminated']>) {
  const what = `${reason ?? 'ended'}, exit status ${exitCode ?? 'unknown'}`;
  return text(what, message);
}

function text(reason: string, message: string | undefined): string {
  return message === undefined || message === '' ? reason : `${reason}: ${tellingLine(message)}`;
}
