/** What runs batch jobs, with the Spark of the chart spark-4.1. */
import { resolve } from 'node:path';
import test from 'ava';
import { PURE, pythonTestsPass, WITH_SPARK } from '../support/coreetl-suite.js';

test('batch jobs: sandbox, results and failures, Spark 4.1', async (t) => {
  const python = resolve(process.env['SPARK_4_1_HOME'] ?? '', '../../../../bin/python');
  await pythonTestsPass(t, python, [...PURE, ...WITH_SPARK]);
});
