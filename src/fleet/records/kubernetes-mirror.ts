/**
 * Every driver record as the API server shows it, kept up to date by a watch: what a follower serves
 * from, and where operators' wishes (`spec.drain`) are read.
 */
import { RecordSchemaError } from '../../lib/json-record.js';
import type { Logger } from 'pino';
import { type KubernetesApi, MERGE_PATCH } from '../../lib/kubernetes/kubernetes-api.js';
import { hasStatus } from '../../lib/kubernetes/http.js';
import type { KubernetesObject } from '../../lib/kubernetes/objects.js';
import { type Change, Reflector } from '../../lib/kubernetes/reflector.js';
import type { Clock } from '../../model/clock.js';
import type { DriverRecord } from '../../model/driver.js';
import { GatewayError } from '../../model/errors.js';
import type { FleetProblem, ProblemSource } from '../../model/fleet-problem.js';
import { isObject } from '../../model/json.js';
import { API_VERSION, decodeRecord, isOfAnotherGateway, KIND } from './kubernetes-codec.js';

export interface DrainRequest {
  /** When the sessions that are left are ended; undefined: never. */
  readonly deadlineMs: number | undefined;
}

export interface KubernetesMirrorOptions {
  readonly api: Pick<KubernetesApi, 'request' | 'watch'>;
  readonly namespace: string;
  /** As the store's. */
  readonly gateway?: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

type Mirrored =
  | { readonly record: DriverRecord; readonly drain: DrainRequest | undefined }
  /** Name of an object that is no record that the gateway can read. */
  | { readonly unreadable: string; readonly problem: FleetProblem };

/** The uid of the driver whose record changed; undefined: any of them may have. */
export type MirrorListener = (uid?: string) => void;

export class KubernetesRecordMirror implements ProblemSource {
  readonly #reflector: Reflector<Mirrored>;
  readonly #listeners = new Set<MirrorListener>();
  /** What is kept of each driver's object, by the driver's uid, which is the object's name. */
  readonly #byName = new Map<string, Mirrored>();
  readonly #drains = new Map<string, DrainRequest>();
  readonly #unreadable = new Map<string, FleetProblem>();

