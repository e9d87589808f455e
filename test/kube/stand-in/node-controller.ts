/** Stands in for the node lifecycle controller: what it does with the pods of a node that is silent. */
import { MERGE_PATCH, type KubernetesApi } from '../../../src/lib/kubernetes/kubernetes-api.js';
import type { KubernetesList, Pod } from '../../../src/lib/kubernetes/objects.js';

/** The node's pods are ready no more, as after some 40 s. */
export async function markNotReady(api: KubernetesApi, namespace: string): Promise<void> {
  for (const { metadata, status } of await podsOf(api, namespace)) {
    const conditions = (status?.conditions ?? []).map((condition) =>
      condition.type === 'Ready'
        ? { ...condition, status: 'False', lastTransitionTime: wholeSeconds(Date.now() + 1_000) }
        : condition,
    );
    await api.request({
      method: 'PATCH',
      path: `/api/v1/namespaces/${namespace}/pods/${metadata.name}/status`,
      contentType: MERGE_PATCH,
      body: { status: { conditions } },
    });
  }
}

/** They are deleted, as after some 340 s, and stay, because no kubelet confirms it. */
export async function evict(api: KubernetesApi, namespace: string): Promise<void> {
  for (const { metadata } of await podsOf(api, namespace)) {
    const path = `/api/v1/namespaces/${namespace}/pods/${metadata.name}`;
    await api.request({ method: 'DELETE', path });
  }
}

async function podsOf(api: KubernetesApi, namespace: string): Promise<readonly Pod[]> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  return (await api.request<KubernetesList<Pod>>({ path })).items;
}

function wholeSeconds(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
