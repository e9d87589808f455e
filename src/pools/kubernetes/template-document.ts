/** The format of a file of driver templates, as people write it. */
import type { YamlValue } from '../../yaml/tree.js';
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
} from '../../yaml/schema.js';
import { boolean, choice, integer, plainText, textType } from '../../yaml/text-type.js';
import { duration } from '../../yaml/units.js';

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
