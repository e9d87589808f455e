/**
 * A job as the operator's SparkApplication (sparkoperator.k8s.io/v1beta2), and the ConfigMap that holds
 * its job file. Pure: equal jobs make equal objects.
 *
 * What matters of the pods goes through Spark's own pod templates (`driver.template`), with a container
 * of the name that Spark looks for: most other fields are added by the operator's webhook, and where
 * that is missing pods come up without them. Neither the service account, nor images, nor the namespace
 * stand in `sparkConf`: the operator's admission refuses them there.
 */
import { createHash } from 'node:crypto';
import type { GatewayKey } from '../../lib/kubernetes/ownership.js';
import { GatewayError } from '../../model/errors.js';
import { labelValueOf } from '../../manifest/ids.js';
import type { JobToRun } from '../backend.js';
import {
  configMapName,
  CONTENT_ANNOTATION,
  ENVIRONMENT_LABEL,
  JOB_NAME_LABEL,
  jobLabels,
  jobSignature,
  TEAM_LABEL,
  USER_LABEL,
} from './job-names.js';

export type RawObject = Readonly<Record<string, unknown>>;

/** What the settings say of every job. */
export interface ApplicationSettings {
  readonly gateway: string;
  readonly key: GatewayKey;
  /** By the version that manifests name. */
  readonly images: Readonly<Record<string, string>>;
  readonly imagePullPolicy: string;
  readonly serviceAccount: string;
  readonly sparkConf: Readonly<Record<string, string>>;
  /** Further settings of Spark, by the names that the policy calls templates. */
  readonly templates: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly catalog:
    { readonly name: string; readonly uri: string; readonly tokenSecret: string } | undefined;
  /** Where people find Spark's page of a job that runs, with {namespace} and {job_id}. */
  readonly uiUrl: string | undefined;
}

export const SPARK_API = 'sparkoperator.k8s.io/v1beta2';
export const SPARK_APPLICATION = 'SparkApplication';

/** https://github.com/apache/spark/blob/master/docs/running-on-kubernetes.md#pod-template. */
const DRIVER_CONTAINER = 'spark-kubernetes-driver';
const EXECUTOR_CONTAINER = 'spark-kubernetes-executor';
const PROGRAM = 'local:///opt/spark/work-dir/coreetl_runner.py';
const JOB_FOLDER = '/opt/spark/job';
export const JOB_FILE_KEY = 'job.json.gz';
const JOB_VOLUME = 'coreetl-job';
/** Read by coreetl_runner.py, which gives it to the catalog. */
const CATALOG_TOKEN_VARIABLE = 'UNITY_CATALOG_TOKEN';
/**
 * Both intervals must be there: without one the operator finds no time for the next attempt, and the
 * application stays FAILING for ever.
 */
const RETRY = {
  type: 'OnFailure',
  onFailureRetries: 2,
  onFailureRetryInterval: 30,
  onSubmissionFailureRetries: 3,
  onSubmissionFailureRetryInterval: 20,
} as const;
/** Beyond the job's own deadline: the fence for when no control plane is there to end it. */
const POD_DEADLINE_MARGIN_SECONDS = 600;

const restrictedContainer = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  runAsNonRoot: true,
  seccompProfile: { type: 'RuntimeDefault' },
};
/** 185 is the user of Spark's own image. */
const restrictedPod = {
  runAsNonRoot: true,
  runAsUser: 185,
  runAsGroup: 185,
  fsGroup: 185,
  seccompProfile: { type: 'RuntimeDefault' },
};

/** Throws BATCH_REFUSED where the settings have none for the job's version of Spark. */
export function imageOf(job: JobToRun, { images, templates }: ApplicationSettings): string {
  const { engineVersion, template } = job;
  if (template !== undefined && !Object.hasOwn(templates, template)) {
    throw new GatewayError(
      'BATCH_REFUSED',
      `The policy names the template ${template}, and batch.kubernetes.templates of the settings has ${Object.keys(templates).join(', ') || 'none'}.`,
    );
  }
  const image = job.image ?? images[engineVersion];
  if (image !== undefined) return image;
  throw new GatewayError(
    'BATCH_REFUSED',
    `There is no image for Spark ${engineVersion}: batch.images of the settings names ${Object.keys(images).join(', ') || 'none'}.`,
  );
}

export function jobConfigMap(
  job: JobToRun,
  { gateway, key }: Pick<ApplicationSettings, 'gateway' | 'key'>,
): RawObject {
  const { id, namespace, jobFile } = job;
  const name = configMapName(id);
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name,
      namespace,
      labels: jobLabels(gateway, id),
      annotations: {
        ...jobSignature(key, 'ConfigMap', namespace, name),
        [CONTENT_ANNOTATION]: contentHash(jobFile),
      },
    },
    immutable: true,
    binaryData: { [JOB_FILE_KEY]: Buffer.from(jobFile).toString('base64') },
  };
}