  constructor({ api, namespace, gateway, clock, logger }: KubernetesMirrorOptions) {
    this.#reflector = new Reflector<Mirrored>({
      api,
      path: `/apis/${API_VERSION}/namespaces/${namespace}/sparkdrivers`,
      keep: (object) => (isOfAnotherGateway(object, gateway) ? undefined : keep(object)),
      clock,
      logger,
      onChange: (change) => this.#changed(change),
    });
  }

  /** Resolves once every record has been read. Rejects when the first read fails; it is tried again all the same. */
  start(): Promise<void> {
    this.#reflector.start();
    return this.#reflector.refresh();
  }

  /** Reads every record again, consistently. Rejects when that fails. */
  refresh(): Promise<void> {
    return this.#reflector.refresh();
  }

  stop(): Promise<void> {
    return this.#reflector.stop();
  }

  /** The records as last seen. */
  *records(): Generator<DriverRecord, void> {
    for (const kept of this.#byName.values()) if ('record' in kept) yield kept.record;
  }

  /** The record of one driver as last seen. */
  record(uid: string): DriverRecord | undefined {
    const kept = this.#byName.get(uid);
    return kept && 'record' in kept ? kept.record : undefined;
  }

  /** Whether there is an object of this driver, be it readable or not. */
  shows(uid: string): boolean {
    return this.#byName.has(uid);
  }

  /** Drivers that operators want drained, by uid. */
  drains(): ReadonlyMap<string, DrainRequest> {
    return this.#drains;
  }

  /** Names of objects that cannot be read: nobody knows whose memory the drivers of these uids hold. */
  unreadable(): Iterable<string> {
    return this.#unreadable.keys();
  }

  *problems(): Generator<FleetProblem, void> {
    yield* this.#unreadable.values();
    const { problem } = this.#reflector;
    if (problem !== undefined) {
      yield { kind: 'unreadable', message: `The driver records cannot be read: ${problem}` };
    }
  }

  /** Why the records may be old, for people; undefined while they are kept up to date. */
  get problem(): string | undefined {
    return this.#reflector.problem;
  }

  onChange(listener: MirrorListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** An event costs as much with thousands of records as with one: each write of the leader's comes back as one. */
  #changed(change: Change<Mirrored> | undefined): void {
    if (change) {
      const { before, after } = change;
      if (before) this.#forget(nameOf(before));
      if (after) this.#note(after);
    } else {
      for (const index of this.#indexes()) index.clear();
      for (const kept of this.#reflector.values()) this.#note(kept);
    }
    const about = change?.after ?? change?.before;
    for (const listener of this.#listeners) listener(about && nameOf(about));
  }

  #forget(name: string): void {
    for (const index of this.#indexes()) index.delete(name);
  }

  #indexes(): readonly Pick<Map<string, unknown>, 'clear' | 'delete'>[] {
    return [this.#byName, this.#drains, this.#unreadable];
  }

  #note(kept: Mirrored): void {
    const name = nameOf(kept);
    this.#byName.set(name, kept);
    if ('unreadable' in kept) this.#unreadable.set(name, kept.problem);
    else if (kept.drain) this.#drains.set(name, kept.drain);
  }
}

function nameOf(kept: Mirrored): string {
  return 'record' in kept ? kept.record.uid : kept.unreadable;
}

function keep(object: KubernetesObject): Mirrored {
  try {
    return { record: decodeRecord(object).record, drain: drainOf(object) };
  } catch (error) {
    if (!(error instanceof RecordSchemaError)) throw error;
    const { name, namespace = '', uid } = object.metadata;
    return {
      unreadable: name,
      problem: {
        kind: 'record_unreadable',
        object: {
          apiVersion: API_VERSION,
          kind: KIND,
          name,
          namespace,
          ...(uid === undefined ? {} : { uid }),
        },
        message: `It is no record that the gateway can read (${error.message}). Its driver takes no session until it is corrected or deleted.`,
      },
    };
  }
}

function drainOf(object: unknown): DrainRequest | undefined {
  const spec = isObject(object) ? object['spec'] : undefined;
  const drain = isObject(spec) ? spec['drain'] : undefined;
  if (!isObject(drain)) return undefined;
  const deadline = drain['deadline'];
  const deadlineMs = typeof deadline === 'string' ? Date.parse(deadline) : NaN;
  return { deadlineMs: Number.isNaN(deadlineMs) ? undefined : deadlineMs };
}

// What operators want of a driver, as `spec.drain` of its record says it.

const TIMEOUT_MS = 5_000;

interface RecordsPlace {
  readonly api: Pick<KubernetesApi, 'request'>;
  readonly namespace: string;
}

/** Takes the place of what `spec.drain` said before. Rejects with DRIVER_UNKNOWN, or with what the API server says. */
export async function writeDrain(
  { api, namespace }: RecordsPlace,
  driverUid: string,
  deadlineMs: number | undefined,
): Promise<void> {
  const deadline = deadlineMs === undefined ? null : new Date(deadlineMs).toISOString();
  await patch({ api, namespace }, driverUid, { deadline });
}

/** Takes back what `spec.drain` says. Rejects as `writeDrain` does. */
export async function eraseDrain(records: RecordsPlace, driverUid: string): Promise<void> {
  await patch(records, driverUid, null);
}

async function patch(
  { api, namespace }: RecordsPlace,
  driverUid: string,
  drain: object | null,
): Promise<void> {
  try {
    await api.request({
      method: 'PATCH',
      path: `/apis/${API_VERSION}/namespaces/${namespace}/sparkdrivers/${encodeURIComponent(driverUid)}`,
      contentType: MERGE_PATCH,
      timeoutMs: TIMEOUT_MS,
      body: { spec: { drain } },
    });
  } catch (error) {
    if (!hasStatus(error, 404)) throw error;
    throw new GatewayError('DRIVER_UNKNOWN', `There is no driver ${driverUid}.`, { cause: error });
  }
}
