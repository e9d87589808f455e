/**
 * A driver as the operator's SparkApplication (sparkoperator.k8s.io/v1beta2). Spark's own Connect
 * server cannot be submitted in cluster mode, so a program that stays alive loads Spark Connect as a
 * plugin. Pure.
 *
 * All that matters of the pods goes through Spark's own pod templates (`driver.template`): most other
 * fields of `driver` and `executor` are added by the operator's webhook, and where that is missing the
 * pods come up without them, the token and the security context among them.
 */
import { GatewayError } from '../../model/errors.js';
import {
  DRIVER_CONTAINER,
  env,
  EXECUTOR_CONTAINER,
  placement,
  podAnnotations,
  podLabels,
  ports,
  present,
  readinessProbe,
  restrictedContainer,
  sidecars,
  volumeMounts,
  volumes,
  dynamicAllocation,
  sparkConf,
} from './pod-template.js';
import type { DriverRequest, DriverTemplate, RawObject } from './template.js';

const CONNECT_PLUGIN = 'org.apache.spark.sql.connect.SparkConnectPlugin';
const MAIN_VOLUME = 'spark-gateway-main';

/** Throws SETTINGS_INVALID for a template without a program. */
export function sparkApplication(template: DriverTemplate, request: DriverRequest): RawObject {
  const { name, namespace, ownershipLabels, annotations } = request;
  const { main } = template;
  if (!main) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      'A driver template of the kind SparkApplication needs "main": a program that starts a SparkSession and stays alive.',
    );
  }
  const conf = sparkConf(template, request);
  const plugins = conf['spark.plugins'];
  return {
    apiVersion: 'sparkoperator.k8s.io/v1beta2',
    kind: 'SparkApplication',
    metadata: { name, namespace, labels: ownershipLabels, annotations },
    spec: present({
      type: main.type,
      mode: 'cluster',
      mainApplicationFile: main.file,
      mainClass: main.class,
      arguments: main.arguments,
      sparkVersion: template.sparkVersion,
      image: template.image,
      imagePullPolicy: template.imagePullPolicy,
      imagePullSecrets: template.imagePullSecrets,
      restartPolicy: { type: 'Never' },
      sparkConf: {
        ...conf,
        'spark.plugins': plugins === undefined ? CONNECT_PLUGIN : `${CONNECT_PLUGIN},${plugins}`,
      },
      hadoopConf: template.hadoopConf,
      dynamicAllocation: dynamicAllocation(template),
      // These the operator hands on as settings of Spark, which need no webhook.
      driver: present({
        ...template.driver,
        serviceAccount: template.serviceAccount,
        labels: podLabels(template, request),
        annotations: podAnnotations(template),
        template: { spec: driverPod(template, request) },
      }),
      executor: present({
        ...template.executor,
        serviceAccount: template.serviceAccount,
        labels: { ...template.labels, ...request.podLabels },
        template: {
          spec: {
            ...placement(template),
            containers: [{ name: EXECUTOR_CONTAINER, securityContext: restrictedContainer }],
          },
        },
      }),
    }),
  };
}

function driverPod(template: DriverTemplate, request: DriverRequest): RawObject {
  const config = template.main?.configMap;
  return present({
    ...placement(template),
    containers: [
      present({
        name: DRIVER_CONTAINER,
        env: env(template, request),
        ports,
        readinessProbe,
        volumeMounts: [
          ...volumeMounts(template),
          ...(config ? [{ name: MAIN_VOLUME, mountPath: config.path, readOnly: true }] : []),
        ],
        securityContext: restrictedContainer,
      }),
      ...sidecars(template),
    ],
    volumes: [
      ...volumes(template, request),
      ...(config ? [{ name: MAIN_VOLUME, configMap: { name: config.name } }] : []),
    ],
  });
}

// A driver as the operator's SparkConnect (sparkoperator.k8s.io/v1alpha1). Pure.

export function sparkConnect(template: DriverTemplate, request: DriverRequest): RawObject {
  const { name, namespace, ownershipLabels, annotations } = request;
  return {
    apiVersion: 'sparkoperator.k8s.io/v1alpha1',
    kind: 'SparkConnect',
    metadata: { name, namespace, labels: ownershipLabels, annotations },
    spec: present({
      sparkVersion: template.sparkVersion,
      image: template.image,
      sparkConf: sparkConf(template, request),
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
                name: EXECUTOR_CONTAINER,
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
    volumes: volumes(template, request),
  });
}

/** Spark's `4g` as Kubernetes' `4096Mi`; the limit leaves room for what is not heap. */
function quantity(memory: string, factor = 1): string {
  const match = /^(\d+)([kmgt])b?$/i.exec(memory);
  if (!match) return memory;
  const mebibytes = { k: 1 / 1024, m: 1, g: 1024, t: 1024 * 1024 }[match[2]?.toLowerCase() ?? 'm'];
  return `${Math.ceil(Number(match[1]) * (mebibytes ?? 1) * factor)}Mi`;
}
