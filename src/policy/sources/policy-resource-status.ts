/** What the leading control plane says of a policy in the resource itself. */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { type KubernetesApi, MERGE_PATCH } from '../../lib/kubernetes/kubernetes-api.js';
import { hasStatus } from '../../lib/kubernetes/http.js';
import { Backoff, type Clock, type Timer } from '../../model/clock.js';
import { reasonOf, retryAfterOf } from '../../model/errors.js';
import { LONGEST_MESSAGE } from './policy-resource-schema.js';

/** https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties. */
export interface Condition {
  readonly type: 'Accepted' | 'Programmed';
  readonly status: 'True' | 'False';
  readonly observedGeneration: number;
  /** RFC 3339. */
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

export interface PolicyResourceStatus {
  readonly observedGeneration?: number;
  /** The last good policy. */
  readonly inForce?: { readonly version: string; readonly document: string };
  readonly conditions?: readonly Condition[];
}

export interface Judgement {
  readonly generation: number;
  /** Every mistake of `spec`; undefined: it is good. */
  readonly error: string | undefined;
  readonly inForce: PolicyResourceStatus['inForce'];
}

/** A condition that stays as it was keeps the time of its last transition. */
export function statusOf(
  { generation, error, inForce }: Judgement,
  before: PolicyResourceStatus,
  nowMs: number,
): PolicyResourceStatus {
  const now = new Date(nowMs).toISOString();
  const condition = (
    type: Condition['type'],
    holds: boolean,
    reason: string,
    message: string,
  ): Condition => {
    const status = holds ? 'True' : 'False';
    const last = before.conditions?.find((known) => known.type === type);
    return {
      type,
      status,
      observedGeneration: generation,
      lastTransitionTime: last?.status === status ? last.lastTransitionTime : now,
      reason,
      message: message.slice(0, LONGEST_MESSAGE),
    };
  };
  const version = inForce?.version ?? '';
  return {
    observedGeneration: generation,
    ...(inForce ? { inForce } : {}),
    conditions:
      error === undefined
        ? [
            condition('Accepted', true, 'Valid', `Version ${version}.`),
            condition('Programmed', true, 'InForce', `Version ${version} decides.`),
          ]
        : [
            condition('Accepted', false, 'Invalid', error),
            inForce
              ? condition(
                  'Programmed',
                  false,
                  'LastGoodInForce',
                  `The last good policy, version ${version}, decides.`,
                )
              : condition(
                  'Programmed',
                  false,
                  'NoGoodPolicy',
                  'There was no good policy so far: nobody can use the gateway.',
                ),
          ],
  };
}

// Writes the status of one resource: one request at a time, of several wishes the newest.

export interface StatusWriterOptions {
  readonly api: Pick<KubernetesApi, 'request'>;
  /** Of the resource. */
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called some time after a write failed: it is time to say again what is to be written. */
  readonly onFailure: () => void;
}

const RETRY_MS = 5_000;
const LONGEST_RETRY_MS = 5 * 60_000;

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  #wanted: { readonly resourceVersion: string; readonly status: PolicyResourceStatus } | undefined;
  #writing: Promise<void> | undefined;
  #retry: Timer | undefined;
  readonly #backoff = new Backoff(RETRY_MS, LONGEST_RETRY_MS);

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  /** `before`: the status that the resource has at `resourceVersion`. A write to a newer one is given up: its event asks again. */
  write(status: PolicyResourceStatus, before: PolicyResourceStatus, resourceVersion: string): void {
    this.#wanted = isDeepStrictEqual(status, before) ? undefined : { resourceVersion, status };
    this.#writing ??= this.#run().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves when the write that is under way has ended. */
  async close(): Promise<void> {
    this.#wanted = undefined;
    await this.#writing;
    this.#retry?.cancel();
  }

  async #run(): Promise<void> {
    const { api, path, clock, logger, onFailure } = this.#options;
    for (let next = this.#wanted; next; next = this.#wanted) {
      this.#wanted = undefined;
      const { status, resourceVersion } = next;
      try {
        await api.request({
          method: 'PATCH',
          path: `${path}/status`,
          contentType: MERGE_PATCH,
          body: { metadata: { resourceVersion }, status },
        });
        this.#backoff.reset();
      } catch (error) {
        if (hasStatus(error, 409) || hasStatus(error, 404)) continue;
        logger.warn({ reason: reasonOf(error) }, "the policy's status cannot be written");
        this.#retry?.cancel();
        const pauseMs = this.#backoff.next(retryAfterOf(error));
        this.#retry = clock.setTimer(pauseMs, onFailure);
      }
    }
  }
}
