// The Spark Connect server of Spark 3.5, which its distribution leaves out: fetched once by Spark itself
// (spark.jars.packages), under the coordinates that the chart of Spark 3.5 has.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot, local } from './paths.js';
import { runLogged } from './run-logged.js';
import { contentHash, stampFits, writeStamp } from './stamp.js';
import { sparkHome35 } from './spark-3.5.js';
import { pythonOf } from './venv.js';

const VENV = 'venv-3.5';
const folder = join(local, 'spark-connect-3.5');
const values = inRoot('charts/spark-3.5/charts/spark-connect/values.yaml');
const stamp = join(folder, '.setup-stamp');
/** No YAML is parsed: npm packages may not be there yet. */
const packages = () => /^ {4}packages: '?([^'\n]+)/m.exec(readFileSync(values, 'utf8'))[1];
const hash = () => contentHash({ texts: [packages()] });

/** @param {string} javaHome is asked when the step runs */
export const sparkConnectJarStep = (javaHome) => ({
  label: 'Spark Connect server of Spark 3.5 (14 MB to download)',
  bytes: 0.1e9,
  needed: () => !stampFits(stamp, hash()) || !existsSync(join(folder, 'cache')),
  async run() {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const program = join(folder, 'nothing.py');
    writeFileSync(program, '');
    const home = sparkHome35();
    await runLogged(
      'spark-connect-3.5',
      join(home, 'bin/spark-submit'),
      [
        '--master',
        'local[1]',
        '--conf',
        `spark.jars.ivy=${folder}`,
        '--packages',
        packages(),
        program,
      ],
      { env: { SPARK_HOME: home, JAVA_HOME: javaHome(), PYSPARK_PYTHON: pythonOf(VENV) } },
    );
    rmSync(program);
    writeStamp(stamp, hash());
  },
});

/** Ivy's folder with the server in its cache. */
export const sparkConnectJars = folder;
