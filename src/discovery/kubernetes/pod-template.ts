/** The parts of a driver's pod that both kinds of resource share. Pure. */
import { connectConf, withFence } from '../../model/connect-conf.js';
import { TOKEN_VARIABLE, tokenSecretName } from '../../lib/kubernetes/ownership.js';
import { SPARK_CONNECT_PORT } from '../../model/driver.js';
import {
  bringsFence,
  fenceConfigMapName,
  hasDriverToken,
  type DriverRequest,
  type DriverTemplate,
  type RawObject,
  type SecretKey,
  FENCE_FILE,
  hasFence,
  isSpark4,
} from './template.js';

/** Name that the operator gives the container that Spark runs in. */
export const DRIVER_CONTAINER = 'spark-kubernetes-driver';
export const EXECUTOR_CONTAINER = 'spark-kubernetes-executor';
const LOGS = 'spark-logs';
const LOG_FOLDER = '/opt/spark/logs';
const OTLP_PORT = 4317;
const FENCE = 'driver-fence';
const FENCE_FOLDER = '/opt/spark-gateway/fence';

/**
 * The operator sets `spark-role` itself. The others are what the discovery of this and of earlier
 * gateways selects by.
 */
export function podLabels(template: DriverTemplate, request: DriverRequest) {
  return {
    ...template.labels,
    ...request.podLabels,
    ...request.ownershipLabels,
    'spark-connect': 'enabled',
    'hot-cluster': 'true',
  };
}

/** An eviction would end every session in the driver's memory, so autoscalers are told to keep away. */
export function podAnnotations(template: DriverTemplate) {
  return {
    'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false',
    'karpenter.sh/do-not-disrupt': 'true',
    ...template.annotations,
  };
}

export function env(template: DriverTemplate, request: DriverRequest): RawObject[] {
  const { unityCatalog, openTelemetry } = template;
  const variables: Record<string, string | SecretKey> = {
    ...(openTelemetry ? { OTEL_EXPORTER_OTLP_ENDPOINT: `http://localhost:${OTLP_PORT}` } : {}),
    ...(unityCatalog
      ? { [unityCatalog.tokenEnv ?? 'UNITY_CATALOG_TOKEN']: unityCatalog.token }
      : {}),
    ...template.env,
    ...(hasDriverToken(template)
      ? {
          [TOKEN_VARIABLE]: {
            secret: tokenSecretName(request.name),
            key: 'token',
          },
        }
      : {}),
  };
  return Object.entries(variables).map(([name, value]) =>
    typeof value === 'string'
      ? { name, value }
      : { name, valueFrom: { secretKeyRef: { name: value.secret, key: value.key } } },
  );
}

/** Without it a driver counts as ready before its port listens. */
export const readinessProbe = {
  tcpSocket: { port: SPARK_CONNECT_PORT },
  periodSeconds: 2,
  timeoutSeconds: 1,
  failureThreshold: 5,
};

export const ports = [
  { name: 'spark-connect', containerPort: SPARK_CONNECT_PORT, protocol: 'TCP' },
];

export const restrictedContainer = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  runAsNonRoot: true,
  seccompProfile: { type: 'RuntimeDefault' },
};

/** 185 is the user of Spark's own image. */
function podSecurityContext(template: DriverTemplate): RawObject {
  return (
    template.podSecurityContext ?? {
      runAsNonRoot: true,
      runAsUser: 185,
      runAsGroup: 185,
      fsGroup: 185,
      seccompProfile: { type: 'RuntimeDefault' },
    }
  );
}

