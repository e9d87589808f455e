/** The control plane on Kubernetes: the API server holds its records, elects its leader and runs its drivers. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { KubeConfig } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { KubernetesDrivers } from '../discovery/kubernetes.js';
import { KubernetesApi } from '../kubernetes/api.js';
import { DriverResources } from '../kubernetes/driver-resources.js';
import { reasonOf } from '../kubernetes/error.js';
import { loadGatewayKey } from '../kubernetes/gateway-key.js';
import type { Clock } from '../model/clock.js';
import { SPARK_CONNECT_PORT, type ClusterPlace } from '../model/driver.js';
import { GatewayError } from '../model/errors.js';
import type { Policy } from '../model/policy.js';
import { KubernetesFactory } from '../pools/kubernetes/factory.js';
import { NearestFactory } from '../pools/kubernetes/nearest-factory.js';
import { WatchedTemplates } from '../pools/kubernetes/watched-templates.js';
import { ElectedLedger } from '../records/elected-ledger.js';
import { KubernetesRecordMirror } from '../records/kubernetes-mirror.js';
import { KubernetesRecordStore } from '../records/kubernetes-store.js';
import { KubernetesLease } from '../records/lease.js';
import type { Settings } from '../settings/table.js';
import type { Drivers } from './drivers.js';
import { FilteredSource } from './filtered-source.js';
import type { Records } from './records.js';

interface Context {
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Cluster {
  readonly name: string;
  /** undefined: the only one. */
  readonly place: ClusterPlace | undefined;
  readonly api: KubernetesApi;
}

export interface KubernetesConnection {
  /** The nearest first; that one keeps the records. */
  readonly clusters: readonly [Cluster, ...Cluster[]];
  readonly namespace: string;
  close(): void;
}

/** Rejects with SETTINGS_INVALID when there is no cluster to talk to. */
export function connectKubernetes({ drivers }: Settings): KubernetesConnection {
  const { contexts, gatewayNamespace } = drivers.kubernetes;
  const several = contexts.length > 1;
  const wanted: readonly (string | undefined)[] = contexts.length > 0 ? contexts : [undefined];
  const [home, ...others] = wanted.map((context, distance): Cluster => {
    const config = new KubeConfig();
    config.loadFromDefault();
    if (context !== undefined) {
      if (!config.getContextObject(context)) {
        throw new GatewayError(
          'SETTINGS_INVALID',
          `drivers.kubernetes.contexts: the kubeconfig has no context ${context}.`,
        );
      }
      config.setCurrentContext(context);
    }
    const name = context ?? config.getCurrentContext();
    return {
      name,
      place: several ? { name, distance } : undefined,
      api: new KubernetesApi(config),
    };
  });
  if (!home) throw new GatewayError('SETTINGS_INVALID', 'There is no cluster.');
  if (gatewayNamespace === undefined) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      "drivers.kubernetes.gateway_namespace: set the gateway's own namespace, or POD_NAMESPACE in its pod.",
    );
  }
  const clusters = [home, ...others] as const;
  return {
    clusters,
    namespace: gatewayNamespace,
    close() {
      for (const { api } of clusters) api.close();
    },
  };
}

/** Records as custom resources; this process is one of several and leads while it holds the lease. */
export async function openKubernetesRecords(
  settings: Settings,
  { clusters, namespace }: KubernetesConnection,
  { clock, logger }: Context,
): Promise<Records> {
  const { gatewayName, leaseDurationMs } = settings.drivers.kubernetes;
  const { api } = clusters[0];
  const store = new KubernetesRecordStore({ api, namespace, clock, logger });
  const mirror = new KubernetesRecordMirror({ api, namespace, clock, logger });
  const lease = new KubernetesLease({
    api,
    namespace,
    name: gatewayName,
    identity: `${process.env['POD_NAME'] ?? hostname()}_${randomUUID()}`,
    durationMs: leaseDurationMs,
    clock,
    logger,
    async highestEpoch() {
      return Math.max(0, ...(await store.list()).map(({ record }) => record.epoch));
    },
  });
  await mirror.start();
  const ledger = new ElectedLedger({ lease, store, mirror, clock, logger });
  lease.start();
  return {
    ledger,
    leadership: ledger,
    onLeadership: (listener) => void ledger.onEpoch(listener),
    async unreadable() {
      return new Set(store.unreadable().map(({ uid }) => uid));
    },
    onDrains(listener) {
      const tell = () => {
        listener(
          new Map([...mirror.drains()].map(([uid, { deadlineMs }]) => [uid, deadlineMs] as const)),
        );
      };
      mirror.onChange(tell);
      ledger.onEpoch(tell);
      tell();
    },
    problem: () => mirror.problem,
    async close() {
      await ledger.close();
      await lease.stop();
      await mirror.stop();
    },
  };
}

export interface KubernetesDriversContext extends Context {
  readonly policy: () => Policy;
  readonly records: Records;
  /** Called when there is news about what was asked for. */
  readonly onChange: () => void;
}

/** Drivers as pods of every cluster, made in the nearest. */
export async function openKubernetesDrivers(
  settings: Settings,
  { clusters, namespace }: KubernetesConnection,
  { clock, logger, policy, records, onChange }: KubernetesDriversContext,
): Promise<Drivers> {
  const { gatewayName, selectors, templatesFile, ...options } = settings.drivers.kubernetes;
  const namespaces = options.namespaces.length > 0 ? options.namespaces : undefined;
  const { ledger, leadership } = records;
  const key = await loadGatewayKey(clusters[0].api, namespace, `${gatewayName}-key`);
  const templates =
    templatesFile === undefined
      ? undefined
      : await WatchedTemplates.open({ path: templatesFile, clock, logger, onChange });
  const opened = clusters.map(({ name, place, api }) => {
    const resources = new DriverResources({
      api,
      namespaces,
      kinds: ['SparkConnect', 'SparkApplication'],
      gateway: gatewayName,
      key,
      clock,
      logger,
    });
    const source = new KubernetesDrivers({
      api,
      resources,
      selectors,
      namespaces,
      port: SPARK_CONNECT_PORT,
      trusts: (team) => templates?.trusts(team) === true,
      isRecorded: (uid) => ledger.get(uid) !== undefined,
      leadership,
      key,
      ...(place === undefined ? {} : { cluster: place }),
      clock,
      logger,
    });
    const factory = new KubernetesFactory({
      api,
      resources,
      gateway: gatewayName,
      key,
      template: (team) => templates?.template(team),
      podLabels: (team) => ({ ...policy().parseNamespace?.(team) }),
      leadership,
      clock,
      logger,
      onChange,
    });
    source.start();
    resources.start().catch((error: unknown) => {
      logger.error({ cluster: name, reason: reasonOf(error) }, 'a cluster cannot be read yet');
    });
    return { name, resources, source, filtered: new FilteredSource(source), factory };
  });
  return {
    sources: opened.map(({ filtered }) => filtered),
    factory: new NearestFactory(opened, logger),
    problem: () => templates?.problem,
    async discard(uids) {
      for (const { filtered } of opened) filtered.hide(uids);
    },
    warmUp: () => undefined,
    close() {
      templates?.close();
      for (const { source, resources } of opened) {
        void source.stop();
        void resources.stop();
      }
    },
  };
}
