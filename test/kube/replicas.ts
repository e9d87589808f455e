/** Several replicas of a gateway on one cluster, each a process of its own. */
import { randomUUID } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import type { KubernetesList, KubernetesObject } from '../../src/lib/kubernetes/objects.js';
import type { DriverRecord } from '../../src/model/driver.js';
import { decodeRecord } from '../../src/fleet/records/kubernetes-codec.js';
import { CuttableProxy } from '../support/cuttable-proxy.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { manifests, operatorCrds, SPARK_DRIVER_CRD } from '../support/kube-manifests.js';
import { unusedAddress } from '../support/loopback.js';
import { ControlPlane } from './control-plane.js';
import { listeners, LoopbackAddresses, type Runtime } from './stand-in/runtime.js';
import { startStandIns } from './world.js';

/** Short, so that tests need not wait long, and long enough for a busy machine. */
const LEASE_MS = 6_000;

/** An API server that knows every kind, with stand-ins for kubelet and operator. `isOwn`: to be broken. */
export async function startCluster(runtime?: Runtime, { isOwn = false } = {}) {
  const server = await (isOwn ? KubeApiServer.start() : KubeApiServer.shared());
  for (const crd of [...manifests(SPARK_DRIVER_CRD), ...operatorCrds()]) await server.apply(crd);
  const standIns = await startStandIns(
    server,
    runtime ?? listeners(await LoopbackAddresses.reserve()),
  );
  return {
    server,
    standIns,
    stop: async () => {
      await standIns.stop();
      await server.stop();
    },
  };
}

export interface ReplicasOptions {
  readonly server: KubeApiServer;
  /** Default 2. */
  readonly count?: number;
  readonly pool?: { readonly size: number; readonly maximum: number };
  readonly cacheTtl?: string;
  readonly leaseMs?: number;
}

export interface Replica {
  readonly controlPlane: ControlPlane;
  /** Between it and the API server. */
  readonly proxy: CuttableProxy;
}

export class Replicas {
  readonly all: readonly Replica[];
  /** The namespace of the drivers. */
  readonly drivers: string;
  readonly #server: KubeApiServer;
  /** Of the records, as a collection of the API server. */
  readonly recordsPath: string;

  /** Starts replicas of a gateway with namespaces of its own. Resolves when one leads and its pool is there. */
  static async start(t: ExecutionContext, options: ReplicasOptions): Promise<Replicas> {
    const { server, count = 2, cacheTtl = '10m', leaseMs = LEASE_MS } = options;
    const { pool = { size: 4, maximum: 60 } } = options;
    const name = randomUUID().slice(0, 8);
    const namespace = `gateway-${name}`;
    const drivers = `sjns-${name}-dev`;
    await server.createNamespace(namespace);
    await server.createNamespace(drivers);
    const common = { server, namespace, drivers, pool, leaseMs, cacheTtl };
    const all = await Promise.all(
      Array.from({ length: count }, async () => {
        const { kubeConfig, proxy } = await proxied(server);
        t.teardown(() => proxy.stop());
        const host = await unusedAddress();
        const files = { kubeconfig: kubeConfig.exportConfig() };
        const controlPlane = await ControlPlane.start({ ...common, host, files });
        t.teardown(() => controlPlane.stop());
        return { controlPlane, proxy };
      }),
    );
    const replicas = new Replicas(server, namespace, drivers, all);
    const leader = await replicas.leader();
    await leader.controlPlane.until('to have its pool', () => replicas.hasAvailable(pool.size));
    return replicas;
  }

  private constructor(
    server: KubeApiServer,
    namespace: string,
    drivers: string,
    all: readonly Replica[],
  ) {
    this.#server = server;
    this.recordsPath = `/apis/spark-gateway.io/v1alpha1/namespaces/${namespace}/sparkdrivers`;
    this.drivers = drivers;
    this.all = all;
  }

  /** The one that leads, waited for, among these. */
  async leader(among: readonly Replica[] = this.all): Promise<Replica> {
    let leader: Replica | undefined;
    const [first] = among;
    await first?.controlPlane.until('to lead, or another', async () => {
      const leads = await Promise.all(among.map((one) => one.controlPlane.isLeading()));
      leader = among[leads.indexOf(true)];
      return leader !== undefined;
    });
    if (!leader) throw new Error('there are no replicas');
    return leader;
  }

  others(than: Replica): readonly Replica[] {
    return this.all.filter((one) => one !== than);
  }

  /** The records as the API server holds them. */
  async records(): Promise<readonly DriverRecord[]> {
    const { items } = await this.#server
      .admin()
      .request<KubernetesList<KubernetesObject>>({ path: this.recordsPath });
    return items.map((object) => decodeRecord(object).record);
  }

  async hasAvailable(count: number): Promise<boolean> {
    const found = (await this.records()).filter(({ phase }) => phase === 'available');
    return found.length >= count;
  }
}

async function proxied(server: KubeApiServer) {
  const kubeConfig = server.adminConfig();
  const cluster = kubeConfig.getCurrentCluster();
  const proxy = await CuttableProxy.start(cluster?.server ?? '');
  kubeConfig.clusters = [{ ...cluster, name: 'test', server: proxy.url, skipTLSVerify: false }];
  return { kubeConfig, proxy };
}
