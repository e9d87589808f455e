/** The way to the API servers: of the gateway's own cluster, and of others that drivers run in. */
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { Counter, Gauge, type Registry } from 'prom-client';
import { KubernetesApi, type KubernetesApiOptions } from '../lib/kubernetes/kubernetes-api.js';
import { KubernetesError } from '../lib/kubernetes/http.js';
import { type GatewayKey, loadGatewayKey } from '../lib/kubernetes/ownership.js';
import type { Clock } from '../model/clock.js';
import type { ClusterPlace } from '../model/driver.js';
import { GatewayError, reasonOf, retryAfterOf } from '../model/errors.js';
import type { Settings } from '../settings/table.js';

export interface Cluster {
  readonly name: string;
  readonly api: KubernetesApi;
  /** Absent where there is only one. */
  readonly place?: ClusterPlace;
}

export interface KubernetesAccess {
  /** The nearest first. */
  readonly clusters: readonly Cluster[];
  /** The one that keeps the records, the lease and the key. */
  readonly home: Cluster;
  /** The gateway's own namespace there. */
  readonly namespace: string;
  /** Tells this gateway from others in the same clusters. */
  readonly gateway: string;
  readonly key: GatewayKey;
  close(): void;
}

/** https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/. */
const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';
/** An API server that is away at the start is waited for, so that a restart of both goes well. */
const KEY_ATTEMPTS = 30;
const KEY_PAUSE_MS = 1_000;

/** Without the key, which is made where it is missing: for what only looks. */
export type KubernetesClusters = Omit<KubernetesAccess, 'key'>;

/** Rejects with SETTINGS_INVALID when no API server can be used as the settings say. */
export async function connectKubernetes(
  settings: Settings,
  options: KubernetesApiOptions,
): Promise<KubernetesClusters> {
  const { contexts, homeContext, gatewayName, gatewayNamespace } = settings.drivers.kubernetes;
  const named = contexts.length > 0 ? contexts : [undefined];
  const configs = named.map((context) => kubeConfig(context));
  const apis = configs.map((config) => new KubernetesApi(config, options));
  const clusters = apis.map((api, distance): Cluster => {
    const name = named[distance] ?? configs[distance]?.getCurrentContext() ?? '';
    return { name, api, ...(apis.length > 1 ? { place: { name, distance } } : {}) };
  });
  const at = homeContext === undefined ? 0 : named.findIndex((context) => context === homeContext);
  const config = configs[at] ?? kubeConfig(homeContext);
  const home = clusters[at] ?? {
    name: homeContext ?? '',
    api: new KubernetesApi(config, options),
  };
  return {
    clusters,
    home,
    namespace: gatewayNamespace ?? (await ownNamespace(config)),
    gateway: gatewayName,
    close() {
      for (const api of new Set([...apis, home.api])) api.close();
    },
  };
}

/** With the gateway's key. Rejects with SETTINGS_INVALID, also where that cannot be had. */
export async function openKubernetes(
  settings: Settings,
  options: KubernetesApiOptions,
  logger: Logger,
): Promise<KubernetesAccess> {
  const connected = await connectKubernetes(settings, options);
  const { home, namespace, gateway } = connected;
  return { ...connected, key: await loadKey(home.api, namespace, `${gateway}-key`, logger) };
}

/** As kubectl finds it: KUBECONFIG, the home folder, else the service account of the pod. */
function kubeConfig(context: string | undefined): KubeConfig {
  const config = new KubeConfig();
  try {
    config.loadFromDefault();
  } catch (error) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `drivers.source kubernetes: the kubeconfig cannot be read: ${reasonOf(error)}`,
      { cause: error },
    );
  }
  if (context !== undefined) {
    if (!config.getContextObject(context)) {
      throw new GatewayError(
        'SETTINGS_INVALID',
        `drivers.kubernetes.contexts: the kubeconfig has no context ${context}; it has ${config.contexts.map(({ name }) => name).join(', ') || 'none'}`,
      );
    }
    config.setCurrentContext(context);
  }
  // Without a kubeconfig and outside of a cluster, the library answers with http://localhost:8080.
  if (config.getCurrentCluster()?.server.startsWith('https:') !== true) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      'drivers.source kubernetes: there is no cluster: run in one, or name a kubeconfig in KUBECONFIG',
    );
  }
  return config;
}

