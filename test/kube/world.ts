/** A cluster with stand-ins for kubelet and operator, and the gateway's discovery and factory over it. */
import type { ExecutionContext } from 'ava';
import { pino } from 'pino';
import {
  KubernetesDrivers,
  type KubernetesDriversOptions,
} from '../../src/discovery/kubernetes/kubernetes-drivers.js';
import type { KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';
import { DriverResources } from '../../src/discovery/kubernetes/driver-resources.js';
import { GatewayKey } from '../../src/lib/kubernetes/ownership.js';
import { systemClock } from '../../src/model/clock.js';
import type { ObservedDriver } from '../../src/model/driver.js';
import { KubernetesFactory } from '../../src/discovery/kubernetes/factory.js';
import type { DriverTemplate } from '../../src/discovery/kubernetes/template.js';
import type { KubeApiServer } from '../support/kube-api-server.js';
import { TestLeadership } from '../support/leadership.js';
import { Signal } from '../support/signal.js';
import { Kubelet } from './stand-in/kubelet.js';
import { Operator } from './stand-in/operator.js';
import { listeners, LoopbackAddresses, type Runtime } from './stand-in/runtime.js';

export const GATEWAY = 'test';
export const KEY = new GatewayKey(Buffer.alloc(32, 7));
const SELECTORS = ['spark-role=driver,spark-connect=enabled', 'spark-role=connect-server'] as const;

export const TEMPLATE: DriverTemplate = {
  kind: 'SparkConnect',
  sparkVersion: '4.1.3',
  image: 'example.test/spark:4.1.3',
  driver: { cores: 1, memory: '1g' },
  executor: { cores: 1, memory: '1g', instances: 1 },
};

export interface GatewayOptions {
  readonly api?: KubernetesApi;
  /** The gateway's name. */
  readonly gateway?: string;
  readonly template?: DriverTemplate;
  /** Templates of the drivers that canaries have, by name. */
  readonly variants?: Readonly<Record<string, DriverTemplate>>;
  /** Namespaces to look for pods in, where those are others. */
  readonly pods?: readonly string[];
  readonly drivers?: Partial<KubernetesDriversOptions>;
  readonly leadership?: TestLeadership;
}

/** One control plane's view of the cluster; ended with the test. */
export async function openGateway(
  t: ExecutionContext,
  server: KubeApiServer,
  namespaces: readonly string[] | undefined,
  options: GatewayOptions = {},
) {
  const { api = server.admin(), gateway = GATEWAY, leadership = new TestLeadership() } = options;
  const logger = pino({ level: 'silent' });
  const clock = systemClock;
  const resources = new DriverResources({
    api,
    namespaces,
    kinds: ['SparkConnect', 'SparkApplication'],
    gateway,
    key: KEY,
    clock,
    logger,
  });
  const templates = { current: options.template ?? TEMPLATE };
  const factory = new KubernetesFactory({
    api,
    resources,
    gateway,
    key: KEY,
    template: (_, variant) =>
      variant === undefined ? templates.current : options.variants?.[variant],
    fence: Buffer.from('a jar'),
    maxMessageBytes: 1_000_000,
    podLabels: () => ({ team: 'ads', environment: 'dev' }),
    podsInDoubt: (namespace): boolean => drivers.inDoubt({ namespace }),
    leadership,
    clock,
    logger,
    onChange: () => {},
  });
  const drivers: KubernetesDrivers = new KubernetesDrivers({
    api,
    resources,
    selectors: SELECTORS,
    namespaces: options.pods ?? namespaces,
    port: 15002,
    trusts: () => false,
    record: () => undefined,
    gateway,
    leadership,
    key: KEY,
    clock,
    logger,
    ...options.drivers,
  });
  t.teardown(async () => {
    await drivers.stop();
    await resources.stop();
  });
  drivers.start();
  await resources.start();
  return { api, resources, factory, drivers, leadership, templates };
}

export type Gateway = Awaited<ReturnType<typeof openGateway>>;

/** What discovery says is wrong, one line each. */
export function messages({ drivers }: Pick<Gateway, 'drivers'>): string {
  return drivers
    .problems()
    .map(({ message }) => message)
    .join('\n');
}

/** Looks again at every change until the drivers are as wanted. */
export async function until(
  { drivers }: Pick<Gateway, 'drivers'>,
  wanted: (observed: readonly ObservedDriver[]) => boolean,
): Promise<readonly ObservedDriver[]> {
  const changes = new Signal<void>();
  const stop = drivers.watch(() => changes.emit());
  try {
    for (;;) {
      const observed = await drivers.list();
      if (wanted(observed)) return observed;
      await changes.next();
    }
  } finally {
    stop();
  }
}

export async function startStandIns(server: KubeApiServer, given?: Runtime) {
  const runtime = given ?? listeners(await LoopbackAddresses.reserve());
  const kubelet = new Kubelet(server.admin(), runtime);
  const operator = new Operator(server.admin());
  kubelet.start();
  operator.start();
  return {
    kubelet,
    operator,
    stop: async () => {
      await operator.stop();
      await kubelet.stop();
    },
  };
}
