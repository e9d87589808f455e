/** Batch jobs as applications of the Spark operator, recorded where the gateway's own records are. */
import type { Logger } from 'pino';
import { KubernetesBatchBackend } from '../batch/kubernetes/kubernetes-backend.js';
import type { ApplicationSettings } from '../batch/kubernetes/spark-application.js';
import { KubernetesJobStore } from '../batch/records/kubernetes-job-store.js';
import type { Clock } from '../model/clock.js';
import type { Leadership } from '../model/ledger.js';
import type { Settings } from '../settings/table.js';
import type { BatchPlace } from './batch.js';
import type { KubernetesAccess } from './kubernetes.js';

interface Context {
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** undefined: batch.output_url is not set. Looks at the clusters from now on. */
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
