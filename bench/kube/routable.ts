/** Two control planes over many drivers: from a pod's status to an endpoint that an Envoy has, and a driver that sessions may use. */
import { setTimeout as pause } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import { decodeRecord } from '../../src/fleet/records/kubernetes-codec.js';
import { TypeUrl } from '../../src/xds/resource.js';
import { ControlPlane } from '../../test/kube/control-plane.js';
import type { KubeApiServer } from '../../test/support/kube-api-server.js';
import { SocketClient } from '../../test/support/xds-socket.js';
import { percentiles } from './percentiles.js';
import { deletePod, each, makePod, podOf, setReady } from './pods.js';
import { requestsOf } from './requests.js';
import { unusedAddress } from '../../test/support/loopback.js';

export interface RoutableOptions {
  /** Those that are there. */
  readonly pods: number;
  readonly namespaces: number;
  /** Pods that come, one after the other. */
  readonly changes: number;
  readonly restSeconds: number;
  /** Pods that go at once. */
  readonly leaving: number;
}

const POLL_MS = 5;
const SETTLED_MS = 3_000;
const GATEWAY_NAMESPACE = 'spark-gateway';

/** Subscribes to all clusters and their endpoints, and acknowledges what it gets, as an Envoy does. */
class Subscriber {
  readonly #client: SocketClient;
  readonly #addresses = new Set<string>();
  readonly #waiting = new Map<string, () => void>();
  #wake: () => void = () => undefined;

  constructor(target: string, nodeId: string) {
    this.#client = new SocketClient(target, { protocol: 'delta', nodeId });
    this.#client.xds.subscribe(TypeUrl.CLUSTER, ['*']);
    void this.#run();
  }

