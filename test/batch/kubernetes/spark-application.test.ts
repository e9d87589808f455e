import test from 'ava';
import * as fc from 'fast-check';
import {
  imageOf,
  jobConfigMap,
  sparkApplicationOf,
  type ApplicationSettings,
} from '../../../src/batch/kubernetes/spark-application.js';
import type { JobToRun } from '../../../src/batch/backend.js';
import { GatewayKey } from '../../../src/lib/kubernetes/ownership.js';

const job: JobToRun = {
  id: 'job-aaaaaaaaaaaaaaaaaaaaaaaaaa',
  namespace: 'sjns-ads-staging',
  team: 'ads',
  environment: 'staging',
  user: 'alice',
  jobName: 'daily',
  jobFile: Buffer.from('gz'),
  engineVersion: '4.1',
  resources: {
    driver: { cores: 2, memory: '4g' },
    executor: { cores: 2, memory: '4g', instances: 2 },
    dynamicAllocation: { minExecutors: 1, maxExecutors: 10 },
  },
  outputPath: 's3://results/sjns-ads-staging/job-a',
  retries: true,
  ttlSeconds: 3600,
};

const settings: ApplicationSettings = {
  gateway: 'spark-gateway',
  key: new GatewayKey(Buffer.alloc(32, 7)),
  images: { '4.1': 'example/spark:4.1' },
  imagePullPolicy: 'IfNotPresent',
  serviceAccount: 'spark',
  sparkConf: { 'spark.hadoop.fs.s3a.endpoint': 'http://s3' },
  templates: { small: { 'spark.sql.shuffle.partitions': '8' } },
  catalog: { name: 'unity', uri: 'https://catalog', tokenSecret: 'catalog-token' },
  uiUrl: 'https://ui.example.com/spark/{namespace}/{job_id}/',
};

interface Made {
  readonly metadata: {
    readonly labels: Record<string, string>;
    readonly annotations: Record<string, string>;
  };
  readonly spec: {
    readonly sparkConf: Record<string, string>;
    readonly restartPolicy: Record<string, unknown>;
    readonly driver: { readonly labels: Record<string, string>; readonly template: unknown };
    readonly executor: { readonly labels: Record<string, string> };
  };
}

const made = (given: Partial<JobToRun> = {}) =>
  sparkApplicationOf({ ...job, ...given }, 'image', settings) as unknown as Made;

test('an application that is tried again has both intervals, without which the operator waits for ever', (t) => {
  const { restartPolicy } = made().spec;
  t.is(restartPolicy['type'], 'OnFailure');
  t.true(Number(restartPolicy['onFailureRetryInterval']) > 0);
  t.true(Number(restartPolicy['onSubmissionFailureRetryInterval']) > 0);
  t.deepEqual(made({ retries: false }).spec.restartPolicy, { type: 'Never' });
});

test("what only the operator's webhook would apply stands in the driver's pod template", (t) => {
  const { template } = made().spec.driver;
  t.like(template, {
    spec: {
      containers: [
        {
          name: 'spark-kubernetes-driver',
          volumeMounts: [{ mountPath: '/opt/spark/job', readOnly: true }],
        },
      ],
      volumes: [{ configMap: { name: `${job.id}-job` } }],
    },
  });
});

test("the catalog's token comes from a Secret and stands nowhere in the configuration", (t) => {
  const text = JSON.stringify(made());
  t.true(text.includes('"secretKeyRef":{"name":"catalog-token","key":"token"}'));
  t.false(Object.keys(made().spec.sparkConf).some((key) => key.endsWith('.token')));
});

test("Spark's page knows the path that it is behind", (t) => {
  t.is(made().spec.sparkConf['spark.ui.proxyBase'], `/spark/sjns-ads-staging/${job.id}`);
});

test('nothing stands in sparkConf that the admission of the operator refuses', (t) => {
  const refused =
    /^spark\.(master$|kubernetes\.(driver\.master|namespace|.*container\.image|authenticate\..*(serviceAccountName|oauthToken)))/;
  t.deepEqual(
    Object.keys(made({ template: 'small' }).spec.sparkConf).filter((key) => refused.test(key)),
    [],
  );
  t.is(made({ template: 'small' }).spec.sparkConf['spark.sql.shuffle.partitions'], '8');
});

test('labels are legal whatever a team, a user and a job are called; annotations hold the originals', (t) => {
  const name = fc.oneof(
    fc.string({ minLength: 1, maxLength: 120, unit: 'binary' }),
    fc.constantFrom('a+b@example.com', 'x'.repeat(64), 'Team_A', '-', '..', 'Ä'),
  );
  fc.assert(
    fc.property(name, name, name, (team, user, jobName) => {
      const { metadata, spec } = made({ team, user, jobName });
      for (const labels of [metadata.labels, spec.driver.labels, spec.executor.labels]) {
        for (const value of Object.values(labels)) {
          t.regex(value, /^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$/);
        }
      }
      t.is(metadata.annotations['spark-gateway.io/user'], user);
    }),
  );
});

test('equal jobs make equal objects', (t) => {
  t.deepEqual(made(), made());
  t.deepEqual(jobConfigMap(job, settings), jobConfigMap({ ...job }, settings));
});

test('a version or template that the settings do not know is refused, with those that they know', (t) => {
  t.throws(() => imageOf({ ...job, engineVersion: '3.5' }, settings), {
    code: 'BATCH_REFUSED',
    message: /names 4\.1/,
  });
  t.throws(() => imageOf({ ...job, template: 'large' }, settings), { message: /has small/ });
  t.is(imageOf({ ...job, image: 'own' }, settings), 'own');
});
