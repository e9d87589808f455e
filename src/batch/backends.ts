/** The backends that jobs may go to, the nearest first. */
import type { BatchBackend } from './backend.js';
import type { Observation } from './verdict.js';
import { reasonOf } from '../model/errors.js';
import type { JobRecord } from './records/job-record.js';

export class Backends {
  readonly #backends: readonly BatchBackend[];

  constructor(backends: readonly BatchBackend[]) {
    this.#backends = backends;
  }

  [Symbol.iterator](): Iterator<BatchBackend> {
    return this.#backends[Symbol.iterator]();
  }

  get(name: string): BatchBackend | undefined {
    return this.#backends.find((backend) => backend.name === name);
  }

  /** The nearest that can be reached now, else the nearest. undefined: all of them have refused it. */
  choose(namespace: string, refusedBy: readonly string[]): BatchBackend | undefined {
    const left = this.#backends.filter(({ name }) => !refusedBy.includes(name));
    return left.find((backend) => backend.available(namespace)) ?? left[0];
  }

  observe({ cluster, job }: JobRecord): Observation {
    const backend = this.get(cluster);
    if (!backend) return { kind: 'doubt', reason: `the gateway knows no cluster ${cluster} now` };
    try {
      const status = backend.status(job.namespace, job.id);
      return status ? { kind: 'application', status } : { kind: 'none' };
    } catch (error) {
      return { kind: 'doubt', reason: reasonOf(error) };
    }
  }
}
