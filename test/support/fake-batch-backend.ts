import type {
  ApplicationStatus,
  BackendLogLine,
  BatchBackend,
  JobToRun,
  LogRequest,
} from '../../src/batch/backend.js';
import { GatewayError } from '../../src/model/errors.js';

/** `lost` fails before anything is made, `unanswered` after it; `refused` is for good. */
export type BackendOutcome = 'ok' | 'lost' | 'unanswered' | 'refused';

interface Application {
  readonly job: JobToRun;
  status: ApplicationStatus;
}

/**
 * Applications in memory, as a cluster with an operator has them: they outlive whoever leads, they are
 * what a test says, and pods may be left of one that was deleted.
 */
export class FakeBatchBackend implements BatchBackend {
  readonly name: string;
  readonly applications = new Map<string, Application>();
  /** Namespaces of jobs of which a pod is there that nobody has deleted yet, by their ids. */
  readonly pods = new Map<string, string>();
  readonly lines = new Map<string, BackendLogLine[]>();
  /** Outcomes of the next creations and deletions; 'ok' when empty. */
  readonly outcomes: BackendOutcome[] = [];
  /** How often each application was made. */
  readonly made = new Map<string, number>();
  /** Nothing can be seen while it is set. */
  blind = false;
  reachable = true;
  readonly #listeners = new Set<(namespace: string, id: string) => void>();

  constructor(name = 'cluster') {
    this.name = name;
  }

  available(): boolean {
    return this.reachable && !this.blind;
  }

  create(job: JobToRun): Promise<void> {
    return this.#do(() => {
      if (this.applications.has(job.id)) return;
      this.made.set(job.id, (this.made.get(job.id) ?? 0) + 1);
      const { id, namespace } = job;
      this.applications.set(id, { job, status: { id, namespace, state: 'PENDING', attempt: 0 } });
      this.pods.set(id, namespace);
      this.#tell(id, namespace);
    });
  }

  status(namespace: string, id: string): ApplicationStatus | undefined {
    if (this.blind) throw new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'the watch broke off');
    const status = this.applications.get(id)?.status;
    if (status) return status;
    return this.pods.has(id)
      ? {
          id,
          namespace,
          state: 'UNKNOWN',
          attempt: 1,
          reason: { code: 'REMAINS', message: 'a pod' },
        }
      : undefined;
  }

  *all(): Generator<ApplicationStatus, void> {
    for (const { status } of this.applications.values()) yield status;
    for (const [id, namespace] of this.pods) {
      const status = this.blind ? undefined : this.status(namespace, id);
      if (status && !this.applications.has(id)) yield status;
    }
  }

  onChange(listener: (namespace: string, id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  delete(namespace: string, id: string): Promise<void> {
    return this.#do(() => {
      this.applications.delete(id);
      this.pods.delete(id);
      this.#tell(id, namespace);
    });
  }

  remains(_namespace: string, id: string): Promise<boolean> {
    return this.blind
      ? Promise.reject(new Error('the cluster does not answer'))
      : Promise.resolve(this.applications.has(id) || this.pods.has(id));
  }

  async *logs(
    _namespace: string,
    id: string,
    { since, tail, follow, signal }: LogRequest,
  ): AsyncGenerator<BackendLogLine, void> {
    let sent = 0;
    for (;;) {
      const status = this.applications.get(id)?.status;
      const own = (this.lines.get(id) ?? []).filter(
        ({ attempt, time }) =>
          attempt === status?.attempt && (since === undefined || time >= since),
      );
      const wanted = tail === undefined ? own : own.slice(-tail);
      for (const line of wanted.slice(sent)) yield line;
      sent = wanted.length;
      const isOver = !status || status.state === 'SUCCEEDED' || status.state === 'FAILED';
      if (!follow || isOver || status.retrying === true || signal.aborted) return;
      await this.#changed(id, signal);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  // What happens to applications.

  set(id: string, change: Partial<ApplicationStatus>): void {
    const application = this.applications.get(id);
    if (!application) throw new Error(`there is no application ${id}`);
    application.status = { ...application.status, ...change };
    this.#tell(id, application.job.namespace);
  }

  /** As a person or the operator's TTL does. */
  vanish(id: string): void {
    const application = this.applications.get(id);
    this.applications.delete(id);
    this.pods.delete(id);
    this.#tell(id, application?.job.namespace ?? '');
  }

  say(id: string, attempt: number, time: string, text: string): void {
    const lines = this.lines.get(id) ?? [];
    lines.push({ attempt, time, text });
    this.lines.set(id, lines);
    this.#tell(id, this.applications.get(id)?.job.namespace ?? '');
  }

  see(isBlind: boolean): void {
    this.blind = isBlind;
    for (const { status } of this.applications.values()) this.#tell(status.id, status.namespace);
    for (const [id, namespace] of this.pods) this.#tell(id, namespace);
  }

  /** A driver of an application that was deleted while the operator submitted it. */
  leavePod(namespace: string, id: string): void {
    this.pods.set(id, namespace);
    this.#tell(id, namespace);
  }

  #tell(id: string, namespace: string): void {
    for (const listener of this.#listeners) listener(namespace, id);
  }

  #changed(id: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.onChange((_, changed) => {
        if (changed !== id) return;
        stop();
        resolve();
      });
      signal.addEventListener('abort', () => {
        stop();
        resolve();
      });
    });
  }

  async #do(work: () => void): Promise<void> {
    await Promise.resolve();
    const outcome = this.outcomes.shift() ?? 'ok';
    if (outcome === 'refused') throw new GatewayError('BATCH_REFUSED', 'admission refuses it');
    if (outcome === 'lost') throw new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'lost');
    work();
    if (outcome === 'unanswered') throw new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'unanswered');
  }
}
