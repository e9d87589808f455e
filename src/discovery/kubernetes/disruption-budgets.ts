/**
 * Keeps drivers with sessions from being evicted: each has a PodDisruptionBudget of its own for as
 * long as it has sessions, so that a node can be drained of idle drivers at any time. Whoever evicts
 * is refused by the API server (https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/).
 */
import pLimit from 'p-limit';
import type { Logger } from 'pino';
import type { KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import { driverKinds, type DriverResource, type DriverResources } from './driver-resources.js';
import { hasStatus } from '../../lib/kubernetes/http.js';
import { ownershipLabels, ownershipSelector } from '../../lib/kubernetes/ownership.js';
import { Reflector } from '../../lib/kubernetes/reflector.js';
import { collectionPath, scopes } from '../../lib/kubernetes/objects.js';
import { Backoff, type Clock } from '../../model/clock.js';
import { reasonOf, retryAfterOf } from '../../model/errors.js';
import type { Leadership } from '../../model/ledger.js';

export interface DisruptionBudgetsOptions {
  readonly api: Pick<KubernetesApi, 'request' | 'watch'>;
  readonly resources: Pick<DriverResources, 'find' | 'reference'>;
  readonly gateway: string;
  /** undefined: all. */
  readonly namespaces: readonly string[] | undefined;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Budget {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** UIDs. */
  readonly owners: readonly string[];
}

const GROUP_VERSION = 'policy/v1';
const PLURAL = 'poddisruptionbudgets';
const WRITES_AT_ONCE = 16;
const RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 5 * 60_000;

export class DisruptionBudgets {
  readonly #options: DisruptionBudgetsOptions;
  readonly #reflectors: readonly Reflector<Budget>[];
  readonly #underWay = new Set<string>();
  readonly #attempts = new Map<string, { readonly backoff: Backoff; againAtMs: number }>();
  readonly #inTurn = pLimit(WRITES_AT_ONCE);
  #failure: string | undefined;

  constructor(options: DisruptionBudgetsOptions) {
    this.#options = options;
    const { api, gateway, namespaces, clock, logger } = options;
    this.#reflectors = scopes(GROUP_VERSION, PLURAL, namespaces).map(
      ({ path }) =>
        new Reflector<Budget>({
          api,
          path,
          labelSelector: ownershipSelector(gateway),
          keep: ({ metadata: { name, namespace = '', uid = '', ownerReferences = [] } }) => ({
            name,
            namespace,
            uid,
            owners: ownerReferences.map((owner) => owner.uid),
          }),
          clock,
          logger,
          onChange: () => undefined,
        }),
    );
  }

  start(): void {
    for (const reflector of this.#reflectors) reflector.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
  }

  /** Makes what is missing and removes what is too much. `protect`: the drivers with sessions. */
  reconcile(protect: Iterable<{ readonly resource: string; readonly namespace: string }>): void {
    if (this.#options.leadership.epoch() === undefined) return;
    const budgets = new Map<string, Budget>();
    for (const reflector of this.#reflectors) {
      for (const budget of reflector.values()) budgets.set(keyOf(budget), budget);
    }
    const wanted = new Set<string>();
    for (const { resource: name, namespace } of protect) {
      const key = keyOf({ name, namespace });
      wanted.add(key);
      if (budgets.has(key)) {
        this.#attempts.delete(key);
        continue;
      }
      const resource = this.#options.resources.find(name, namespace);
      if (resource) this.#do(key, () => this.#create(resource));
    }
    for (const key of this.#attempts.keys()) {
      if (!wanted.has(key) && !budgets.has(key)) this.#attempts.delete(key);
    }
    for (const [key, budget] of budgets) {
      if (!wanted.has(key)) this.#do(key, () => this.#delete(budget));
    }
  }

  /** What fails, or does not show in the watch, is tried again with growing pauses. */
  #do(key: string, work: () => Promise<void>): void {
    const { clock } = this.#options;
    const attempt = this.#attempts.get(key) ?? {
      backoff: new Backoff(RETRY_MS, LONGEST_RETRY_MS),
      againAtMs: 0,
    };
    if (this.#underWay.has(key) || clock.now() < attempt.againAtMs) return;
    this.#attempts.set(key, attempt);
    this.#underWay.add(key);
    this.#inTurn(work)
      .then(
        () => {
          this.#failure = undefined;
          attempt.againAtMs = clock.now() + attempt.backoff.next();
        },
        (error: unknown) => {
          attempt.againAtMs = clock.now() + attempt.backoff.next(retryAfterOf(error));
          const reason = reasonOf(error);
          if (reason !== this.#failure) {
            this.#options.logger.warn(
              { reason },
              'a PodDisruptionBudget cannot be kept as it must',
            );
          }
          this.#failure = reason;
        },
      )
      .finally(() => this.#underWay.delete(key));
  }

  async #create(resource: DriverResource): Promise<void> {
    const { api, gateway, resources } = this.#options;
    const { name, namespace, kind, uid } = resource;
    const { apiVersion } = resources.reference(resource);
    try {
      await api.request({
        method: 'POST',
        path: collectionPath(GROUP_VERSION, namespace, PLURAL),
        body: {
          apiVersion: GROUP_VERSION,
          kind: 'PodDisruptionBudget',
          metadata: {
            name,
            labels: ownershipLabels(gateway),
            ownerReferences: [{ apiVersion, kind, name, uid, controller: false }],
          },
          // A number of pods: the owner of the pod cannot be asked how many there should be.
          spec: { minAvailable: 1, selector: { matchLabels: driverKinds[kind].podLabels(name) } },
        },
      });
    } catch (error) {
      if (!hasStatus(error, 409)) throw error;
    }
  }

  /** One that no resource of ours owns is someone else's, whatever its labels. */
  async #delete({ name, namespace, uid, owners }: Budget): Promise<void> {
    const { api, resources } = this.#options;
    const resource = resources.find(name, namespace);
    if (!resource || !owners.includes(resource.uid)) return;
    try {
      await api.request({
        method: 'DELETE',
        path: `${collectionPath(GROUP_VERSION, namespace, PLURAL)}/${name}`,
        body: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } },
      });
    } catch (error) {
      if (!hasStatus(error, 404) && !hasStatus(error, 409)) throw error;
    }
  }
}

function keyOf({ name, namespace }: { readonly name: string; readonly namespace: string }): string {
  return `${namespace}/${name}`;
}
