/** Batch jobs: where they leave their results, how long they may take, and what they run in. */
import { path } from '../../lib/yaml/file-path.js';
import { boolean, duration, integer, plainText, size } from '../../lib/yaml/text-types.js';
import {
  controlPlane,
  group,
  list,
  optional,
  playgrounds,
  runners,
  setting,
  textMap,
} from '../setting.js';
import { historyUrl, jobUrl, objectUrl, sparkConfText } from '../types.js';

/** The leader looks at what jobs have left in doubt, the Runner when somebody asks. */
const results = [...controlPlane, ...runners, ...playgrounds];

export const batch = group(
  'Batch jobs: complete manifests that run once. With drivers.source kubernetes they are applications of the Spark operator, and batch.output_url must be set; with local, processes of this machine.',
  {
    output_url: optional(objectUrl, {
      roles: results,
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
      about:
        'How long a job is remembered after its end. Its results are deleted then where they are in state_dir (without batch.output_url).',
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
      roles: results,
      about:
        'Where S3 answers, as a URL, for a batch.output_url of s3://; without it, Amazon. Credentials are those of the process.',
    }),
    s3_region: optional(plainText, { roles: results, about: 'Region of the bucket.' }),
    s3_path_style: setting(boolean, {
      default: 'false',
      roles: results,
      about: 'Whether the bucket stands in the path, as many others than Amazon want it.',
    }),
    ui_url: optional(jobUrl, {
      roles: controlPlane,
      about:
        "Where people find Spark's page of a job that runs, with {namespace} and {job_id} in it: such as behind an ingress. Its path is Spark's spark.ui.proxyBase. Without it there is no link.",
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
    local: group('Batch jobs as processes of this machine.', {
      jobs_at_once: setting(integer(1, 64), {
        default: '2',
        roles: controlPlane,
        about: 'How many run at a time; the others wait.',
      }),
      memory: setting(size('256MiB', '1TiB'), {
        default: '2GiB',
        roles: controlPlane,
        about: 'The largest heap of a job, whatever its manifest asks for.',
      }),
      spark_homes: list(path, {
        roles: controlPlane,
        about:
          'Sparks of other releases than drivers.local.spark_home, for manifests that name them (spec.engine.version).',
      }),
      sandbox_paths: list(path, {
        roles: controlPlane,
        about:
          'Folders of this machine that jobs in the sandbox may read. All other files are refused to them; they may read object stores.',
      }),
      spark_conf: textMap(plainText, {
        roles: controlPlane,
        about:
          'Further Spark configuration of each job. No secrets: other users of this machine see it.',
      }),
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
      templates: textMap(sparkConfText, {
        roles: controlPlane,
        about:
          'Further Spark configuration by the names that the policy calls templates, such as "spark.a=1; spark.b=2".',
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
