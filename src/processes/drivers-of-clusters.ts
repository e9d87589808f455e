/** Drivers as pods, in one cluster or several. */
import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { FilteredSource } from '../discovery/filtered-source.js';
import { DisruptionBudgets } from '../discovery/kubernetes/disruption-budgets.js';
import { DriverResources } from '../discovery/kubernetes/driver-resources.js';
import { KubernetesFactory } from '../discovery/kubernetes/factory.js';
import { KubernetesDrivers } from '../discovery/kubernetes/kubernetes-drivers.js';
import { NearestFactory } from '../discovery/kubernetes/nearest-factory.js';
import { WatchedTemplates } from '../discovery/kubernetes/template-file.js';
import { FENCE_JAR } from '../discovery/local/spark-command.js';
import { PodProbes } from '../discovery/pod-probes.js';
import { tcpProbe, http2Probe } from '../discovery/port-monitor.js';
import type { Clock } from '../model/clock.js';
import { SPARK_CONNECT_PORT, type DriverRecord, type SessionRecord } from '../model/driver.js';
import { GatewayError } from '../model/errors.js';
import type { Policy } from '../model/policy.js';
import type { Settings } from '../settings/table.js';
import type { Drivers } from './own-drivers.js';
import type { Cluster, KubernetesAccess } from './kubernetes.js';
import type { ReplicaRecords } from './records.js';

export interface KubernetesDriversContext {
  readonly records: Pick<ReplicaRecords, 'ledger' | 'leadership' | 'unreadable'>;
  readonly policy: () => Policy;
  /** Whether no request of the session had an answer of its driver yet. */
  readonly isUnanswered: (session: SessionRecord) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface DriversOfClusters extends Drivers {
  /** Keeps drivers with sessions from being evicted; to be called whenever it was looked. */
  protect(): void;
  /** Begins to look, and resolves once it was seen what there is, as far as it can be read. */
  read(): Promise<void>;
}

export async function openKubernetesDrivers(
  settings: Settings,
  access: KubernetesAccess,
  context: KubernetesDriversContext,
): Promise<DriversOfClusters> {
  const { clock, logger } = context;
  const { templatesFile } = settings.drivers.kubernetes;
  const changed = () => {
    for (const { source } of parts) source.changed();
  };
  const templates =
    templatesFile === undefined
      ? undefined
      : await WatchedTemplates.open({
          path: templatesFile,
          sessionTtlMs: settings.sessionTtlMs,
          clock,
          logger,
          onChange: changed,
        });
  const fence = templates ? await readFence() : Buffer.alloc(0);
  const parts = access.clusters.map((cluster) =>
    openCluster(cluster, { settings, access, context, templates, fence }),
  );
  return {
    sources: parts.map(({ source }) => source),
    ...(templates ? { factory: new NearestFactory(parts, clock, logger) } : {}),
    problem: () => templates?.problem,
    *problems() {
      for (const part of parts) yield* part.problems();
      const message = templates?.problem;
      if (message !== undefined) yield { kind: 'templates_invalid', message };
    },
    warmUp: () => undefined,
    protect() {
      for (const part of parts) part.protect();
    },
    async read() {
      await Promise.all(parts.map((part) => part.read()));
    },
    close() {
      templates?.close();
      for (const part of parts) part.stop();
    },
  };
}

interface ClusterOptions {
  readonly settings: Settings;
  readonly access: KubernetesAccess;
  readonly context: KubernetesDriversContext;
  readonly templates: WatchedTemplates | undefined;
  /** The jar of the driver fence; empty where no driver is made. */
  readonly fence: Buffer;
}

async function readFence(): Promise<Buffer> {
  try {
    return await readFile(FENCE_JAR);
  } catch (error) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `The driver fence is missing (${FENCE_JAR}): it is made by "npm start" and by the Dockerfile.`,
      { cause: error },
    );
  }
}

function openCluster(
  { name, api, place }: Cluster,
  { settings, access, context, templates, fence }: ClusterOptions,
) {
  const { gateway, key } = access;
  const { records, policy, clock, logger } = context;
  const { kubernetes } = settings.drivers;
  const namespaces = kubernetes.namespaces.length === 0 ? undefined : kubernetes.namespaces;
  const resources = new DriverResources({
    api,
    namespaces,
    kinds: ['SparkConnect', 'SparkApplication'],
    ...(place ? { cluster: place.name } : {}),
    gateway,
    key,
    clock,
    logger,
  });
  const pods: KubernetesDrivers = new KubernetesDrivers({
    api,
    resources,
    selectors: kubernetes.selectors,
    namespaces,
    port: SPARK_CONNECT_PORT,
    trusts: (namespace) => templates?.trusts(namespace) ?? false,
    record: (uid) => records.ledger.get(uid),
    gateway,
    probes: new PodProbes({
      probe: settings.drivers.tls.certFile === undefined ? http2Probe : tcpProbe,
      isWatched: (uid) => isProbed(records.ledger.get(uid), context),
      clock,
      onChange: () => source.changed(),
    }),
    leadership: records.leadership,
    key,
    ...(place ? { cluster: place } : {}),
    clock,
    logger,
  });
  const budgets = new DisruptionBudgets({
    api,
    resources,
    gateway,
    namespaces,
    leadership: records.leadership,
    clock,
    logger,
  });
  const source: FilteredSource = new FilteredSource(pods, () => records.unreadable());
  const factory = new KubernetesFactory({
    api,
    resources,
    ...(place ? { cluster: place.name } : {}),
    gateway,
    key,
    template: (namespace, variant) => templates?.template(namespace, variant),
    fence,
    maxMessageBytes: settings.listener.maxMessageSizeBytes,
    podLabels: (namespace) => ({ ...policy().parseNamespace?.(namespace) }),
    sessionsPerDriver: (namespace) => policy().pool(namespace)?.sessionsPerDriver,
    podsInDoubt: (namespace) => pods.inDoubt({ namespace, ...(place ? { cluster: place } : {}) }),
    leadership: records.leadership,
    clock,
    logger,
    onChange: () => source.changed(),
  });
  return {
    name,
    source,
    factory,
    *problems() {
      yield* pods.problems();
      yield* factory.problems();
    },
    protect() {
      budgets.reconcile(inUse(records.ledger.all(), place?.name, templates));
    },
    async read() {
      if (templates) budgets.start();
      pods.start();
      await Promise.all([pods.read(), resources.start()]);
    },
    stop() {
      void pods.stop();
      void resources.stop();
      void budgets.stop();
    },
  };
}

/** By the leader: those whose silence nobody would notice. */
function isProbed(
  record: DriverRecord | undefined,
  { records, isUnanswered }: Pick<KubernetesDriversContext, 'records' | 'isUnanswered'>,
): boolean {
  if (!record || records.leadership.epoch() === undefined) return false;
  if (record.phase === 'warming' || record.phase === 'available') return true;
  return record.phase === 'in_use' && Object.values(record.sessions).every(isUnanswered);
}

/** Drivers of ours with sessions, unless their template wants no budget. */
function* inUse(
  records: Iterable<DriverRecord>,
  cluster: string | undefined,
  templates: WatchedTemplates | undefined,
): Generator<{ readonly resource: string; readonly namespace: string }, void> {
  for (const { resource, namespace, variant, phase, sessions, cluster: own } of records) {
    if (resource === undefined || phase === 'gone' || own?.name !== cluster) continue;
    if (Object.keys(sessions).length === 0) continue;
    if (templates?.template(namespace, variant)?.disruptionBudget === false) continue;
    yield { resource, namespace };
  }
}
