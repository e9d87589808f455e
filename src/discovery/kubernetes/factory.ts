/** Makes and deletes drivers as custom resources of the Spark operator. */
import type { Logger } from 'pino';
import type { KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import {
  driverKinds,
  type DriverKind,
  type DriverResource,
  type DriverResources,
} from './driver-resources.js';
import { hasStatus, isLater, isOpen, KubernetesError } from '../../lib/kubernetes/http.js';
import {
  type GatewayKey,
  FENCE_ANNOTATION,
  isOurs,
  ownershipLabels,
  signature,
  SIGNATURE_ANNOTATION,
  TEMPLATE_ANNOTATION,
  TOKEN_ANNOTATION,
  VARIANT_ANNOTATION,
} from '../../lib/kubernetes/ownership.js';
import { collectionPath, type KubernetesObject } from '../../lib/kubernetes/objects.js';
import { Backoff, type Clock } from '../../model/clock.js';
import type { DriverFactory, RequestedDriver } from '../../model/driver.js';
import { GatewayError, reasonOf, retryAfterOf } from '../../model/errors.js';
import {
  type FleetProblem,
  namespaceReference,
  type ProblemSource,
} from '../../model/fleet-problem.js';
import type { Leadership } from '../../model/ledger.js';
import type { PoolName } from '../../model/pool.js';
import { mostSessions } from '../../model/spark-forgets.js';
import { makeParts, type PartsOwner } from './driver-parts.js';
import { QuotaWatch } from './nearest-factory.js';
import { sparkApplication, sparkConnect } from './spark-objects.js';
import {
  bringsFence,
  hasDriverToken,
  hasFence,
  templateHash,
  type DriverRequest,
  type DriverTemplate,
} from './template.js';

export interface KubernetesFactoryOptions {
  readonly api: Pick<KubernetesApi, 'request'>;
  readonly resources: DriverResources;
  readonly gateway: string;
  /** Where several clusters are in use: the one it makes drivers in. */
  readonly cluster?: string;
  readonly key: GatewayKey;
  /** The template of a namespace's pool, or of its variant; undefined: the gateway makes no such drivers there. */
  readonly template: (namespace: string, variant?: string) => DriverTemplate | undefined;
  /** The jar of the driver fence. */
  readonly fence: Buffer;
  /** The largest request that the gateway lets through. */
  readonly maxMessageBytes: number;
  /** Labels that a namespace's pods carry, such as its team and environment. */
  readonly podLabels: (namespace: string) => Readonly<Record<string, string>>;
  /** As the policy has it; undefined: it has no pool there. */
  readonly sessionsPerDriver?: (namespace: string) => number | undefined;
  /** Whether it cannot be told which pods there are in this namespace. */
  readonly podsInDoubt: (namespace: string) => boolean;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called when there is news about a request. */
  readonly onChange: () => void;
}

/** Without a pod for this long, a request is looked into. */
const PATIENCE_MS = 15_000;
/** Longer than the longest pause between two attempts: a pool that wants no driver any more has no problem. */
const REFUSAL_MS = 6 * 60_000;
const RETRY_MS = 5_000;
const LONGEST_RETRY_MS = 5 * 60_000;
/** States of a SparkApplication that no driver comes back from under `restartPolicy: Never`. */
const FINAL_STATES = new Set(['FAILED', 'SUBMISSION_FAILED', 'COMPLETED', 'FAILING', 'SUCCEEDING']);
/** States in which a driver has all that it needs, or needs nothing any more. */
const UP_OR_OVER = new Set([...FINAL_STATES, 'Ready', 'RUNNING']);

export class KubernetesFactory implements DriverFactory, ProblemSource {
  readonly #options: KubernetesFactoryOptions;
  readonly #quotas: QuotaWatch;
  /** What the API server said of the last driver of a pool, by namespace and variant. */
  readonly #refusals = new Map<string, { readonly message: string; readonly atMs: number }>();
  readonly #completing = new Backoff(RETRY_MS, LONGEST_RETRY_MS);
  /** The epoch under which what former leaders made was looked through. */
  #completedAt: number | undefined;

  constructor(options: KubernetesFactoryOptions) {
    this.#options = options;
    this.#quotas = new QuotaWatch(options.api, options.clock, options.onChange);
  }

  /** Never rejects for a part that cannot be read: what was known of it is in doubt. */
  async list(): Promise<readonly RequestedDriver[]> {
    const { resources, leadership } = this.#options;
    const epoch = leadership.epoch();
    await resources.readFor(epoch);
    if (epoch !== undefined && epoch !== this.#completedAt) {
      this.#completedAt = epoch;
      void this.#completeParts(epoch);
    }
    return [...resources.values()]
      .filter(({ deleting }) => !deleting)
      .map((resource) => this.#requested(resource));
  }

  inDoubt(namespace: string): boolean {
    const { resources, leadership, podsInDoubt } = this.#options;
    return resources.inDoubt(namespace, leadership.epoch()) || podsInDoubt(namespace);
  }

  template({ namespace, variant }: PoolName): string | undefined {
    const template = this.#options.template(namespace, variant);
    return template && templateHash(template);
  }

  *problems(): Generator<FleetProblem, void> {
    const { resources, cluster } = this.#options;
    for (const resource of resources.values()) {
      const { failure, reason } = this.#requested(resource);
      const message = failure ?? (this.#isLate(resource) ? reason : undefined);
      if (message === undefined || resource.deleting) continue;
      yield { kind: 'driver_start_failed', object: resources.reference(resource), message };
    }
    for (const [pool, { message, atMs }] of this.#refusals) {
      if (this.#options.clock.now() - atMs >= REFUSAL_MS) continue;
      const [namespace = ''] = pool.split('/');
      const object = namespaceReference(namespace, cluster);
      yield { kind: 'template_refused', object, message };
    }
  }

  async create(resource: string, namespace: string, variant?: string): Promise<void> {
    const pool = `${namespace}/${variant ?? ''}`;
    try {
      await this.#create(resource, namespace, variant);
      this.#refusals.delete(pool);
    } catch (error) {
      const { cause = error } = error instanceof Error ? error : {};
      if (cause instanceof KubernetesError && cause.verdict === 'refused') {
        this.#refusals.set(pool, {
          message: `The API server refuses what the template makes: ${reasonOf(cause)}`,
          atMs: this.#options.clock.now(),
        });
      }
      throw error;
    }
  }

  async #create(resource: string, namespace: string, variant?: string): Promise<void> {
    const { api, gateway, key, resources, leadership } = this.#options;
    const epoch = leadership.epoch();
    const template = this.#template(namespace, variant);
    this.#refuseForgetful(template, namespace);
    const { kind } = template;
    const request: DriverRequest = {
      name: resource,
      namespace,
      ownershipLabels: ownershipLabels(gateway),
      annotations: {
        [SIGNATURE_ANNOTATION]: signature(key, kind, namespace, resource, variant),
        [TEMPLATE_ANNOTATION]: templateHash(template),
        ...(hasFence(template) ? { [FENCE_ANNOTATION]: template.driverFence ?? 'config_map' } : {}),
        ...(hasDriverToken(template) ? { [TOKEN_ANNOTATION]: 'true' } : {}),
        ...(variant === undefined ? {} : { [VARIANT_ANNOTATION]: variant }),
      },
      maxMessageBytes: this.#options.maxMessageBytes,
      podLabels: this.#options.podLabels(namespace),
    };
    const body =
      kind === 'SparkConnect'
        ? sparkConnect(template, request)
        : sparkApplication(template, request);
    const { groupVersion, plural } = driverKinds[kind];
    const path = collectionPath(groupVersion, namespace, plural);
    let made: KubernetesObject;
    try {
      made = await api.request<KubernetesObject>({ method: 'POST', path, body });
    } catch (error) {
      if (isOpen(error) && epoch !== undefined) this.#completeLater(epoch);
      if (!hasStatus(error, 409)) throw failed(resource, namespace, error);
      made = await this.#readOurs(kind, resource, namespace);
    }
    const { uid = '' } = made.metadata;
    const owner: PartsOwner = {
      kind,
      name: resource,
      namespace,
      uid,
      hasToken: hasDriverToken(template),
      bringsFence: bringsFence(template),
    };
    try {
      await makeParts(owner, this.#options);
    } catch (error) {
      await this.#halfMade(owner, epoch, error);
    }
    resources.made(kind, made);
  }

  async delete(resource: string, namespace: string): Promise<void> {
    const known = this.#options.resources.find(resource, namespace);
    if (known) {
      await this.#deleteOne(known.kind, resource, namespace, known.uid);
      return;
    }
    // What is not known may have been made a moment ago by another leader.
    for (const kind of ['SparkConnect', 'SparkApplication'] as const) {
      const found = await this.#find(kind, resource, namespace);
      if (!found || !isOurs(this.#options.key, kind, found)) continue;
      await this.#deleteOne(kind, resource, namespace, found.metadata.uid ?? '');
    }
  }

  /** That one and no other that has its name by now. */
  async #deleteOne(
    kind: DriverKind,
    resource: string,
    namespace: string,
    uid: string,
  ): Promise<void> {
    const { api, resources } = this.#options;
    try {
      await api.request({
        method: 'DELETE',
        path: pathOf(kind, resource, namespace),
        body: {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          propagationPolicy: 'Background',
          preconditions: { uid },
        },
      });
    } catch (error) {
      if (!hasStatus(error, 404) && !hasStatus(error, 409)) throw error;
    }
    resources.unmade(uid);
  }

  async #find(
    kind: DriverKind,
    resource: string,
    namespace: string,
  ): Promise<KubernetesObject | undefined> {
    try {
      const path = pathOf(kind, resource, namespace);
      return await this.#options.api.request<KubernetesObject>({ path });
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  #template(namespace: string, variant: string | undefined): DriverTemplate {
    const template = this.#options.template(namespace, variant);
    if (template) return template;
    const named = variant === undefined ? '' : ` named ${variant}`;
    throw new GatewayError(
      'DRIVER_START_FAILED',
      `No driver template${named} is set for namespace ${namespace}.`,
    );
  }

  #refuseForgetful(template: DriverTemplate, namespace: string): void {
    const sessions = this.#options.sessionsPerDriver?.(namespace) ?? 0;
    const most = mostSessions(template.sparkVersion);
    if (most === undefined || sessions <= most) return;
    throw new GatewayError(
      'DRIVER_START_FAILED',
      `The policy gives ${sessions} sessions to a driver of ${namespace}, and Spark 3.5 forgets the oldest in silence beyond ${most}: set sessions_per_driver to ${most} at most, or use Spark 4.`,
    );
  }

  async #readOurs(
    kind: DriverKind,
    resource: string,
    namespace: string,
  ): Promise<KubernetesObject> {
    const found = await this.#find(kind, resource, namespace);
    if (found && isOurs(this.#options.key, kind, found)) return found;
    throw new GatewayError(
      'DRIVER_START_FAILED',
      `${kind} ${namespace}/${resource} exists and is someone else's.`,
    );
  }

  /**
   * Deletes a resource whose parts were refused, and throws why. What is open may have been made, and
   * its driver may have a session by the time of a deletion: it is kept and completed.
   */
  async #halfMade({ name, namespace }: PartsOwner, epoch: number | undefined, error: unknown) {
    const { leadership, logger } = this.#options;
    if (leadership.epoch() !== epoch || epoch === undefined) throw failed(name, namespace, error);
    if (isOpen(error) || isLater(error)) {
      logger.warn({ resource: name, namespace, reason: reasonOf(error) }, 'a driver is half made');
      this.#completeLater(epoch);
      return;
    }
    await this.delete(name, namespace).catch((reason: unknown) => {
      logger.warn({ resource: name, namespace, reason: reasonOf(reason) }, 'not deleted');
    });
    throw failed(name, namespace, error);
  }

  /** A leader that died may have left a resource without the parts that its pod waits for. */
  async #completeParts(epoch: number): Promise<void> {
    const { resources, logger } = this.#options;
    const late = [...resources.values()].filter(
      ({ state, deleting }) => !deleting && !UP_OR_OVER.has(state),
    );
    const results = await Promise.allSettled(
      late.map((resource) => makeParts(resource, this.#options)),
    );
    const failure = results.find((result) => result.status === 'rejected');
    if (!failure) {
      this.#completing.reset();
      return;
    }
    logger.warn({ reason: reasonOf(failure.reason) }, 'what a driver needs could not be made');
    this.#completeLater(epoch, retryAfterOf(failure.reason));
  }

  #completeLater(epoch: number, atLeastMs?: number): void {
    const { clock, leadership } = this.#options;
    clock.setTimer(this.#completing.next(atLeastMs), () => {
      if (leadership.epoch() === epoch) void this.#completeParts(epoch);
    });
  }

  #requested(resource: DriverResource): RequestedDriver {
    const { name, namespace, variant, createdAtMs, state, message } = resource;
    const template = this.#options.template(namespace, variant);
    const final = resource.kind === 'SparkApplication' && FINAL_STATES.has(state);
    const reason = this.#reason(resource);
    return {
      resource: name,
      namespace,
      ...(variant === undefined ? {} : { variant }),
      createdAtMs,
      ...(reason === undefined ? {} : { reason }),
      ...(final
        ? { failure: message === undefined ? `It is ${state}.` : `${state}: ${message}` }
        : {}),
      ...(template && templateHash(template) !== resource.template ? { outdated: true } : {}),
      ...(this.inDoubt(namespace) ? { inDoubt: true } : {}),
    };
  }

  #isLate({ podName, createdAtMs }: DriverResource): boolean {
    return podName === undefined && this.#options.clock.now() - createdAtMs >= PATIENCE_MS;
  }

  #reason(resource: DriverResource): string | undefined {
    const { namespace, message } = resource;
    if (!this.#isLate(resource)) return message;
    return (
      this.#quotas.reason(namespace) ??
      message ??
      'The Spark operator has not made a pod for it; its log says why.'
    );
  }
}

function pathOf(kind: DriverKind, resource: string, namespace: string): string {
  const { groupVersion, plural } = driverKinds[kind];
  return `${collectionPath(groupVersion, namespace, plural)}/${resource}`;
}

function failed(resource: string, namespace: string, error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  return new GatewayError(
    'DRIVER_START_FAILED',
    `Driver ${resource} could not be made in ${namespace}: ${reasonOf(error)}`,
    { cause: error, ...(isLater(error) ? { retryAfterMs: error.retryAfterMs ?? RETRY_MS } : {}) },
  );
}
