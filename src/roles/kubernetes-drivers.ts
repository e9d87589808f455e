/** Drivers as pods, in one cluster or several. */
import type { Logger } from 'pino';
import { KubernetesDrivers } from '../discovery/kubernetes.js';
import { DriverResources } from '../kubernetes/driver-resources.js';
import type { Clock } from '../model/clock.js';
import { type DriverRecord, SPARK_CONNECT_PORT } from '../model/driver.js';
import { reasonOf } from '../model/errors.js';
import type { Policy } from '../model/policy.js';
import { DisruptionBudgets } from '../pools/kubernetes/disruption-budgets.js';
import { KubernetesFactory } from '../pools/kubernetes/factory.js';
import { NearestFactory } from '../pools/kubernetes/nearest-factory.js';
import { WatchedTemplates } from '../pools/kubernetes/watched-templates.js';
import type { Settings } from '../settings/table.js';
import type { Drivers } from './drivers.js';
import { FilteredSource } from './filtered-source.js';
import type { Cluster, KubernetesAccess } from './kubernetes.js';
import type { ReplicaRecords } from './replica-records.js';

export interface KubernetesDriversContext {
  readonly records: Pick<ReplicaRecords, 'ledger' | 'leadership' | 'unreadable'>;
  readonly policy: () => Policy;
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
      : await WatchedTemplates.open({ path: templatesFile, clock, logger, onChange: changed });
  const parts = access.clusters.map((cluster) =>
    openCluster(cluster, { settings, access, context, templates }),
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
}

function openCluster(
  { name, api, place }: Cluster,
  { settings, access, context, templates }: ClusterOptions,
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
  const pods = new KubernetesDrivers({
    api,
    resources,
    selectors: kubernetes.selectors,
    namespaces,
    port: SPARK_CONNECT_PORT,
    trusts: (namespace) => templates?.trusts(namespace) ?? false,
    isRecorded: (uid) => records.ledger.get(uid) !== undefined,
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
  const source = new FilteredSource(pods, () => records.unreadable());
  const factory = new KubernetesFactory({
    api,
    resources,
    ...(place ? { cluster: place.name } : {}),
    gateway,
    key,
    template: (namespace, variant) => templates?.template(namespace, variant),
    podLabels: (namespace) => ({ ...policy().parseNamespace?.(namespace) }),
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
      await Promise.all([
        pods.read(),
        resources.start().catch((error: unknown) => {
          logger.warn({ reason: reasonOf(error) }, 'the drivers cannot be read yet');
        }),
      ]);
    },
    stop() {
      void pods.stop();
      void resources.stop();
      void budgets.stop();
    },
  };
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
