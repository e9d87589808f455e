/** Batch jobs: where they leave their results, how long they may take, and what they run in. */
import { boolean, duration, integer, plainText } from '../../lib/yaml/text-types.js';
import { controlPlane, group, list, optional, setting, textMap } from '../setting.js';
import { historyUrl, objectUrl } from '../types.js';

export const batch = group(
  'Batch jobs: complete manifests that run once. With drivers.source kubernetes they are applications of the Spark operator, and batch.output_url must be set; with local, processes of this machine.',
  {
    output_url: optional(objectUrl, {
      roles: controlPlane,
      about:
        'Where the jobs leave their results, each in a folder of its own. Without it, and with drivers.source local, a folder in state_dir; else there are no batch jobs.',
    }),
    allowed_sans: list(plainText, {
      roles: controlPlane,
      about:
        'URI or DNS names in the client certificates of Spark Runners, which are believed when they say who asks; empty: no Runner may ask. Without mtls.cert_file, whoever reaches assignments.listen_addr may.',
    }),
    ttl: setting(duration('1m', '24h'), {
      default: '1h',
      roles: controlPlane,
      about:
        'A job that is older is ended, where neither its ttl_seconds nor the policy say otherwise. Its application is kept for as long after its end.',
    }),
    pending_limit: setting(duration('10s', '24h'), {
      default: '15m',
      roles: controlPlane,
      about:
        'A job that has not come to run after this time is ended, with what it waited for as the reason.',
    }),
    retention: setting(duration('1h', '24d'), {
      default: '7d',
      roles: controlPlane,
      about: 'How long a job is remembered after its end.',
    }),
    records_maximum: setting(integer(100, 100_000), {
      default: '10000',
      roles: controlPlane,
      about: 'Jobs that are remembered, at most: those that ended first are forgotten first.',
    }),
    jobs_maximum: setting(integer(1, 100_000), {
      default: '2000',
      roles: controlPlane,
      about: 'Jobs that have not ended, at most; further ones are refused.',
    }),
    s3_endpoint: optional(plainText, {
      roles: controlPlane,
      about:
        'Where S3 answers, as a URL, for a batch.output_url of s3://; without it, Amazon. Credentials are those of the process.',
    }),
    s3_region: optional(plainText, { roles: controlPlane, about: 'Region of the bucket.' }),
    s3_path_style: setting(boolean, {
      default: 'false',
      roles: controlPlane,
      about: 'Whether the bucket stands in the path, as many others than Amazon want it.',
    }),
    history_url: optional(historyUrl, {
      roles: controlPlane,
      about:
        "Spark's page of an application that has ended, with {application_id} in it: such as that of a history server.",
    }),
    images: textMap(plainText, {
      roles: controlPlane,
      about:
        'Container image by the version that a manifest names (spec.engine.version), where the policy names none. It holds Spark, and coreetl_runner.py in /opt/spark/work-dir.',
    }),
    kubernetes: group('Applications of batch jobs on Kubernetes.', {
      namespaces: list(plainText, {
        roles: controlPlane,
        about:
          'Namespaces in which jobs run, where rights for the whole cluster are too much; empty: all.',
      }),
      service_account: setting(plainText, {
        default: 'spark',
        roles: controlPlane,
        about: "Service account of drivers, in the job's namespace; it makes their executors.",
      }),
      image_pull_policy: setting(plainText, {
        default: 'IfNotPresent',
        roles: controlPlane,
        about: 'When images are pulled, as Kubernetes has it.',
      }),
      spark_conf: textMap(plainText, {
        roles: controlPlane,
        about:
          'Spark configuration of every job, such as that of its storage. Neither secrets nor what the operator refuses or the gateway sets.',
      }),
      catalog_name: setting(plainText, {
        default: 'unity',
        roles: controlPlane,
        about: 'Name of the Unity Catalog in the SQL of jobs.',
      }),
      catalog_uri: optional(plainText, {
        roles: controlPlane,
        about: 'Where the Unity Catalog is; without it jobs have none.',
      }),
      catalog_token_secret: setting(plainText, {
        default: 'unity-catalog-token',
        roles: controlPlane,
        about:
          "Secret in the job's namespace whose key `token` is the token for the Unity Catalog; drivers have it in an environment variable.",
      }),
    }),
  },
);