async function ownNamespace(config: KubeConfig): Promise<string> {
  const context = config.getContextObject(config.getCurrentContext());
  const namespace = await readFile(NAMESPACE_FILE, 'utf8').then(
    (text) => text.trim(),
    () => context?.namespace,
  );
  if (namespace) return namespace;
  throw new GatewayError(
    'SETTINGS_INVALID',
    'drivers.kubernetes.gateway_namespace (or POD_NAMESPACE) must say in which namespace the gateway keeps its records',
  );
}

async function loadKey(
  api: KubernetesApi,
  namespace: string,
  name: string,
  logger: Logger,
): Promise<GatewayKey> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await loadGatewayKey(api, namespace, name);
    } catch (error) {
      const away = error instanceof KubernetesError && error.verdict !== 'refused';
      if (!away || attempt === KEY_ATTEMPTS) {
        throw new GatewayError(
          'SETTINGS_INVALID',
          `The gateway's key, Secret ${name} in namespace ${namespace}, cannot be used: ${reasonOf(error)}`,
          { cause: error },
        );
      }
      logger.warn({ reason: reasonOf(error) }, 'the API server does not answer yet');
      await pause(Math.max(KEY_PAUSE_MS, retryAfterOf(error) ?? 0));
    }
  }
}

// What is asked of Kubernetes' API servers, and whether what they tell still comes.

export type KubernetesObservers = Required<Pick<KubernetesApiOptions, 'onRequest' | 'onWatch'>>;

/** Of one collection; there may be several of a kind: clusters, namespaces, selectors. */
interface WatchState {
  readonly resource: string;
  lastEventMs: number;
}

/** Counts for all clusters together. To be given to each client. */
export function kubernetesMetrics(registry: Registry, clock: Clock): KubernetesObservers {
  const registers = [registry];
  const requests = new Counter({
    name: 'spark_gateway_kubernetes_requests_total',
    help: 'Requests and watches made of API servers; status 0: no answer came.',
    labelNames: ['method', 'status'],
    registers,
  });
  const starts = new Counter({
    name: 'spark_gateway_kubernetes_watch_starts_total',
    help: 'Watches that API servers accepted, by resource. Each is started again every 5 to 10 minutes.',
    labelNames: ['resource'],
    registers,
  });
  const failures = new Counter({
    name: 'spark_gateway_kubernetes_watch_failures_total',
    help: 'Watches that broke off. expired: too far behind (410), so that all had to be listed again.',
    labelNames: ['resource', 'reason'],
    registers,
  });
  const watches = new Map<string, WatchState>();
  registry.registerMetric(
    new Gauge({
      name: 'spark_gateway_kubernetes_watch_last_event_timestamp_seconds',
      help: 'When the last event or bookmark came; of several watches of a resource the one that is furthest behind.',
      labelNames: ['resource'],
      registers: [],
      collect() {
        this.reset();
        for (const [resource, ms] of furthestBehind(watches.values())) {
          this.set({ resource }, ms / 1000);
        }
      },
    }),
  );
  return {
    onRequest: (method, _path, status) => requests.inc({ method, status }),
    onWatch(what, { server, path, query }) {
      const resource = path.slice(path.lastIndexOf('/') + 1);
      if (what === 'expired' || what === 'broken') {
        failures.inc({ resource, reason: what });
        return;
      }
      if (what === 'opened') starts.inc({ resource });
      const key = [server, path, query['labelSelector'], query['fieldSelector']].join('\0');
      const state = watches.get(key);
      if (state) {
        state.lastEventMs = clock.now();
        return;
      }
      watches.set(key, { resource, lastEventMs: clock.now() });
      for (const reason of ['expired', 'broken']) failures.inc({ resource, reason }, 0);
    },
  };
}

function furthestBehind(watches: Iterable<WatchState>): Map<string, number> {
  const oldest = new Map<string, number>();
  for (const { resource, lastEventMs } of watches) {
    oldest.set(resource, Math.min(lastEventMs, oldest.get(resource) ?? Infinity));
  }
  return oldest;
}
