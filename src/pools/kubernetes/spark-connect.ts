/** A driver as the operator's SparkConnect (sparkoperator.k8s.io/v1alpha1). Pure. */
import {
  DRIVER_CONTAINER,
  env,
  podAnnotations,
  podLabels,
  podSecurityContext,
  ports,
  present,
  readinessProbe,
  restrictedContainer,
  sidecars,
  volumeMounts,
  volumes,
} from './driver-pod.js';
import { dynamicAllocation, sparkConf } from './spark-conf.js';
import type { DriverRequest, DriverTemplate, RawObject } from './template.js';

export function sparkConnect(template: DriverTemplate, request: DriverRequest): RawObject {
  const { name, namespace, ownershipLabels, annotations } = request;
  return {
    apiVersion: 'sparkoperator.k8s.io/v1alpha1',
    kind: 'SparkConnect',
    metadata: { name, namespace, labels: ownershipLabels, annotations },
    spec: present({
      sparkVersion: template.sparkVersion,
      image: template.image,
      sparkConf: sparkConf(template),
      hadoopConf: template.hadoopConf,
      dynamicAllocation: dynamicAllocation(template),
      server: {
        ...template.driver,
        template: {
          metadata: {
            labels: podLabels(template, request),
            annotations: podAnnotations(template),
          },
          spec: serverPod(template, request),
        },
      },
      executor: {
        ...template.executor,
        template: {
          metadata: { labels: { ...template.labels, ...request.podLabels } },
          spec: {
            ...placement(template),
            containers: [
              present({
                name: 'spark-kubernetes-executor',
                imagePullPolicy: template.imagePullPolicy,
                securityContext: restrictedContainer,
              }),
            ],
          },
        },
      },
    }),
  };
}

function serverPod(template: DriverTemplate, request: DriverRequest): RawObject {
  return present({
    // A driver that ended has lost its sessions: a new one is made instead.
    restartPolicy: 'Never',
    ...placement(template),
    containers: [
      present({
        name: DRIVER_CONTAINER,
        image: template.image,
        imagePullPolicy: template.imagePullPolicy,
        env: env(template, request),
        ports,
        readinessProbe,
        volumeMounts: volumeMounts(template),
        resources: {
          requests: {
            cpu: String(template.driver.cores),
            memory: quantity(template.driver.memory),
          },
          limits: { memory: quantity(template.driver.memory, 1.4) },
        },
        securityContext: restrictedContainer,
      }),
      ...sidecars(template),
    ],
    volumes: volumes(template),
  });
}

function placement(template: DriverTemplate): RawObject {
  return present({
    serviceAccountName: template.serviceAccount,
    imagePullSecrets: template.imagePullSecrets?.map((name) => ({ name })),
    nodeSelector: template.nodeSelector,
    tolerations: template.tolerations,
    affinity: template.affinity,
    priorityClassName: template.priorityClass,
    securityContext: podSecurityContext(template),
  });
}

/** Spark's `4g` as Kubernetes' `4096Mi`; the limit leaves room for what is not heap. */
function quantity(memory: string, factor = 1): string {
  const match = /^(\d+)([kmgt])b?$/i.exec(memory);
  if (!match) return memory;
  const mebibytes = { k: 1 / 1024, m: 1, g: 1024, t: 1024 * 1024 }[match[2]?.toLowerCase() ?? 'm'];
  return `${Math.ceil(Number(match[1]) * (mebibytes ?? 1) * factor)}Mi`;
}
