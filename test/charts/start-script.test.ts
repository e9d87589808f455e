/**
 * Values on their way through the chart, its ConfigMap and the start script into the properties file,
 * read back by Java's own parser: none is changed, and none is carried out.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { array, constantFrom, oneof, sample, string, tuple } from 'fast-check';
import { pythonOf } from '../support/pyspark.js';
import { helm, one } from './helm.js';

interface Templates {
  /** A folder with the files that are mounted at conf-k8s. */
  readonly folder: string;
}

interface Started {
  readonly conf: string;
  /** What Spark was called with. */
  readonly command: string;
}

function render(t: ExecutionContext, set: Readonly<Record<string, unknown>>): Templates {
  const folder = mkdtempSync(join(tmpdir(), 'start-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const objects = helm.objects('charts/spark-4.1', { set });
  for (const name of ['sc-spark-connect-conf', 'sc-spark-connect-executor']) {
    const { data } = one(objects, 'ConfigMap', name) as unknown as { data: Record<string, string> };
    for (const [file, text] of Object.entries(data)) writeFileSync(join(folder, file), text);
  }
  return { folder };
}

/** Runs the rendered start script with a spark-submit that says how it was called. */
function start(
  t: ExecutionContext,
  { folder }: Templates,
  env: Readonly<Record<string, string>> = {},
): Started {
  const home = mkdtempSync(join(tmpdir(), 'start-'));
  t.teardown(() => rmSync(home, { recursive: true }));
  const conf = join(home, 'spark-conf');
  for (const path of [conf, join(home, 'bin')]) mkdirSync(path);
  const submit = join(home, 'bin/spark-submit');
  writeFileSync(submit, '#!/bin/bash\nprintf "%s\\n" "$@"\n');
  chmodSync(submit, 0o755);
  const command = execFileSync('bash', [join(folder, 'start.sh')], {
    encoding: 'utf8',
    cwd: home,
    env: {
      PATH: '/usr/bin:/bin',
      SPARK_HOME: home,
      SPARK_CONF_DIR: conf,
      POD_NAME: 'sc-0',
      POD_NAMESPACE: 'team',
      POD_IP: '192.0.2.7',
      ...env,
    },
  });
  return { conf, command };
}

/** spark-defaults.conf of each start, as java.util.Properties reads it. */
function properties(started: readonly Started[]): Record<string, string>[] {
  const jars = join(process.env['SPARK_4_1_HOME'] ?? '', 'jars');
  const py4j = readdirSync(jars).find((name) => name.startsWith('py4j-')) ?? '';
  const output = execFileSync(
    pythonOf('4'),
    [
      'test/charts/python/read_properties.py',
      join(jars, py4j),
      join(process.env['JAVA_HOME'] ?? '', 'bin/java'),
      ...started.map(({ conf }) => join(conf, 'spark-defaults.conf')),
    ],
    { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  );
  return JSON.parse(output) as Record<string, string>[];
}

const COMMAND = '--class\norg.apache.spark.sql.connect.service.SparkConnectServer\n';

/** Texts that mean something to a shell, to YAML, to Helm, to properties files, or nothing. */
const text = oneof(
  string({ unit: 'grapheme', maxLength: 20 }),
  array(
    constantFrom(
      '$(id)',
      '`id`',
      '${HOME}',
      '${POD_NAMES}',
      "'",
      '"',
      '\\',
      '\\u0041',
      '\n',
      '\r',
      '\t',
      '\f',
      ' ',
      '=',
      ':',
      '#',
      '!',
      ';',
      '&',
      '%s',
      '{{ 1 }}',
      '- a',
      '---',
      'é',
      '☃',
      '🙂',
      '\u0085',
      '\u2028',
      '\ufeff',
      ',',
      '*',
      '[',
      '|',
      '>',
      '~',
      'null',
      'true',
      '1e3',
    ),
    { maxLength: 6 },
  ).map((parts) => parts.join('')),
)
  // No file of a ConfigMap holds control characters, surrogates and non-characters; Helm refuses them.
  .filter((each) => !/[\p{Cc}\p{Cs}\ufffe\uffff]/u.test(each.replaceAll(/[\t\n\f\r\u0085]/g, '')));

test('every value that may be written comes out as it was, under its own name', (t) => {
  const sparkConf = Object.fromEntries(
    sample(tuple(text, text), 300).map(([key, value], index) => [`spark.${index}.${key}`, value]),
  );
  const started = start(t, render(t, { sparkConf }));
  const [read = {}] = properties([started]);
  for (const [name, value] of Object.entries(sparkConf)) {
    t.is(read[name], value, JSON.stringify({ name, value }));
  }
  t.is(started.command, COMMAND);
});

test('a secret comes out as it was, and is not looked at again', (t) => {
  const rendered = render(t, {
    unityCatalog: { enabled: true, uri: 'http://uc', existingSecret: 'uc' },
  });
  const tokens = sample(text, 40).map((token) => `${token}\${POD_IP}`);
  const started = tokens.map((token) => start(t, rendered, { UNITY_CATALOG_TOKEN: token }));
  t.deepEqual(
    properties(started).map((read) => read['spark.sql.catalog.unity.token']),
    tokens,
  );
});

test('numbers and switches are written as Spark reads them, and the pod is named in every file', (t) => {
  const rendered = render(t, {
    sparkConf: {
      'spark.a': 268435456,
      'spark.b': 0.75,
      'spark.c': true,
      'spark.d': 12345678901,
      'spark.x': '${POD_NAME} ${POD_NAMESPACE} ${POD_IP} ${env:HOME} ${UNKNOWN} $POD_IP',
    },
    'executor.podAnnotations': { driver: '${POD_NAME}' },
    log4j2Properties: 'appender.a.fileName = ${sys:user.home}/${POD_NAME}.log\n',
  });
  const started = start(t, rendered);
  t.like(properties([started])[0], {
    'spark.a': '268435456',
    'spark.b': '0.75',
    'spark.c': 'true',
    'spark.d': '12345678901',
    'spark.x': 'sc-0 team 192.0.2.7 ${env:HOME} ${UNKNOWN} $POD_IP',
    'spark.driver.host': 'sc-0.sc-spark-connect-headless.team.svc.cluster.local',
  });
  const read = (name: string) => readFileSync(join(started.conf, name), 'utf8');
  t.regex(read('executor-pod-template.yaml'), /driver: sc-0/);
  t.regex(read('log4j2.properties'), /\$\{sys:user\.home\}\/sc-0\.log/);
});

test('a control character is refused by name, before anything is installed', (t) => {
  t.regex(
    helm.refusal('charts/spark-4.1', { set: { sparkConf: { 'spark.a': 'b\u0001' } } }),
    /sparkConf\."spark\.a" holds a control character/,
  );
});
