import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { PySparkVersion } from './pyspark.js';

const places = {
  '4': { variable: 'SPARK_HOME', environment: 'venv' },
  '3.5': { variable: 'SPARK_HOME_3_5', environment: 'venv-3.5' },
} as const;

/** The Spark that `npm test` installs, or the one that SPARK_HOME (SPARK_HOME_3_5) names. */
export function sparkHome(version: PySparkVersion = '4'): string {
  const { variable, environment } = places[version];
  const named = process.env[variable];
  if (named !== undefined) return named;
  const libraries = join('.local', environment, 'lib');
  const found = (existsSync(libraries) ? readdirSync(libraries) : [])
    .map((python) => join(process.cwd(), libraries, python, 'site-packages', 'pyspark'))
    .find((path) => existsSync(join(path, 'jars')));
  if (found === undefined) {
    throw new Error(
      `There is no Spark: run "npm test", which installs PySpark into .local/${environment}, or set ${variable}.`,
    );
  }
  return found;
}
