/** Makes what a job needs in a cluster: its ConfigMap, then its SparkApplication, which then owns the former. */
import { type KubernetesApi, MERGE_PATCH } from '../../lib/kubernetes/kubernetes-api.js';
import { hasStatus } from '../../lib/kubernetes/http.js';
import { collectionPath, type KubernetesObject } from '../../lib/kubernetes/objects.js';
import { GatewayError } from '../../model/errors.js';
import type { JobToRun } from '../backend.js';
import { configMapName, CONTENT_ANNOTATION, isOwnJobObject } from './job-names.js';
import { asGatewayError } from './kubernetes-errors.js';
import {
  type ApplicationSettings,
  contentHash,
  imageOf,
  jobConfigMap,
  type RawObject,
  SPARK_API,
  SPARK_APPLICATION,
  sparkApplicationOf,
} from './spark-application.js';

const TIMEOUT_MS = 10_000;

export class JobMaker {
  readonly #api: Pick<KubernetesApi, 'request'>;
  readonly #settings: ApplicationSettings;

  constructor(options: {
    readonly api: Pick<KubernetesApi, 'request'>;
    readonly settings: ApplicationSettings;
  }) {
    this.#api = options.api;
    this.#settings = options.settings;
  }

  /** Each step may have been done before. */
  async create(job: JobToRun): Promise<void> {
    const image = imageOf(job, this.#settings);
    let isRefused = false;
    try {
      await this.#configMap(job);
      isRefused = true;
      const application = await this.#make(
        collectionPath(SPARK_API, job.namespace, 'sparkapplications'),
        job.id,
        SPARK_APPLICATION,
        sparkApplicationOf(job, image, this.#settings),
      );
      await this.#own(job, application);
    } catch (error) {
      const known = asGatewayError(error);
      if (isRefused && known.code === 'BATCH_REFUSED') await this.#takeBack(job);
      throw known;
    }
  }

  async #configMap(job: JobToRun): Promise<void> {
    const path = collectionPath('v1', job.namespace, 'configmaps');
    const name = configMapName(job.id);
    const made = await this.#make(path, name, 'ConfigMap', jobConfigMap(job, this.#settings));
    if (made.metadata.annotations?.[CONTENT_ANNOTATION] === contentHash(job.jobFile)) return;
    // It is what a job of this id that was forgotten long ago has left.
    await this.#delete(`${path}/${name}`, made.metadata.uid);
    await this.#make(path, name, 'ConfigMap', jobConfigMap(job, this.#settings));
  }

  /** The object that is there now. One of that name which is not ours rejects with JOB_EXISTS. */
  async #make(
    path: string,
    name: string,
    kind: string,
    body: RawObject,
  ): Promise<KubernetesObject> {
    try {
      return await this.#api.request({ method: 'POST', path, body, timeoutMs: TIMEOUT_MS });
    } catch (error) {
      if (!hasStatus(error, 409)) throw error;
    }
    const found = await this.#api.request<KubernetesObject>({ path: `${path}/${name}` });
    if (isOwnJobObject(this.#settings.key, kind, found)) return found;
    throw new GatewayError(
      'JOB_EXISTS',
      `There is a ${kind} ${name} in the namespace that the gateway did not make.`,
    );
  }

  /** Goes with the application, whoever deletes that. */
  async #own(job: JobToRun, application: KubernetesObject): Promise<void> {
    const { name, uid = '' } = application.metadata;
    await this.#api.request({
      method: 'PATCH',
      path: `${collectionPath('v1', job.namespace, 'configmaps')}/${configMapName(job.id)}`,
      contentType: MERGE_PATCH,
      timeoutMs: TIMEOUT_MS,
      body: {
        metadata: {
          ownerReferences: [{ apiVersion: SPARK_API, kind: SPARK_APPLICATION, name, uid }],
        },
      },
    });
  }

  async #takeBack(job: JobToRun): Promise<void> {
    const path = `${collectionPath('v1', job.namespace, 'configmaps')}/${configMapName(job.id)}`;
    await this.#delete(path, undefined).catch(() => undefined);
  }

  async #delete(path: string, uid: string | undefined): Promise<void> {
    try {
      await this.#api.request({
        method: 'DELETE',
        path,
        timeoutMs: TIMEOUT_MS,
        body: {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          ...(uid === undefined ? {} : { preconditions: { uid } }),
        },
      });
    } catch (error) {
      if (!hasStatus(error, 404) && !hasStatus(error, 409)) throw error;
    }
  }
}
