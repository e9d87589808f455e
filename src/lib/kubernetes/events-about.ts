/** What a cluster's parts say of an object: its Events. */
import type { KubernetesApi } from './kubernetes-api.js';
import type { KubernetesList, KubernetesObject } from './objects.js';

export interface EventAbout {
  /** When it happened last, RFC 3339; empty where that is not told. */
  readonly at: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  /** `Kind name`. */
  readonly object: string;
  /** How often, as far as it is counted. */
  readonly count: number;
}

/** An Event of core/v1, as far as it is read. */
interface Event extends KubernetesObject {
  readonly involvedObject?: { readonly kind?: string; readonly name?: string };
  readonly type?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly count?: number;
  readonly series?: { readonly count?: number; readonly lastObservedTime?: string };
  readonly eventTime?: string | null;
  readonly lastTimestamp?: string | null;
  readonly firstTimestamp?: string | null;
}

const TIMEOUT_MS = 5_000;
const MOST_READ = 200;
const MOST_TOLD = 20;
const LONGEST_MESSAGE = 500;

/** Of all objects of these names in the namespace, the newest first. Rejects with what the API server says. */
export async function eventsAbout(
  api: Pick<KubernetesApi, 'request'>,
  namespace: string,
  names: readonly string[],
): Promise<readonly EventAbout[]> {
  const lists = await Promise.all(
    [...new Set(names)].map((name) =>
      api.request<KubernetesList<Event>>({
        path: `/api/v1/namespaces/${namespace}/events`,
        query: { fieldSelector: `involvedObject.name=${name}`, limit: MOST_READ },
        timeoutMs: TIMEOUT_MS,
      }),
    ),
  );
  return lists
    .flatMap(({ items }) => items.map(told))
    .toSorted((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0))
    .slice(0, MOST_TOLD);
}

function told(event: Event): EventAbout {
  const { involvedObject = {}, series, metadata } = event;
  const at =
    series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? event.firstTimestamp;
  return {
    at: at ?? metadata.creationTimestamp ?? '',
    type: event.type ?? '',
    reason: event.reason ?? '',
    message: (event.message ?? '').replaceAll(/\s+/g, ' ').trim().slice(0, LONGEST_MESSAGE),
    object: `${involvedObject.kind ?? ''} ${involvedObject.name ?? ''}`.trim(),
    count: series?.count ?? event.count ?? 1,
  };
}
