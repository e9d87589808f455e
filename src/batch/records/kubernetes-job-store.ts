/** Job records as custom resources (SparkBatch) in the gateway's own namespace. */
import { RecordSchemaError } from '../../lib/json-record.js';
import type { Logger } from 'pino';
import {
  JSON_PATCH,
  type KubernetesApi,
  MERGE_PATCH,
} from '../../lib/kubernetes/kubernetes-api.js';
import { hasStatus, KubernetesError } from '../../lib/kubernetes/http.js';
import {
  collectionPath,
  type KubernetesList,
  type KubernetesObject,
} from '../../lib/kubernetes/objects.js';
import { GATEWAY_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../lib/kubernetes/ownership.js';
import { Reflector } from '../../lib/kubernetes/reflector.js';
import { UnsettledWrites } from '../../lib/kubernetes/unsettled-writes.js';
import type { Clock } from '../../model/clock.js';
import { reasonOf } from '../../model/errors.js';
import { isObject } from '../../model/json.js';
import { decodeJob, encodeJob } from './job-codec.js';
import type { JobRecord } from './job-record.js';
import {
  jobChangedByAnother,
  type JobStore,
  type StoredJob,
  type UnreadableJob,
} from './job-store.js';

export interface KubernetesJobStoreOptions {
  readonly api: Pick<KubernetesApi, 'request' | 'watch'>;
  /** The gateway's own namespace. */
  readonly namespace: string;
  /** Its name: records of others in the namespace are left alone. */
  readonly gateway: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const API_VERSION = 'spark-gateway.io/v1alpha1';
const KIND = 'SparkBatch';
const PLURAL = 'sparkbatches';
const LOG_KEY = 'log.gz';
/** A page of records whose applications are still to be made may have some megabytes. */
const PAGE = 200;
/** The API server gives a write up after this long. */
const WRITE_TIMEOUT_MS = 5_000;

interface StoredObject extends KubernetesObject {
  readonly job: unknown;
  readonly status: Record<string, unknown>;
}

export class KubernetesJobStore implements JobStore {
  readonly #o: KubernetesJobStoreOptions;
  readonly #path: string;
  readonly #logs: string;
  readonly #unsettled: UnsettledWrites;

  constructor(options: KubernetesJobStoreOptions) {
    this.#o = options;
    this.#path = collectionPath(API_VERSION, options.namespace, PLURAL);
    this.#logs = collectionPath('v1', options.namespace, 'configmaps');
    this.#unsettled = new UnsettledWrites(options.clock, WRITE_TIMEOUT_MS);
  }

  /** Page by page, so that a restart with thousands of records holds no more than one page beside them. */
  async *list(): AsyncGenerator<StoredJob | UnreadableJob, void> {
    await this.#unsettled.allSettled();
    let next: string | undefined;
    const told = new Set<string>();
    for (;;) {
      let page: KubernetesList<KubernetesObject>;
      try {
        page = await this.#o.api.request({
          path: this.#path,
          query: {
            labelSelector: `${GATEWAY_LABEL}=${this.#o.gateway}`,
            limit: PAGE,
            continue: next,
          },
        });
      } catch (error) {
        // The snapshot got too old for its last pages: another one, without what was told already.
        if (!(error instanceof KubernetesError && error.isExpired) || next === undefined)
          throw error;
        next = undefined;
        continue;
      }
      for (const object of page.items) {
        const { name } = object.metadata;
        if (told.has(name)) continue;
        told.add(name);
        yield decoded(object);
      }
      next = page.metadata.continue;
      if (next === undefined || next === '') return;
    }
  }

  async read(id: string): Promise<StoredJob | undefined> {
    await this.#unsettled.settled(id);
    try {
      return storedOf(await this.#o.api.request<KubernetesObject>({ path: this.#at(id) }));
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  async write(record: JobRecord, version: string | undefined): Promise<string> {
    const { id } = record.job;
    const { job, status } = encodeJob(record);
    const previous = version === undefined ? undefined : parseVersion(version);
    const next = { ...status, revision: (previous?.revision ?? 0) + 1 };
    try {
      const answer = await this.#unsettled.track(id, () =>
        previous
          ? this.#o.api.request<StoredObject>({
              method: 'PATCH',
              path: this.#at(id),
              contentType: JSON_PATCH,
              timeoutMs: WRITE_TIMEOUT_MS,
              body: [
                { op: 'test', path: '/metadata/uid', value: previous.uid },
                { op: 'test', path: '/status/revision', value: previous.revision },
                { op: 'test', path: '/status/epoch', value: previous.epoch },
                { op: 'replace', path: '/status', value: next },
              ],
            })
          : this.#o.api.request<StoredObject>({
              method: 'POST',
              path: this.#path,
              timeoutMs: WRITE_TIMEOUT_MS,
              body: {
                apiVersion: API_VERSION,
                kind: KIND,
                metadata: {
                  name: id,
                  labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [GATEWAY_LABEL]: this.#o.gateway },
                },
                job,
                status: next,
              },
            }),
      );
      return versionOf(answer);
    } catch (error) {
      // A failed `test` of a JSON Patch is 422, and so is a refusal by the schema.
      const mayBeTest = previous !== undefined && hasStatus(error, 422);
      if (mayBeTest && (await this.read(id))?.version === version) throw error;
      const isConflict = hasStatus(error, 409) || (previous !== undefined && hasStatus(error, 404));
      if (isConflict || mayBeTest) throw jobChangedByAnother(id, error);
      throw error;
    }
  }

  async delete(id: string, version: string): Promise<void> {
    try {
      const found = await this.#o.api.request<StoredObject>({ path: this.#at(id) });
      if (versionOf(found) !== version) throw jobChangedByAnother(id);
      const { uid, resourceVersion } = found.metadata;
      await this.#unsettled.track(id, () =>
        this.#o.api.request({
          method: 'DELETE',
          path: this.#at(id),
          timeoutMs: WRITE_TIMEOUT_MS,
          body: {
            apiVersion: 'v1',
            kind: 'DeleteOptions',
            preconditions: { uid, resourceVersion },
          },
        }),
      );
    } catch (error) {
      if (hasStatus(error, 409)) throw jobChangedByAnother(id, error);
      if (!hasStatus(error, 404)) throw error;
    }
    await this.#deleteLog(id);
  }

  async readLog(id: string): Promise<Uint8Array | undefined> {
    try {
      const found = await this.#o.api.request<{ binaryData?: Record<string, string> }>({
        path: this.#logAt(id),
      });
      const log = found.binaryData?.[LOG_KEY];
      return log === undefined ? undefined : Buffer.from(log, 'base64');
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  /** In a ConfigMap that its record owns: records stay small, and whoever deletes one deletes both. */
  async writeLog(id: string, log: Uint8Array): Promise<void> {
    const binaryData = { [LOG_KEY]: Buffer.from(log).toString('base64') };
    try {
      await this.#o.api.request({
        method: 'PATCH',
        path: this.#logAt(id),
        contentType: MERGE_PATCH,
        body: { binaryData },
      });
    } catch (error) {
      if (!hasStatus(error, 404)) throw error;
      const { metadata } = await this.#o.api.request<KubernetesObject>({ path: this.#at(id) });
      const { name, uid = '' } = metadata;
      await this.#o.api.request({
        method: 'POST',
        path: this.#logs,
        body: {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: {
            name: logName(id),
            labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [GATEWAY_LABEL]: this.#o.gateway },
            ownerReferences: [{ apiVersion: API_VERSION, kind: KIND, name, uid }],
          },
          binaryData,
        },
      });
    }
  }

  /** Of each record no more is kept than its version. */
  watch(changed: (id: string, version: string | undefined) => void): () => void {
    const { api, clock, logger, gateway } = this.#o;
    let known = new Set<string>();
    const reflector = new Reflector<{ readonly id: string; readonly version: string }>({
      api,
      path: this.#path,
      labelSelector: `${GATEWAY_LABEL}=${gateway}`,
      keep: (object) => ({ id: object.metadata.name, version: seenVersion(object) }),
      clock,
      logger,
      onChange: (change) => {
        if (change) {
          const { before, after } = change;
          if (after) known.add(after.id);
          else if (before) known.delete(before.id);
          const id = (after ?? before)?.id;
          if (id !== undefined) changed(id, after?.version);
          return;
        }
        if (reflector.problem !== undefined) return;
        const now = [...reflector.values()];
        const ids = new Set(now.map(({ id }) => id));
        const gone = [...known].filter((id) => !ids.has(id));
        known = ids;
        for (const { id, version } of now) changed(id, version);
        for (const id of gone) changed(id, undefined);
      },
    });
    reflector.start();
    return () => void reflector.stop();
  }

  async #deleteLog(id: string): Promise<void> {
    try {
      await this.#o.api.request({ method: 'DELETE', path: this.#logAt(id) });
    } catch (error) {
      if (!hasStatus(error, 404)) throw error;
    }
  }

  #at(id: string): string {
    return `${this.#path}/${encodeURIComponent(id)}`;
  }

  #logAt(id: string): string {
    return `${this.#logs}/${logName(encodeURIComponent(id))}`;
  }
}

