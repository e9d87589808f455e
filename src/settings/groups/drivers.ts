/** Where drivers come from. */
import { path } from '../../lib/yaml/file-path.js';
import { boolean, choice, integer, plainText, duration, size } from '../../lib/yaml/text-types.js';
import {
  group,
  list,
  optional,
  setting,
  textMap,
  controlPlane,
  playgrounds,
  policyReaders,
  runners,
} from '../setting.js';
import { variantConf, labelSelectors, loopbackRange } from '../types.js';

export const drivers = group('Where Spark drivers come from.', {
  source: setting(choice('local', 'static', 'kubernetes'), {
    default: 'local',
    roles: [...controlPlane, ...runners, ...playgrounds],
    about:
      'local: processes on this machine; static: drivers of someone else, named in a file; kubernetes: pods, made through the Spark operator.',
  }),
  static_file: optional(path, {
    roles: controlPlane,
    about: 'Names the drivers of source static. Reloaded when it changes.',
  }),
  tls: group(
    "Mutual TLS from Envoy to the drivers, for the sources static and kubernetes. Spark's own server speaks plain text: something in front of it, such as a sidecar in its pod, must end TLS on the driver's port.",
    {
      cert_file: optional(path, {
        roles: controlPlane,
        about:
          'Certificate chain that is shown to drivers (PEM). Reloaded when it changes, without cutting a stream.',
      }),
      key_file: optional(path, {
        roles: controlPlane,
        about: 'Private key of drivers.tls.cert_file (PEM).',
      }),
      ca_file: optional(path, {
        roles: controlPlane,
        about: 'CA to which the certificate of a driver must chain (PEM).',
      }),
      names: list(plainText, {
        roles: controlPlane,
        about:
          'DNS names, or URIs such as SPIFFE ids, of which the certificate of a driver must have one; empty: every certificate of drivers.tls.ca_file.',
      }),
      server_name: optional(plainText, {
        roles: controlPlane,
        about: 'Name that a driver is asked for in the handshake (SNI), where it needs one.',
      }),
    },
  ),
  kubernetes: group('Drivers as pods. Records and the lease are kept there as well.', {
    templates_file: optional(path, {
      roles: controlPlane,
      about:
        'Templates of the drivers that are made, and namespaces where drivers of others count. Without it no driver is made.',
    }),
    namespaces: list(plainText, {
      roles: controlPlane,
      about:
        'Namespaces in which drivers are looked for and made, where rights for the whole cluster are too much; empty: all.',
    }),
    selectors: setting(labelSelectors, {
      default: 'spark-role=driver,spark-connect=enabled; spark-role=connect-server',
      roles: controlPlane,
      about: 'Label selectors of pods that may be drivers; one of them must fit.',
    }),
    contexts: list(plainText, {
      roles: controlPlane,
      about:
        'Contexts of the kubeconfig for the clusters that drivers run in, the nearest first, best named by their regions; empty: the cluster that the gateway runs in, or the current context.',
    }),
    home_context: optional(plainText, {
      roles: controlPlane,
      about:
        'Context of the kubeconfig for the cluster that keeps the records, the lease and the key; without it, the first of contexts.',
    }),
    gateway_namespace: optional(plainText, {
      fallbackEnv: 'POD_NAMESPACE',
      roles: controlPlane,
      about: "The gateway's own namespace: of its records, its lease and its key.",
    }),
    gateway_name: setting(plainText, {
      default: 'spark-gateway',
      roles: controlPlane,
      about: 'Tells gateways apart that share a cluster; names the lease.',
    }),
    replica_host: optional(plainText, {
      fallbackEnv: 'POD_IP',
      roles: controlPlane,
      about:
        'Where other replicas reach this one, on the port of assignments.listen_addr; without it, the host of that setting.',
    }),
    lease_duration: setting(duration('2s', '5m'), {
      default: '10s',
      roles: controlPlane,
      about: 'How long a leader that has died is waited for before another takes over.',
    }),
  }),
  local: group('Drivers as processes on this machine.', {
    address_range: setting(loopbackRange, {
      default: '127.77.0.0/16',
      roles: controlPlane,
      about: 'Each driver listens on an address of its own from this network.',
    }),
    memory: setting(size('256MiB', '1TiB'), {
      default: '2GiB',
      roles: controlPlane,
      about: 'Heap of each driver. 2 GiB carry a DataFrame of 200 MB both ways.',
    }),
    cores: setting(integer(1, 256), {
      default: '1',
      roles: controlPlane,
      about: 'Tasks that each driver runs at a time.',
    }),
    spark_home: optional(path, {
      fallbackEnv: 'SPARK_HOME',
      roles: controlPlane,
      about:
        'Spark 3.5 or later, or the pyspark package; without it, what npm start has installed.',
    }),
    java_home: optional(path, {
      fallbackEnv: 'JAVA_HOME',
      roles: controlPlane,
      about: 'Java 17 or later; without it, java on the PATH.',
    }),
    class_archive: setting(boolean, {
      default: 'true',
      roles: controlPlane,
      about:
        "Whether to make an archive of Spark's classes once (Java AppCDS), which halves the time later drivers take to start.",
    }),
    spark_conf: textMap(plainText, {
      roles: controlPlane,
      about: 'Further Spark configuration for each driver. Readable by every user: no secrets.',
    }),
    variants: textMap(variantConf, {
      roles: controlPlane,
      about:
        "Drivers for the policy's canaries, by name: Spark configuration over spark_conf, parted by semicolons; spark_home=<path> runs another Spark.",
    }),
  }),
});

// Sessions, and the pools of drivers that they get.

export const sessions = group('Sessions and what is remembered of them.', {
  tombstone_ttl: setting(duration('10s', '14d'), {
    default: '12h',
    roles: controlPlane,
    about:
      'How long an ended session is remembered, so that a late client is told instead of given an empty one; at least session_ttl and assignments.cache_ttl.',
  }),
});

export const pools = group('Pools of drivers, where the policy does not say otherwise.', {
  maximum: setting(integer(1, 10_000), {
    default: '100',
    roles: policyReaders,
    about: 'Drivers of one pool at most.',
  }),
  start_timeout: setting(duration('5s', '1h'), {
    default: '5m',
    roles: policyReaders,
    about: 'A driver that does not come up within this time is removed and tried again.',
  }),
});
