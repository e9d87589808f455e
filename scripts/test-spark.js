// npm run test:spark: Apache Spark's own tests of Spark Connect, which PySpark's package holds, against a
// Spark Connect server and through the gateway. A test that passes there and fails here has failed; one
// that fails without the gateway, too, is no business of ours (many look into a JVM of their own).
// Usage: npm run test:spark [-- [--selection] [modules]]
//   --selection   some telling modules, for a few minutes, instead of all
//   modules       such as pyspark.sql.tests.connect.test_connect_clone_session
// The last line is the result: "N passed, N failed".
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setup } from './setup.js';
import { inRoot } from './setup/paths.js';
import { printFailure } from './setup/setup-error.js';

const PACKAGE = 'pyspark.sql.tests.connect';
const SELECTION = [
  'test_connect_clone_session',
  'test_connect_error.SparkConnectErrorTests.test_invalid_column',
  'test_parity_conf',
  'test_parity_catalog',
  'test_parity_job_cancellation',
  'client.test_artifact.ArtifactTests.test_cache_artifact',
].map((name) => `${PACKAGE}.${name}`);

/** Those that start a server of their own: neither way leads through a gateway. */
const WITHOUT_SERVER = new Set([
  'test_connect_local_server',
  'test_connect_session',
  'client.test_artifact_localcluster',
]);

const MODULE_TIMEOUT_MS = 5 * 60_000;
const DIRECT_ADDRESS = '127.91.36.1';
const TOKEN = 'token-of-the-tests';

const args = process.argv.slice(2);
const named = args.filter((arg) => !arg.startsWith('-'));
const total = { passed: 0, failed: 0, neither: 0 };
const ends = [];
try {
  const env = await setup({ client: true });
  Object.assign(process.env, env);
  const zip = join(env.SPARK_HOME, 'python/lib/pyspark.zip');
  const chosen = args.includes('--selection') ? SELECTION : allModules(env, zip);
  const modules = named.length > 0 ? named : chosen;
  const { RealDriver } = await import(inRoot('build/test/support/real-driver.js'));
  const { Gateway } = await import(inRoot('build/test/support/gateway.js'));
  const direct = await RealDriver.start(DIRECT_ADDRESS, TOKEN, 4);
  ends.push(() => direct.kill());
  const gateway = await Gateway.start({
    addressRange: '127.91.35.0/24',
    policy: policy(),
    settings: { drivers: { local: { cores: '4' } } },
  });
  ends.push(() => gateway.stop());
  const urls = {
    direct: `sc://${DIRECT_ADDRESS}:15002/;authorization=Bearer%20${TOKEN};user_id=alice`,
    gateway: await gateway.url({ user: 'alice' }),
  };
  for (const module of modules) {
    const without = await run(module, urls.direct, env, zip);
    const through = await run(module, urls.gateway, env, zip);
    report(module, without, through);
  }
} catch (error) {
  printFailure(error);
  total.failed += 1;
} finally {
  for (const end of ends.toReversed()) await end();
}
console.log(`\n${total.neither} tests fail, or are left out, without the gateway, too`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

/** One driver for everything, as the tests have one server. */
function policy() {
  return {
    apiVersion: 'spark-gateway/v1alpha1',
    kind: 'RoutingPolicy',
    access: [{ who: { groups: ['everyone'] }, what: { teams: ['data'], environments: ['*'] } }],
    pools: [{ size: '1', maximum: '1', sessions_per_driver: '100', after_use: 'reuse' }],
    warm_namespaces: ['sjns-data-dev'],
  };
}

function allModules(env, zip) {
  const script = 'import sys, zipfile; print("\\n".join(zipfile.ZipFile(sys.argv[1]).namelist()))';
  const { stdout } = spawnSync(env.SPARK_GATEWAY_PYTHON, ['-c', script, zip], { encoding: 'utf8' });
  return stdout
    .split('\n')
    .filter((name) => /^pyspark\/sql\/tests\/connect\/(.*\/)?test_\w+\.py$/.test(name))
    .map((name) => name.replace(/\.py$/, '').replaceAll('/', '.'))
    .filter((module) => !WITHOUT_SERVER.has(module.slice(PACKAGE.length + 1)))
    .toSorted();
}

/** @returns {Promise<Map<string, {outcome: string, error: string}>>} by the test's id */
async function run(module, url, env, zip) {
  const folder = mkdtempSync(join(tmpdir(), 'spark-tests-'));
  const outcomes = join(folder, 'outcomes');
  const script = inRoot('test/spark/run_module.py');
  const child = spawn(env.SPARK_GATEWAY_PYTHON, ['-W', 'ignore', script, module], {
    // What a test leaves behind, such as a warehouse, goes with it.
    cwd: folder,
    env: {
      ...process.env,
      PYTHONPATH: zip,
      SPARK_TESTING: '1',
      SPARK_CONNECT_TESTING_REMOTE: url,
      OUTCOMES: outcomes,
    },
    stdio: 'ignore',
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), MODULE_TIMEOUT_MS);
  await once(child, 'close');
  clearTimeout(timer);
  const lines = existsSync(outcomes) ? readFileSync(outcomes, 'utf8').trim().split('\n') : [];
  rmSync(folder, { recursive: true, force: true });
  return new Map(
    lines
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
      .map(({ test, outcome, error }) => [test, { outcome, error }]),
  );
}

function report(module, without, through) {
  let passed = 0;
  for (const [test, { outcome }] of without) {
    const here = through.get(test) ?? { outcome: 'not run', error: '' };
    if (outcome !== 'passed') total.neither += 1;
    else if (here.outcome === 'passed') passed += 1;
    else {
      total.failed += 1;
      console.log(`FAILED ${test} (${here.outcome}): ${here.error}`);
    }
  }
  total.passed += passed;
  console.log(`  ok   ${module}: ${passed} of ${without.size}`);
}