/** Where and as whom a pod runs, a driver's or an executor's. */
export function placement(template: DriverTemplate): RawObject {
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

export function volumes(template: DriverTemplate, request: DriverRequest): RawObject[] {
  const { openTelemetry, fluentBit } = template;
  return [
    ...(template.volumes ?? []),
    ...(bringsFence(template) ? [configMapVolume(FENCE, fenceConfigMapName(request.name))] : []),
    ...(openTelemetry ? [configMapVolume('otel-config', openTelemetry.configMap)] : []),
    ...(fluentBit
      ? [configMapVolume('fluent-bit-config', fluentBit.configMap), { name: LOGS, emptyDir: {} }]
      : []),
  ];
}

export function volumeMounts(template: DriverTemplate): RawObject[] {
  return [
    ...(template.volumeMounts ?? []),
    ...(bringsFence(template) ? [{ name: FENCE, mountPath: FENCE_FOLDER, readOnly: true }] : []),
    ...(template.fluentBit ? [{ name: LOGS, mountPath: LOG_FOLDER }] : []),
  ];
}

export function sidecars(template: DriverTemplate): RawObject[] {
  const { openTelemetry, fluentBit } = template;
  return [
    ...(template.sidecars ?? []),
    ...(openTelemetry
      ? [
          {
            name: 'otel-collector',
            image: openTelemetry.image,
            args: ['--config=/etc/otelcol/config.yaml'],
            ports: [{ name: 'otlp-grpc', containerPort: OTLP_PORT, protocol: 'TCP' }],
            volumeMounts: [{ name: 'otel-config', mountPath: '/etc/otelcol', readOnly: true }],
            ...sidecarDefaults,
          },
        ]
      : []),
    ...(fluentBit
      ? [
          {
            name: 'fluent-bit',
            image: fluentBit.image,
            volumeMounts: [
              { name: 'fluent-bit-config', mountPath: '/fluent-bit/etc', readOnly: true },
              { name: LOGS, mountPath: LOG_FOLDER, readOnly: true },
            ],
            ...sidecarDefaults,
          },
        ]
      : []),
  ];
}

const sidecarDefaults = {
  securityContext: restrictedContainer,
  resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { memory: '256Mi' } },
};

function configMapVolume(name: string, configMap: string): RawObject {
  return { name, configMap: { name: configMap } };
}

/** Leaves out what is undefined or empty, which the API server would store. */
export function present(fields: RawObject): RawObject {
  return Object.fromEntries(
    Object.entries(fields).filter(
      ([, value]) =>
        value !== undefined &&
        !(Array.isArray(value) && value.length === 0) &&
        !(
          typeof value === 'object' &&
          value !== null &&
          !Array.isArray(value) &&
          Object.keys(value).length === 0
        ),
    ),
  );
}

// Spark settings that every driver of the gateway has. Pure.

const CLASS_PATH = 'spark.driver.extraClassPath';

/** A driver that forgot a session before the gateway does would lose it for no reason. */
const SESSION_TIMEOUT_MS = 24 * 60 * 60 * 1000;

export function sparkConf(
  template: DriverTemplate,
  request: DriverRequest,
): Record<string, string> {
  const { unityCatalog: unity, sessionTimeoutMs = SESSION_TIMEOUT_MS } = template;
  const own = template.sparkConf ?? {};
  const conf: Record<string, string> = {
    'spark.connect.grpc.binding.port': String(SPARK_CONNECT_PORT),
    ...(isSpark4(template)
      ? { 'spark.connect.session.manager.defaultSessionTimeout': `${sessionTimeoutMs}ms` }
      : {}),
    ...(unity
      ? {
          [`spark.sql.catalog.${unity.catalog}`]: 'io.unitycatalog.spark.UCSingleCatalog',
          [`spark.sql.catalog.${unity.catalog}.uri`]: unity.uri,
        }
      : {}),
    ...connectConf(own, request.maxMessageBytes),
  };
  if (bringsFence(template)) {
    const others = conf[CLASS_PATH];
    const jar = `${FENCE_FOLDER}/${FENCE_FILE}`;
    conf[CLASS_PATH] = others === undefined ? jar : `${others}:${jar}`;
  }
  return hasFence(template) ? withFence(conf) : conf;
}

/** The operator's form of dynamic allocation, the same in both of its kinds. */
export function dynamicAllocation({ dynamicAllocation: wanted }: DriverTemplate) {
  if (!wanted) return undefined;
  const { minExecutors, maxExecutors, initialExecutors, shuffleTrackingTimeoutMs } = wanted;
  return {
    enabled: true,
    shuffleTrackingEnabled: true,
    minExecutors,
    maxExecutors,
    initialExecutors: initialExecutors ?? minExecutors,
    ...(shuffleTrackingTimeoutMs === undefined
      ? {}
      : { shuffleTrackingTimeout: shuffleTrackingTimeoutMs }),
  };
}
