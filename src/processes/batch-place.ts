/** Where batch jobs are recorded and run: in clusters, or on this machine. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { BatchBackend } from '../batch/backend.js';
import { KubernetesBatchBackend } from '../batch/kubernetes/kubernetes-backend.js';
import type { ApplicationSettings } from '../batch/kubernetes/spark-application.js';
import { FileJobStore } from '../batch/records/file-job-store.js';
import type { JobStore } from '../batch/records/job-store.js';
import { KubernetesJobStore } from '../batch/records/kubernetes-job-store.js';
import type { Clock } from '../model/clock.js';
import type { ProblemSource } from '../model/fleet-problem.js';
import type { Leadership } from '../model/ledger.js';
import type { Settings } from '../settings/table.js';
import { sparkConfOf } from '../settings/types.js';
import { openLocalJobs } from './batch-local.js';
import { batchOutputUrl } from './batch-output.js';
import type { KubernetesAccess } from './kubernetes.js';

/** Where jobs are recorded and run. */
export interface BatchPlace extends ProblemSource {
  readonly store: JobStore;
  /** The nearest first. */
  readonly backends: readonly BatchBackend[];
  /** Ends with "/". */
  readonly outputUrl: string;
}

interface Context {
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Jobs as applications of the Spark operator, recorded where the gateway's own records are. undefined: batch.output_url is not set. Looks at the clusters from now on. */
export function openKubernetesBatch(
  { batch }: Settings,
  { clusters, home, namespace, gateway, key }: KubernetesAccess,
  context: Context,
): BatchPlace | undefined {
  const { outputUrl, kubernetes, images, uiUrl } = batch;
  if (outputUrl === undefined) return undefined;
  const { catalogName: name, catalogUri: uri, catalogTokenSecret: tokenSecret } = kubernetes;
  const settings: ApplicationSettings = {
    gateway,
    key,
    images,
    imagePullPolicy: kubernetes.imagePullPolicy,
    serviceAccount: kubernetes.serviceAccount,
    sparkConf: kubernetes.sparkConf,
    templates: Object.fromEntries(
      Object.entries(kubernetes.templates).map(([template, conf]) => [template, sparkConfOf(conf)]),
    ),
    catalog: uri === undefined ? undefined : { name, uri, tokenSecret },
    uiUrl,
  };
  const { clock, logger } = context;
  const backends = clusters.map(
    (cluster) =>
      new KubernetesBatchBackend({
        name: cluster.name,
        api: cluster.api,
        namespaces: kubernetes.namespaces.length === 0 ? undefined : kubernetes.namespaces,
        settings,
        ...context,
      }),
  );
  for (const backend of backends) backend.start();
  return {
    store: new KubernetesJobStore({ api: home.api, namespace, gateway, clock, logger }),
    backends,
    outputUrl,
    *problems() {
      for (const backend of backends) yield* backend.problems();
    },
  };
}

/** Jobs as processes of this machine. */
export async function openLocalBatch(
  settings: Settings,
  context: Context,
): Promise<BatchPlace | undefined> {
  if (settings.drivers.source !== 'local') return undefined;
  const folder = join(settings.stateDir, 'batch');
  return {
    store: await FileJobStore.open(join(folder, 'records')),
    backends: [openLocalJobs(settings, context)],
    outputUrl: batchOutputUrl(settings) ?? '',
    problems: () => [],
  };
}
