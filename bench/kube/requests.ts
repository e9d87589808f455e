import type { ControlPlane } from '../../test/kube/control-plane.js';

/** What a control plane has asked of the API server. */
export interface Requests {
  /** Renewals of its lease, the only thing that it ever puts. */
  readonly lease: number;
  readonly others: number;
}

export async function requestsOf({ host }: ControlPlane): Promise<Requests> {
  const text = await (await fetch(`http://${host}:9090/metrics`)).text();
  const counts = { lease: 0, others: 0 };
  for (const line of text.split('\n')) {
    if (!line.startsWith('spark_gateway_kubernetes_requests_total{')) continue;
    const count = Number(line.slice(line.lastIndexOf(' ') + 1));
    counts[line.includes('method="PUT"') ? 'lease' : 'others'] += count;
  }
  return counts;
}
