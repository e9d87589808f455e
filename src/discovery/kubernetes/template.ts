/** What an operator chooses about the drivers that the gateway makes on Kubernetes. */
import { createHash } from 'node:crypto';
import type { YamlValue } from '../../lib/yaml/yaml-tree.js';
import {
  list,
  object,
  optional,
  record,
  required,
  type Schema,
  text,
  type TypeOf,
  withDefault,
} from '../../lib/yaml/schema.js';
import {
  boolean,
  choice,
  integer,
  plainText,
  textType,
  duration,
} from '../../lib/yaml/text-types.js';
import type { DriverKind } from './driver-resources.js';

/** An object of the Kubernetes API that is handed on as it is: the API server checks it. */
export type RawObject = Readonly<Record<string, unknown>>;

export interface SecretKey {
  readonly secret: string;
  readonly key: string;
}

export interface SparkResources {
  readonly cores: number;
  /** In Spark's notation, such as `4g`. */
  readonly memory: string;
}

export interface DriverTemplate {
  readonly kind: DriverKind;
  readonly sparkVersion: string;
  readonly image: string;
  readonly imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never';
  /** Names of Secrets. */
  readonly imagePullSecrets?: readonly string[];
  readonly serviceAccount?: string;
  readonly driver: SparkResources;
  readonly executor: SparkResources & { readonly instances: number };
  readonly dynamicAllocation?: {
    readonly minExecutors: number;
    readonly maxExecutors: number;
    readonly initialExecutors?: number;
    readonly shuffleTrackingTimeoutMs?: number;
  };
  /** Goes over what the gateway sets. Never a secret: every client can read it. */
  readonly sparkConf?: Readonly<Record<string, string>>;
  readonly hadoopConf?: Readonly<Record<string, string>>;
  /** Of the driver. Whoever runs SQL there can read it, too. */
  readonly env?: Readonly<Record<string, string | SecretKey>>;
  readonly volumes?: readonly RawObject[];
  /** Of the driver. */
  readonly volumeMounts?: readonly RawObject[];
  /** Containers beside the driver. */
  readonly sidecars?: readonly RawObject[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly tolerations?: readonly RawObject[];
  readonly affinity?: RawObject;
  readonly priorityClass?: string;
  /** The pod's; the default fits the `restricted` pod security standard and Spark's own image. */
  readonly podSecurityContext?: RawObject;
  readonly unityCatalog?: {
    /** Its name in SQL. */
    readonly catalog: string;
    readonly uri: string;
    /** Handed to the driver as an environment variable. */
    readonly token: SecretKey;
    /** Default UNITY_CATALOG_TOKEN. */
    readonly tokenEnv?: string;
  };
  /** An OpenTelemetry collector beside the driver. */
  readonly openTelemetry?: { readonly image: string; readonly configMap: string };
  /** A fluent-bit beside the driver that reads the driver's log folder. */
  readonly fluentBit?: { readonly image: string; readonly configMap: string };
  /**
   * Whether the driver compares each message's session and user with what authz has checked: with a jar
   * that the gateway brings as a ConfigMap (the default), with one that the image holds among Spark's
   * jars, or not at all.
   */
  readonly driverFence?: 'config_map' | 'image' | 'none';
  /** Each driver has a token of its own and refuses whoever does not send it. Needs Spark 4, or the fence. Default: from Spark 4 on. */
  readonly driverToken?: boolean;
  /** A PodDisruptionBudget that keeps the driver from being evicted while it has sessions. Default true. */
  readonly disruptionBudget?: boolean;
  /** How long a driver keeps an idle session, milliseconds (Spark 4); must be longer than the gateway does. */
  readonly sessionTimeoutMs?: number;
  /** SparkApplication only: a program that starts a SparkSession and stays alive. */
  readonly main?: {
    readonly type: 'Java' | 'Scala' | 'Python';
    readonly file: string;
    readonly class?: string;
    readonly arguments?: readonly string[];
    /** Name of a ConfigMap to mount, and where: for a program of a few lines. */
    readonly configMap?: { readonly name: string; readonly path: string };
  };
}

/** One driver to be made. */
export interface DriverRequest {
  readonly name: string;
  readonly namespace: string;
  /** On the resource. */
  readonly ownershipLabels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** The largest request that the gateway lets through. */
  readonly maxMessageBytes: number;
  /** On the pods: what is known of the namespace, such as its team. */
  readonly podLabels: Readonly<Record<string, string>>;
}

const hashes = new WeakMap<DriverTemplate, string>();

/** Changes with every change of the template. */
export function templateHash(template: DriverTemplate): string {
  const known = hashes.get(template);
  if (known !== undefined) return known;
  const hash = createHash('sha256').update(JSON.stringify(template)).digest('hex').slice(0, 16);
  hashes.set(template, hash);
  return hash;
}

export function isSpark4(template: DriverTemplate): boolean {
  return Number(template.sparkVersion.split('.')[0]) >= 4;
}

export function hasDriverToken(template: DriverTemplate): boolean {
  return template.driverToken ?? isSpark4(template);
}

export function hasFence(template: DriverTemplate): boolean {
  return template.driverFence !== 'none';
}

/** Whether the gateway brings the driver its fence. */
export function bringsFence(template: DriverTemplate): boolean {
  return (template.driverFence ?? 'config_map') === 'config_map';
}

/** Name of the ConfigMap that holds a driver's fence, under the key `FENCE_FILE`. */
export function fenceConfigMapName(resource: string): string {
  return `${resource}-fence`;
}

export const FENCE_FILE = 'driver-fence.jar';

// The format of a file of driver templates, as people write it.

export const API_VERSION = 'spark-gateway/v1alpha1';

const namespaces = textType(
  'a namespace: lower-case letters, digits and "-", in which * stands for any text',
  (written) => (/^[a-z0-9*-]{1,63}$/.test(written) ? written : undefined),
);

const variantName = textType('a name of lower-case letters, digits, "." and "-"', (written) =>
  /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(written) ? written : undefined,
);

const memory = textType("memory in Spark's notation, such as 512m or 4g", (written) =>
  /^[1-9]\d*[kmgt]b?$/i.test(written) ? written : undefined,
);

const sparkVersion = textType('a version of Spark from 3.5 on, such as 4.1.3', (written) =>
  /^(3\.([5-9]|\d\d)|[4-9])(\.\d+)*([-.][\w.-]+)?$/.test(written) ? written : undefined,
);

const environmentName = textType('a name of letters, digits and "_"', (written) =>
  /^[A-Za-z_][A-Za-z0-9_]*$/.test(written) ? written : undefined,
);

/** Objects of the Kubernetes API: the API server checks them when the first driver is made. */
function raw(kind: 'list' | 'map'): Schema<YamlValue> {
  const allowed = `a ${kind} as the Kubernetes API has it`;
  return {
    allowed,
    shape: { kind: `any ${kind}` },
    read: (value, reader) =>
      value.kind === kind ? value : reader.refuse(value.place, `this must be ${allowed}`),
  };
}

const rawList = raw('list');
const rawMap = raw('map');

const secret = object('a key of a Secret', {
  secret: required(text(plainText)),
  key: required(text(plainText)),
});

const variable: Schema<string | TypeOf<typeof secret>> = {
  allowed: `text, or ${secret.allowed}`,
  shape: { kind: 'either', of: [text(textType('text', (written) => written)), secret] },
  read: (value, reader) => (value.kind === 'text' ? value.text : secret.read(value, reader)),
};

const size = { cores: required(text(integer(1, 256))), memory: required(text(memory)) };

const template = object('a template', {
  /** For canaries of the policy; a template without one is for the pools themselves. */
  name: optional(text(variantName)),
  namespaces: withDefault(list(text(namespaces), { least: 1 }), ['*']),
  kind: required(text(choice('SparkConnect', 'SparkApplication'))),
  spark_version: required(text(sparkVersion)),
  image: required(text(plainText)),
  image_pull_policy: optional(text(choice('Always', 'IfNotPresent', 'Never'))),
  image_pull_secrets: withDefault(list(text(plainText)), []),
  service_account: optional(text(plainText)),
  driver: required(object('a driver', size)),
  executor: required(
    object('an executor', { ...size, instances: withDefault(text(integer(0, 10_000)), 1) }),
  ),
  dynamic_allocation: optional(
    object('dynamic allocation', {
      min_executors: withDefault(text(integer(0, 10_000)), 0),
      max_executors: required(text(integer(1, 10_000))),
      initial_executors: optional(text(integer(0, 10_000))),
      shuffle_tracking_timeout: optional(text(duration('1s', '7d'))),
    }),
  ),
  spark_conf: withDefault(record(plainText, text(plainText)), new Map<string, string>()),
  hadoop_conf: withDefault(record(plainText, text(plainText)), new Map<string, string>()),
  env: withDefault(
    record(environmentName, variable),
    new Map<string, string | TypeOf<typeof secret>>(),
  ),
  labels: withDefault(record(plainText, text(plainText)), new Map<string, string>()),
  annotations: withDefault(record(plainText, text(plainText)), new Map<string, string>()),
  node_selector: withDefault(record(plainText, text(plainText)), new Map<string, string>()),
  priority_class: optional(text(plainText)),
  volumes: optional(rawList),
  volume_mounts: optional(rawList),
  sidecars: optional(rawList),
  tolerations: optional(rawList),
  affinity: optional(rawMap),
  pod_security_context: optional(rawMap),
  unity_catalog: optional(
    object('a Unity Catalog', {
      catalog: required(text(plainText)),
      uri: required(text(plainText)),
      token: required(secret),
      token_env: withDefault(text(environmentName), 'UNITY_CATALOG_TOKEN'),
    }),
  ),
  open_telemetry: optional(
    object('an OpenTelemetry collector', {
      image: required(text(plainText)),
      config_map: required(text(plainText)),
    }),
  ),
  fluent_bit: optional(
    object('a fluent-bit', {
      image: required(text(plainText)),
      config_map: required(text(plainText)),
    }),
  ),
  driver_token: optional(text(boolean)),
  driver_fence: withDefault(text(choice('config_map', 'image', 'none')), 'config_map'),
  disruption_budget: withDefault(text(boolean), true),
  main: optional(
    object('a main program', {
      type: required(text(choice('Java', 'Scala', 'Python'))),
      file: required(text(plainText)),
      class: optional(text(plainText)),
      arguments: withDefault(list(text(plainText)), []),
      config_map: optional(
        object('a ConfigMap', {
          name: required(text(plainText)),
          path: required(text(plainText)),
        }),
      ),
    }),
  ),
});

export const templateDocument = object('a file of driver templates', {
  apiVersion: required(text(choice(API_VERSION)), API_VERSION),
  kind: required(text(choice('DriverTemplates')), 'DriverTemplates'),
  /** Where drivers that others run count by their labels. */
  trusted_namespaces: withDefault(list(text(namespaces)), []),
  templates: required(list(template), []),
});

export type TemplateEntry = TypeOf<typeof template>;
