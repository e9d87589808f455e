/** Driver records as custom resources (SparkDriver) in the gateway's own namespace. */
import pLimit from 'p-limit';
import type { Logger } from 'pino';
import { JSON_PATCH, type KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import { hasStatus, KubernetesError } from '../../lib/kubernetes/http.js';
import type { KubernetesList, KubernetesObject } from '../../lib/kubernetes/objects.js';
import { GATEWAY_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../lib/kubernetes/ownership.js';
import { UnsettledWrites } from '../../lib/kubernetes/unsettled-writes.js';
import type { Clock } from '../../model/clock.js';
import type { DriverRecord } from '../../model/driver.js';
import { GatewayError, reasonOf } from '../../model/errors.js';
import type { RecordStore, StoredRecord } from '../../model/ledger.js';
import {
  API_VERSION,
  decodeRecord,
  DRIVER_NAMESPACE_LABEL,
  encodeDriver,
  encodeStatus,
  isOfAnotherGateway,
  KIND,
  type StoredObject,
} from './kubernetes-codec.js';
import { changedByAnother } from './record-schema.js';

export interface KubernetesStoreOptions {
  readonly api: Pick<KubernetesApi, 'request'>;
  /** The gateway's own namespace. */
  readonly namespace: string;
  /** Its name, where several gateways share the namespace: another's records are left alone. */
  readonly gateway?: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** An object that could not be read as a record; it is left as it is. */
export interface UnreadableObject {
  /** The driver it is the record of, by its name. */
  readonly uid: string;
  readonly problem: string;
}

const PAGE = 500;
const READS_AT_ONCE = 32;
/** The API server gives a write up after this long. */
const WRITE_TIMEOUT_MS = 5_000;
/** etcd takes requests of up to 1.5 MiB; a patch holds the record and what it is compared with. */
const LARGEST_RECORD_BYTES = 1_000_000;
/** A snapshot that is read page by page may get too old for its last page. */
const LIST_ATTEMPTS = 3;

export class KubernetesRecordStore implements RecordStore {
  readonly #options: KubernetesStoreOptions;
  readonly #path: string;
  readonly #unsettled: UnsettledWrites;
  readonly #readInTurn = pLimit(READS_AT_ONCE);
  #unreadable: readonly UnreadableObject[] = [];

  constructor(options: KubernetesStoreOptions) {
    this.#options = options;
    this.#path = `/apis/${API_VERSION}/namespaces/${options.namespace}/sparkdrivers`;
    this.#unsettled = new UnsettledWrites(options.clock, WRITE_TIMEOUT_MS);
  }

  /** One consistent snapshot. An object that is no record is reported and left out. */
  async list(): Promise<readonly StoredRecord[]> {
    await this.#unsettled.allSettled();
    for (let attempt = 1; ; attempt += 1) {
      try {
        return this.#decodeAll(await this.#listAll());
      } catch (error) {
        const expired = error instanceof KubernetesError && error.isExpired;
        if (!expired || attempt === LIST_ATTEMPTS) throw error;
      }
    }
  }

  /** What the last `list` had to leave out. Nobody knows whose memory those drivers hold: they must take no session. */
  unreadable(): readonly UnreadableObject[] {
    return this.#unreadable;
  }

  /** Throws RecordSchemaError for an object that is no record. */
  async read(uid: string): Promise<StoredRecord | undefined> {
    await this.#unsettled.settled(uid);
    try {
      const found = await this.#readInTurn(() => this.#options.api.request(this.#at(uid)));
      const { record, stored } = decodeRecord(found);
      return { record, version: versionOf(stored) };
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  async write(record: DriverRecord, version: string | undefined): Promise<string> {
    const previous = version === undefined ? undefined : parseVersion(version);
    const revision = (previous?.revision ?? 0) + 1;
    const driver = encodeDriver(record);
    const status = encodeStatus(record, revision);
    refuseTooLarge(record, { driver, status });
    const { gateway } = this.#options;
    const answer = await this.#send(record.uid, version, () =>
      previous
        ? this.#options.api.request<StoredObject>({
            ...this.#at(record.uid),
            method: 'PATCH',
            contentType: JSON_PATCH,
            timeoutMs: WRITE_TIMEOUT_MS,
            body: [
              { op: 'test', path: '/metadata/uid', value: previous.object },
              { op: 'test', path: '/driver/uid', value: record.uid },
              { op: 'test', path: '/status/revision', value: previous.revision },
              { op: 'test', path: '/status/epoch', value: previous.epoch },
              { op: 'replace', path: '/driver', value: driver },
              { op: 'replace', path: '/status', value: status },
            ],
          })
        : this.#options.api.request<StoredObject>({
            method: 'POST',
            path: this.#path,
            timeoutMs: WRITE_TIMEOUT_MS,
            body: {
              apiVersion: API_VERSION,
              kind: KIND,
              metadata: {
                name: record.uid,
                labels: {
                  [MANAGED_BY_LABEL]: MANAGED_BY,
                  ...(gateway === undefined ? {} : { [GATEWAY_LABEL]: gateway }),
                  [DRIVER_NAMESPACE_LABEL]: record.namespace,
                },
              },
              driver,
              status,
            },
          }),
    );
    return versionOf(answer);
  }

  async delete(uid: string, version: string): Promise<void> {
    try {
      const found = await this.#options.api.request<StoredObject>(this.#at(uid));
      if (versionOf(found) !== version) throw changedByAnother(uid);
      const { uid: object, resourceVersion } = found.metadata;
      await this.#unsettled.track(uid, () =>
        this.#options.api.request({
          ...this.#at(uid),
          method: 'DELETE',
          timeoutMs: WRITE_TIMEOUT_MS,
          body: {
            apiVersion: 'v1',
            kind: 'DeleteOptions',
            preconditions: { uid: object, resourceVersion },
          },
        }),
      );
    } catch (error) {
      if (hasStatus(error, 409)) throw changedByAnother(uid, error);
      if (!hasStatus(error, 404)) throw error;
    }
  }

  async #send(
    uid: string,
    version: string | undefined,
    request: () => Promise<StoredObject>,
  ): Promise<StoredObject> {
    try {
      return await this.#unsettled.track(uid, request);
    } catch (error) {
      // A failed `test` of a JSON Patch is 422, and so is a refusal by the schema.
      const unclear = hasStatus(error, 422) && (await this.#isAt(uid, version));
      const exists = version === undefined && hasStatus(error, 409);
      const changed = hasStatus(error, 404) || hasStatus(error, 409) || hasStatus(error, 422);
      if (exists || (changed && !unclear)) {
        throw changedByAnother(uid, error);
      }
      throw error;
    }
  }

  /** Whether the object still is at this version, so that a refusal has another reason. */
  async #isAt(uid: string, version: string | undefined): Promise<boolean> {
    return (await this.read(uid))?.version === version;
  }

  async #listAll(): Promise<KubernetesObject[]> {
    const objects: KubernetesObject[] = [];
    let next: string | undefined;
    for (;;) {
      const page: KubernetesList<KubernetesObject> = await this.#options.api.request({
        path: this.#path,
        query: { limit: PAGE, continue: next },
      });
      objects.push(...page.items);
      next = page.metadata.continue;
      if (next === undefined || next === '') return objects;
    }
  }

  #decodeAll(objects: readonly KubernetesObject[]): StoredRecord[] {
    const records: StoredRecord[] = [];
    const unreadable: UnreadableObject[] = [];
    for (const object of objects) {
      if (isOfAnotherGateway(object, this.#options.gateway)) continue;
      try {
        const { record, stored } = decodeRecord(object);
        records.push({ record, version: versionOf(stored) });
      } catch (error) {
        const { name: uid } = object.metadata;
        const problem = reasonOf(error);
        unreadable.push({ uid, problem });
        this.#options.logger.error(
          { driver: uid, problem },
          'a SparkDriver is no record that the gateway can read; its driver must take no session until it is corrected or deleted',
        );
      }
    }
    this.#unreadable = unreadable;
    return records;
  }

  #at(uid: string): { readonly path: string } {
    return { path: `${this.#path}/${encodeURIComponent(uid)}` };
  }
}

/** A version names the object itself, so that one made anew under the same name is another. */
function versionOf({ metadata, status }: StoredObject): string {
  return `${metadata.uid ?? ''}/${status.revision}/${status.epoch}`;
}

function parseVersion(version: string) {
  const [object = '', revision, epoch] = version.split('/');
  return { object, revision: Number(revision), epoch: Number(epoch) };
}

function refuseTooLarge(record: DriverRecord, value: unknown): void {
  const bytes = Buffer.byteLength(JSON.stringify(value));
  if (bytes <= LARGEST_RECORD_BYTES) return;
  throw new GatewayError(
    'RECORD_FULL',
    `Driver ${record.uid} holds ${Object.keys(record.sessions).length} sessions and remembers ${Object.keys(record.tombstones).length} ended ones: its record has no room for more. Ask for a driver of another pool, or try again later.`,
  );
}
