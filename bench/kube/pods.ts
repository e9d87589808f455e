/** Drivers' pods that exist for the API server only. */
import { MERGE_PATCH, type KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';

export interface PodName {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
}

const AT_ONCE = 16;

/** Makes a pod as the operator does, not started yet. Resolves with its uid. */
export async function makePod(api: KubernetesApi, pod: PodName): Promise<string> {
  const { metadata } = await api.request<{ metadata: { uid: string } }>({
    method: 'POST',
    path: `/api/v1/namespaces/${pod.namespace}/pods`,
    body: {
      metadata: {
        name: pod.name,
        labels: { 'spark-role': 'driver', 'spark-connect': 'enabled', 'hot-cluster': 'true' },
      },
      spec: {
        nodeName: 'node',
        containers: [{ name: 'spark-kubernetes-driver', image: 'spark' }],
      },
    },
  });
  return metadata.uid;
}

/** Writes its status as a kubelet does. */
export async function setReady(api: KubernetesApi, pod: PodName, ready: boolean): Promise<void> {
  const startedAt = '2030-01-01T00:00:00Z';
  await api.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/status`,
    contentType: MERGE_PATCH,
    body: {
      status: {
        phase: 'Running',
        podIP: pod.address,
        podIPs: [{ ip: pod.address }],
        conditions: [
          {
            type: 'Ready',
            status: ready ? 'True' : 'False',
            lastTransitionTime: '2030-01-01T00:00:10Z',
          },
        ],
        containerStatuses: [
          {
            name: 'spark-kubernetes-driver',
            containerID: `containerd://${pod.name}`,
            image: 'spark',
            imageID: '',
            ready,
            restartCount: 0,
            state: { running: { startedAt } },
          },
        ],
      },
    },
  });
}

/** With nobody to run it, a pod goes at once. */
export async function deletePod(api: KubernetesApi, { name, namespace }: PodName): Promise<void> {
  await api.request({
    method: 'DELETE',
    path: `/api/v1/namespaces/${namespace}/pods/${name}`,
    body: { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 },
  });
}

export function namespaceOf(n: number, namespaces: number): string {
  return `sjns-team${n % namespaces}-dev`;
}

export function podOf(n: number, namespaces: number): PodName {
  return {
    name: `driver-${n}`,
    namespace: namespaceOf(n, namespaces),
    address: `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`,
  };
}

/** Does all of it, some at once. */
export async function each(count: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