function logName(id: string): string {
  return `${id}-log`;
}

function decoded(object: KubernetesObject): StoredJob | UnreadableJob {
  try {
    return storedOf(object);
  } catch (error) {
    const { name } = object.metadata;
    return { id: name, problem: `SparkBatch ${name}: ${reasonOf(error)}` };
  }
}

/** Throws RecordSchemaError. */
function storedOf(object: KubernetesObject): StoredJob {
  const record = decodeJob(object);
  if (record.job.id !== object.metadata.name) throw new RecordSchemaError('job.id is not its name');
  return { record, version: versionOf(object) };
}

/** A version names the object itself, so that one made anew under the same name is another. */
function versionOf(object: KubernetesObject): string {
  const version = seenVersion(object);
  if (version === '') throw new RecordSchemaError('status.revision or status.epoch is missing');
  return version;
}

function seenVersion(object: KubernetesObject): string {
  const status = 'status' in object && isObject(object.status) ? object.status : {};
  const { revision, epoch } = status;
  if (typeof revision !== 'number' || typeof epoch !== 'number') return '';
  return `${object.metadata.uid ?? ''}/${revision}/${epoch}`;
}

function parseVersion(version: string) {
  const [uid = '', revision, epoch] = version.split('/');
  return { uid, revision: Number(revision), epoch: Number(epoch) };
}