export function contentHash(jobFile: Uint8Array): string {
  return createHash('sha256').update(jobFile).digest('hex');
}

export function sparkApplicationOf(
  job: JobToRun,
  image: string,
  settings: ApplicationSettings,
): RawObject {
  const { id, namespace, resources } = job;
  const { driver, executor, dynamicAllocation } = resources;
  const { gateway, key, serviceAccount } = settings;
  const labels = { ...jobLabels(gateway, id), ...describing(job) };
  const annotations = originals(job);
  return {
    apiVersion: SPARK_API,
    kind: SPARK_APPLICATION,
    metadata: {
      name: id,
      namespace,
      labels,
      annotations: { ...annotations, ...jobSignature(key, SPARK_APPLICATION, namespace, id) },
    },
    spec: {
      type: 'Python',
      pythonVersion: '3',
      mode: 'cluster',
      image,
      imagePullPolicy: settings.imagePullPolicy,
      mainApplicationFile: PROGRAM,
      arguments: ['--job', `${JOB_FOLDER}/${JOB_FILE_KEY}`],
      sparkVersion: job.engineVersion,
      restartPolicy: job.retries ? RETRY : { type: 'Never' },
      timeToLiveSeconds: job.ttlSeconds,
      sparkConf: sparkConfOf(job, settings),
      ...(dynamicAllocation
        ? {
            dynamicAllocation: {
              enabled: true,
              initialExecutors: executor.instances,
              minExecutors: dynamicAllocation.minExecutors,
              maxExecutors: dynamicAllocation.maxExecutors,
              shuffleTrackingEnabled: true,
            },
          }
        : {}),
      driver: {
        cores: driver.cores,
        memory: driver.memory,
        serviceAccount,
        labels,
        annotations,
        template: { spec: driverPod(job, settings) },
      },
      executor: {
        cores: executor.cores,
        memory: executor.memory,
        instances: executor.instances,
        serviceAccount,
        labels,
        annotations,
        template: {
          spec: {
            securityContext: restrictedPod,
            containers: [{ name: EXECUTOR_CONTAINER, securityContext: restrictedContainer }],
          },
        },
      },
    },
  };
}

/** Where people find Spark's page of a job while it runs. */
export function uiUrlOf(
  { namespace, id }: { readonly namespace: string; readonly id: string },
  { uiUrl }: Pick<ApplicationSettings, 'uiUrl'>,
): string | undefined {
  return uiUrl?.replaceAll('{namespace}', namespace).replaceAll('{job_id}', id);
}

function sparkConfOf(job: JobToRun, settings: ApplicationSettings): Record<string, string> {
  const { catalog, sparkConf, templates } = settings;
  const page = uiUrlOf(job, settings);
  const path = page === undefined ? '' : new URL(page).pathname.replace(/\/+$/, '');
  return {
    ...sparkConf,
    ...(job.template === undefined ? {} : templates[job.template]),
    'spark.app.name': job.id,
    // Behind a path its own links and redirects need it.
    ...(path === '' ? {} : { 'spark.ui.proxyBase': path }),
    ...(catalog
      ? {
          [`spark.sql.catalog.${catalog.name}`]: 'io.unitycatalog.spark.UCSingleCatalog',
          [`spark.sql.catalog.${catalog.name}.uri`]: catalog.uri,
        }
      : {}),
  };
}

function driverPod(job: JobToRun, { catalog }: ApplicationSettings): RawObject {
  return {
    activeDeadlineSeconds: job.ttlSeconds + POD_DEADLINE_MARGIN_SECONDS,
    securityContext: restrictedPod,
    containers: [
      {
        name: DRIVER_CONTAINER,
        env: catalog
          ? [
              {
                name: CATALOG_TOKEN_VARIABLE,
                valueFrom: { secretKeyRef: { name: catalog.tokenSecret, key: 'token' } },
              },
            ]
          : [],
        volumeMounts: [{ name: JOB_VOLUME, mountPath: JOB_FOLDER, readOnly: true }],
        securityContext: restrictedContainer,
      },
    ],
    volumes: [{ name: JOB_VOLUME, configMap: { name: configMapName(job.id) } }],
  };
}

/** For people and for selectors: legal whatever the originals are. */
function describing({ team, environment, user, jobName }: JobToRun): Record<string, string> {
  return {
    [TEAM_LABEL]: labelValueOf(team),
    [ENVIRONMENT_LABEL]: labelValueOf(environment),
    [USER_LABEL]: labelValueOf(user),
    ...(jobName === '' ? {} : { [JOB_NAME_LABEL]: labelValueOf(jobName) }),
  };
}

function originals({ team, environment, user, jobName }: JobToRun): Record<string, string> {
  return {
    [TEAM_LABEL]: team,
    [ENVIRONMENT_LABEL]: environment,
    [USER_LABEL]: user,
    ...(jobName === '' ? {} : { [JOB_NAME_LABEL]: jobName }),
  };
}
