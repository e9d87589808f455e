import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** The Spark that `npm test` installs, or the one that SPARK_HOME names. */
export function sparkHome(): string {
  const named = process.env['SPARK_HOME'];
  if (named !== undefined) return named;
  const libraries = join('.local', 'venv', 'lib');
  const found = (existsSync(libraries) ? readdirSync(libraries) : [])
    .map((python) => join(process.cwd(), libraries, python, 'site-packages', 'pyspark'))
    .find((path) => existsSync(join(path, 'jars')));
  if (found === undefined) {
    throw new Error(
      'There is no Spark: run "npm test", which installs PySpark into .local/venv, or set SPARK_HOME.',
    );
  }
  return found;
}
