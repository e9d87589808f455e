/** What an operator chooses about the drivers that the gateway makes on Kubernetes. */
import { createHash } from 'node:crypto';
import type { DriverKind } from '../../kubernetes/driver-resources.js';

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
  /** Each driver has a token of its own and refuses whoever does not send it. Needs Spark 4. Default: from Spark 4 on. */
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

/** Name of the Secret that holds a driver's own token, under the key `token`. */
export function tokenSecretName(resource: string): string {
  return `${resource}-token`;
}
