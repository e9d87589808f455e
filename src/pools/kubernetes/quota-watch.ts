/** Finds out whether a namespace's quota is what keeps drivers from being made: the operator does not say so in a resource. */
import type { KubernetesApi } from '../../kubernetes/api.js';
import { collectionPath } from '../../kubernetes/scope.js';
import type { KubernetesList, KubernetesObject } from '../../kubernetes/types.js';
import type { Clock } from '../../model/clock.js';

interface ResourceQuota extends KubernetesObject {
  readonly status?: {
    readonly hard?: Readonly<Record<string, string>>;
    readonly used?: Readonly<Record<string, string>>;
  };
}

const ASK_EVERY_MS = 30_000;

export class QuotaWatch {
  readonly #api: Pick<KubernetesApi, 'request'>;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #known = new Map<string, { readonly atMs: number; reason: string | undefined }>();

  constructor(api: Pick<KubernetesApi, 'request'>, clock: Clock, onChange: () => void) {
    this.#api = api;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** What is used up as far as known; asks in the background when that is old. */
  reason(namespace: string): string | undefined {
    const known = this.#known.get(namespace);
    const nowMs = this.#clock.now();
    if (!known || nowMs - known.atMs >= ASK_EVERY_MS) {
      this.#known.set(namespace, { atMs: nowMs, reason: known?.reason });
      void this.#ask(namespace);
    }
    return known?.reason;
  }

  async #ask(namespace: string): Promise<void> {
    let reason: string | undefined;
    try {
      const quotas = await this.#api.request<KubernetesList<ResourceQuota>>({
        path: collectionPath('v1', namespace, 'resourcequotas'),
      });
      reason = usedUp(quotas.items);
    } catch {
      // Without the right to read quotas there is one reason less to show.
      return;
    }
    const known = this.#known.get(namespace);
    if (!known || known.reason === reason) return;
    known.reason = reason;
    this.#onChange();
  }
}

/** A quota whose last unit is taken says so; one that is merely too small for a driver does not. */
function usedUp(quotas: readonly ResourceQuota[]): string | undefined {
  const lines = quotas.flatMap(({ metadata, status }) =>
    Object.entries(status?.hard ?? {})
      .filter(([name, hard]) => status?.used?.[name] === hard)
      .map(([name, hard]) => `quota ${metadata.name} is used up: ${name} ${hard} of ${hard}`),
  );
  return lines.length === 0 ? undefined : lines.join('; ');
}
