/**
 * Events (events.k8s.io/v1) on objects of one cluster, as `kubectl describe` and `kubectl get events`
 * show them. Nothing waits for them and nothing depends on them: one that cannot be written is tried
 * again at a later report, and whoever reports says everything that is so, again and again.
 *
 * The same note on the same object is one Event, whose series counts how often it was seen
 * (https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/): its name follows
 * from what it says, so that another leader goes on with it.
 */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import { reasonOf, retryAfterOf } from '../../model/errors.js';
import type { ObjectReference } from '../../model/fleet-problem.js';
import { recent } from '../recent.js';
import { type KubernetesApi, MERGE_PATCH } from './kubernetes-api.js';
import { hasStatus, KubernetesError } from './http.js';
import { collectionPath, type KubernetesObject } from './objects.js';

export interface ObjectEvent {
  readonly regarding: ObjectReference;
  /** UpperCamelCase, for programs. */
  readonly reason: string;
  /** For people. */
  readonly note: string;
}

export interface EventWriterOptions {
  readonly api: Pick<KubernetesApi, 'request'>;
  /** This process, such as its pod's name. */
  readonly instance: string;
  /** Whether this process is the one that tells. */
  readonly allowed: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Series extends KubernetesObject {
  readonly series?: { readonly count: number } | null;
}

interface Told {
  readonly note: string;
  /** Not to be written again before this moment, unless the note changes. */
  readonly againAtMs: number;
  /** Not even with another note. */
  readonly changeAtMs: number;
}

const GROUP_VERSION = 'events.k8s.io/v1';
/** The API server keeps an Event for an hour after its last change, unless it is told otherwise. */
const REPEAT_MS = 30 * 60_000;
/** A note that changes all the time makes an Event a minute. */
const CHANGE_MS = 60_000;
/** After a failure that will come again: a right that is missing, an object that may have no Event. */
const REFUSED_MS = 10 * 60_000;
const REMEMBERED = 4_096;
const BURST = 25;
const REFILL_MS = 1_000;
/** Limits of the API server. */
const LONGEST_NOTE = 1_000;
const LONGEST_INSTANCE = 128;
const LONGEST_NAME = 230;

export class EventWriter {
  readonly #options: EventWriterOptions;
  readonly #told = recent<string, Told>(REMEMBERED);
  readonly #writing = new Set<Promise<void>>();
  #tokens = BURST;
  #refilledMs: number;
  #failure: string | undefined;

  constructor(options: EventWriterOptions) {
    this.#options = options;
    this.#refilledMs = options.clock.now();
  }

  /** Writes what is new and, from time to time, what still is so. Never throws and never waits. */
  report(events: Iterable<ObjectEvent>): void {
    if (!this.#options.allowed()) return;
    const nowMs = this.#options.clock.now();
    for (const event of events) {
      const note = event.note.slice(0, LONGEST_NOTE);
      const key = keyOf(event);
      const told = this.#told.get(key);
      if (told && nowMs < (told.note === note ? told.againAtMs : told.changeAtMs)) continue;
      if (!this.#takeToken(nowMs)) return;
      const changeAtMs = nowMs + CHANGE_MS;
      this.#told.set(key, { note, againAtMs: nowMs + REPEAT_MS, changeAtMs });
      const writing = this.#write({ ...event, note }, key).finally(() =>
        this.#writing.delete(writing),
      );
      this.#writing.add(writing);
    }
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await Promise.all(this.#writing);
  }

  #takeToken(nowMs: number): boolean {
    const gained = Math.floor((nowMs - this.#refilledMs) / REFILL_MS);
    if (gained > 0) {
      this.#tokens = Math.min(BURST, this.#tokens + gained);
      this.#refilledMs += gained * REFILL_MS;
    }
    if (this.#tokens === 0) return false;
    this.#tokens -= 1;
    return true;
  }

  async #write(event: ObjectEvent, key: string): Promise<void> {
    const { logger, clock } = this.#options;
    try {
      await this.#createOrContinue(event);
      this.#failure = undefined;
    } catch (error) {
      const refused = error instanceof KubernetesError && error.verdict === 'refused';
      const againAtMs =
        clock.now() + Math.max(refused ? REFUSED_MS : CHANGE_MS, retryAfterOf(error) ?? 0);
      this.#told.set(key, { note: event.note, againAtMs, changeAtMs: againAtMs });
      const reason = reasonOf(error);
      if (reason !== this.#failure) logger.warn({ reason }, 'an Event could not be written');
      this.#failure = reason;
    }
  }

  async #createOrContinue(event: ObjectEvent): Promise<void> {
    const { api, clock } = this.#options;
    const collection = collectionPath(GROUP_VERSION, event.regarding.namespace, 'events');
    const body = this.#encode(event);
    try {
      await api.request({ method: 'POST', path: collection, body });
    } catch (error) {
      if (!hasStatus(error, 409)) throw error;
      const path = `${collection}/${body.metadata.name}`;
      const { series } = await api.request<Series>({ path });
      await api.request({
        method: 'PATCH',
        path,
        contentType: MERGE_PATCH,
        body: {
          series: { count: (series?.count ?? 1) + 1, lastObservedTime: microTime(clock.now()) },
        },
      });
    }
  }

  #encode({ regarding, reason, note }: ObjectEvent) {
    const { cluster: _, ...object } = regarding;
    const hash = createHash('sha256')
      .update(JSON.stringify([object, reason, note]))
      .digest('hex');
    return {
      apiVersion: GROUP_VERSION,
      kind: 'Event',
      metadata: {
        name: `${regarding.name.slice(0, LONGEST_NAME)}.${hash.slice(0, 16)}`,
        namespace: regarding.namespace,
      },
      eventTime: microTime(this.#options.clock.now()),
      reportingController: 'spark-gateway.io/control-plane',
      reportingInstance: this.#options.instance.slice(0, LONGEST_INSTANCE),
      action: 'Reconcile',
      type: 'Warning',
      regarding: object,
      reason,
      note,
    };
  }
}

function keyOf({ regarding: { kind, namespace, name, uid }, reason }: ObjectEvent): string {
  return JSON.stringify([kind, namespace, name, uid, reason]);
}

/** Kubernetes' MicroTime has six digits behind the second. */
function microTime(atMs: number): string {
  return new Date(atMs).toISOString().replace('Z', '000Z');
}
