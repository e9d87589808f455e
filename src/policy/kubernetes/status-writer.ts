/** Writes the status of one resource: one request at a time, of several wishes the newest. */
import type { Logger } from 'pino';
import { isDeepStrictEqual } from 'node:util';
import { type KubernetesApi, MERGE_PATCH } from '../../kubernetes/api.js';
import { hasStatus } from '../../kubernetes/error.js';
import type { Clock, Timer } from '../../model/clock.js';
import { reasonOf } from '../../model/errors.js';
import type { PolicyResourceStatus } from './status.js';

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

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  #wanted: { readonly resourceVersion: string; readonly status: PolicyResourceStatus } | undefined;
  #writing: Promise<void> | undefined;
  #retry: Timer | undefined;

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
      } catch (error) {
        if (hasStatus(error, 409) || hasStatus(error, 404)) continue;
        logger.warn({ reason: reasonOf(error) }, "the policy's status cannot be written");
        this.#retry?.cancel();
        this.#retry = clock.setTimer(RETRY_MS, onFailure);
      }
    }
  }
}