  /** Resolves when an endpoint has this address. */
  async has(address: string): Promise<void> {
    if (this.#addresses.has(address)) return;
    await new Promise<void>((resolve) => this.#waiting.set(address, resolve));
  }

  async hasAll(count: number): Promise<void> {
    while (this.#addresses.size < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#client.close();
  }

  async #run(): Promise<void> {
    for (;;) {
      const response = await this.#client.next();
      this.#client.xds.take(response);
      const names = response.resources.map(({ name }) => name);
      if (response.typeUrl === TypeUrl.CLUSTER) {
        const known = this.#client.xds.wanted(TypeUrl.ENDPOINTS);
        const added = names.filter((name) => name.startsWith('spark/') && !known.has(name));
        if (added.length > 0) this.#client.xds.subscribe(TypeUrl.ENDPOINTS, added);
      } else {
        for (const { value } of response.resources) this.#learn(value);
        this.#wake();
      }
    }
  }

  #learn(value: Uint8Array): void {
    const { endpoints } = fromBinary(ClusterLoadAssignmentSchema, value);
    for (const { hostIdentifier } of endpoints.flatMap(({ lbEndpoints }) => lbEndpoints)) {
      if (hostIdentifier.case !== 'endpoint') continue;
      const address = hostIdentifier.value.address?.address;
      if (address?.case !== 'socketAddress') continue;
      this.#addresses.add(address.value.address);
      this.#waiting.get(address.value.address)?.();
    }
  }
}

export async function measureRoutable(
  server: KubeApiServer,
  { pods, namespaces, changes, restSeconds, leaving }: RoutableOptions,
): Promise<void> {
  await server.createNamespace(GATEWAY_NAMESPACE);
  const start = (host: string) =>
    ControlPlane.start({
      server,
      host,
      namespace: GATEWAY_NAMESPACE,
      drivers: 'unused',
      pool: { size: 0, maximum: 10 },
      leaseMs: 10_000,
      files: {
        kubernetes: { namespaces: [] },
        templates: { trusted_namespaces: ['sjns-*'], templates: [] },
        policy: { warm_namespaces: [] },
      },
    });
  const startedMs = performance.now();
  const leader = await start(await unusedAddress());
  const near = new Subscriber(leader.xds, 'envoy-of-leader');
  await near.hasAll(pods);
  console.log(
    `control plane started to ${pods} endpoints: ${((performance.now() - startedMs) / 1000).toFixed(1)} s`,
  );
  await leader.until('to have all available', async () => {
    return (await leader.status()).drivers.available === pods;
  });
  console.log(
    `… to all of them available: ${((performance.now() - startedMs) / 1000).toFixed(1)} s`,
  );
  const follower = await start(await unusedAddress());
  const far = new Subscriber(follower.xds, 'envoy-of-follower');
  await far.hasAll(pods);

  const [atLeader, atFollower, available]: number[][] = [[], [], []];
  const api = server.admin();
  for (let n = pods; n < pods + changes; n += 1) {
    const pod = podOf(n, namespaces);
    const uid = await makePod(api, pod);
    const fromMs = performance.now();
    const since = (times: number[] | undefined) => () => times?.push(performance.now() - fromMs);
    await Promise.all([
      setReady(api, pod, true),
      near.has(pod.address).then(since(atLeader)),
      far.has(pod.address).then(since(atFollower)),
      untilAvailable(api, uid).then(since(available)),
    ]);
  }
  console.log(`status written to endpoint at the leader's Envoy: ${percentiles(atLeader ?? [])}`);
  console.log(`… at the follower's Envoy: ${percentiles(atFollower ?? [])}`);
  console.log(`… to driver available for sessions: ${percentiles(available ?? [])}`);
  for (const [name, replica] of Object.entries({ leader, follower })) {
    const bytes = await total(replica, 'process_resident_memory_bytes');
    console.log(`memory of the ${name}: RSS ${(bytes / 1024 / 1024).toFixed(0)} MiB`);
  }
  const replicas = [leader, follower];
  const requests = () =>
    Promise.all(replicas.map((one) => total(one, 'spark_gateway_kubernetes_requests_total')));
  const before = await requests();
  await pause(restSeconds * 1000);
  const after = await requests();
  const perMinute = after.map((count, i) => ((count - (before[i] ?? 0)) * 60) / restSeconds);
  console.log(
    `at rest: leader ${perMinute[0]?.toFixed(1)}, follower ${perMinute[1]?.toFixed(1)} requests a minute`,
  );
  const askedMs = performance.now();
  const asked = await requestsOf(leader);
  await each(leaving, (n) => deletePod(api, podOf(n, namespaces)));
  console.log(`${leaving} pods deleted: ${((performance.now() - askedMs) / 1000).toFixed(1)} s`);
  await leader.until('to know that they are gone', async () => {
    return (await leader.status()).drivers.available === pods + changes - leaving;
  });
  console.log(`… to all of them gone: ${((performance.now() - askedMs) / 1000).toFixed(1)} s`);
  const stored = (await settledRequests(leader)) - asked.others;
  console.log(`… and stored: ${(stored / leaving).toFixed(2)} requests for each`);
  near.close();
  far.close();
  await follower.stop();
  await leader.stop();
}

/** Resolves with what it has asked of the API server when it has asked nothing for a while: what it knows is stored then. */
async function settledRequests(controlPlane: ControlPlane): Promise<number> {
  let before = -1;
  let { others } = await requestsOf(controlPlane);
  while (others !== before) {
    before = others;
    await pause(SETTLED_MS);
    ({ others } = await requestsOf(controlPlane));
  }
  return others;
}

/** Asks the API server, not the leader, so that asking costs the leader nothing. */
async function untilAvailable(api: KubernetesApi, uid: string): Promise<void> {
  const path = `/apis/spark-gateway.io/v1alpha1/namespaces/${GATEWAY_NAMESPACE}/sparkdrivers/${uid}`;
  for (;;) {
    try {
      const { record } = decodeRecord(await api.request({ method: 'GET', path }));
      if (record.phase === 'available') return;
    } catch (error) {
      if (!(error instanceof KubernetesError && error.status === 404)) throw error;
    }
    await pause(POLL_MS);
  }
}

/** The sum of a metric's series. */
async function total({ host }: ControlPlane, metric: string): Promise<number> {
  const text = await (await fetch(`http://${host}:9090/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${metric} `) || line.startsWith(`${metric}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
