// Spark Connect's server for the PySpark 3.5 of the tests, whose package lacks it: brought by the Ivy
// that Spark ships, as spark-submit --packages does.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { local } from './paths.js';
import { runLogged } from './run-logged.js';
import { sparkHomeOf } from './tools.js';

/** Not every release of 3.5 is to be had; it works with the jars of any. */
const VERSION = '3.5.7';
const jars = () => join(sparkHome35(), 'jars');

/** SPARK_HOME of Spark 3.5. */
export function sparkHome35() {
  return sparkHomeOf('venv-3.5');
}

export function connectServer35(javaHome) {
  return {
    label: 'Spark Connect server 3.5 for the tests',
    bytes: 0.03e9,
    needed: () =>
      !existsSync(join(local, 'venv-3.5')) ||
      !existsSync(join(jars(), `spark-connect_2.12-${VERSION}.jar`)),
    run() {
      const ivy = readdirSync(jars()).find((name) => /^ivy-.*\.jar$/.test(name));
      return runLogged('spark-connect-3.5', join(javaHome(), 'bin/java'), [
        '-jar',
        join(jars(), ivy),
        '-cache',
        join(local, 'ivy'),
        '-dependency',
        'org.apache.spark',
        'spark-connect_2.12',
        VERSION,
        '-notransitive',
        '-types',
        'jar',
        '-retrieve',
        join(jars(), '[artifact]-[revision].[ext]'),
      ]);
    },
  };
}
