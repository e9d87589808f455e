// The programs that the gateway runs, as environment variables: what the user set, else what was installed.
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { local } from './paths.js';
import { SetupError } from './setup-error.js';

/**
 * @param {Record<string, string | undefined>} env
 * @throws SetupError for an override that cannot be used
 */
export function checkOverrides(env = process.env) {
  if (env.ENVOY_BIN) {
    try {
      accessSync(env.ENVOY_BIN, constants.X_OK);
    } catch {
      throw new SetupError(`ENVOY_BIN=${env.ENVOY_BIN} is not a program: correct it or unset it.`);
    }
  }
  if (env.SPARK_HOME && !existsSync(join(env.SPARK_HOME, 'jars'))) {
    throw new SetupError(
      `SPARK_HOME=${env.SPARK_HOME} has no folder "jars": set it to a Spark 4 distribution, or unset it.`,
    );
  }
}

/** Envoy's binary. */
export function envoyBin(env = process.env) {
  return env.ENVOY_BIN || join(sitePackages('venv'), 'envoy/_bin/envoy');
}

/** A Spark distribution with Spark Connect: PySpark holds all of its jars. */
export function sparkHome(env = process.env) {
  return env.SPARK_HOME || sparkHomeOf('venv');
}

/** The Spark distribution that PySpark is in a virtual environment. */
export function sparkHomeOf(venvName) {
  return join(sitePackages(venvName), 'pyspark');
}

/** @param {string} venvName a folder of .local */
function sitePackages(venvName) {
  const lib = join(local, venvName, 'lib');
  const python = readdirSync(lib).find((name) => name.startsWith('python3'));
  return join(lib, python, 'site-packages');
}
