/** Asks events why a job does not start where neither its pod nor its application says so. */
import pLimit from 'p-limit';
import type { KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import { eventsAbout } from '../../lib/kubernetes/events-about.js';
import type { Clock } from '../../model/clock.js';
import { type JobReason } from '../../model/job.js';
import { sameReason } from '../records/job-record.js';
import { reasonOfEvent } from './application-view.js';
import { driverPodName } from './job-names.js';

/** A job that starts as it should is not asked about. */
const PATIENCE_MS = 10_000;
const ASK_EVERY_MS = 60_000;
/** API servers look through all events of a namespace for it. */
const ASKED_AT_ONCE = 2;

export class PendingReasons {
  readonly #api: Pick<KubernetesApi, 'request'>;
  readonly #clock: Clock;
  readonly #onChange: (namespace: string, id: string) => void;
  readonly #inTurn = pLimit(ASKED_AT_ONCE);
  readonly #known = new Map<string, { readonly askedMs: number; reason: JobReason | undefined }>();

  constructor(
    api: Pick<KubernetesApi, 'request'>,
    clock: Clock,
    onChange: (namespace: string, id: string) => void,
  ) {
    this.#api = api;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  known(namespace: string, id: string): JobReason | undefined {
    return this.#known.get(`${namespace}/${id}`)?.reason;
  }

  /** Asks in the background, now and then. */
  wonder(namespace: string, id: string, sinceMs: number): void {
    const nowMs = this.#clock.now();
    const key = `${namespace}/${id}`;
    const known = this.#known.get(key);
    if (nowMs - sinceMs < PATIENCE_MS || nowMs - (known?.askedMs ?? 0) < ASK_EVERY_MS) return;
    this.#known.set(key, { askedMs: nowMs, reason: known?.reason });
    void this.#inTurn(() => this.#ask(namespace, id));
  }

  forget(namespace: string, id: string): void {
    this.#known.delete(`${namespace}/${id}`);
  }

  async #ask(namespace: string, id: string): Promise<void> {
    try {
      const events = await eventsAbout(this.#api, namespace, [id, driverPodName(id)]);
      const [reason] = events.flatMap((event) => reasonOfEvent(event.reason, event.message) ?? []);
      const known = this.#known.get(`${namespace}/${id}`);
      if (!known || sameReason(known.reason, reason)) return;
      known.reason = reason;
      this.#onChange(namespace, id);
    } catch {
      // Without the right to read events there is one reason less to show.
    }
  }
}
