// npm run test:spark: Apache Spark's own tests of Spark Connect, which PySpark's package holds, through the
// gateway. What does not pass is tried again by itself, through the gateway on a driver that no other test has
// used, and at a Spark Connect server without it: a test that passes there and fails here has failed; one that
// fails there, too, is no business of ours (many look into a JVM of their own).
// Usage: npm run test:spark [-- [--selection] [--resume] [modules]]
//   --selection   some telling modules, for a few minutes, instead of all
//   --resume      goes on where a run that was cut ended: .local/spark-tests.jsonl has a line for each module
//   modules       such as pyspark.sql.tests.connect.test_connect_clone_session
// The last line is the result: "N passed, N failed".
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setup } from './setup.js';
import { inRoot, local } from './setup/paths.js';
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

/** Those that start a server of their own, or look for one at an address of their own: no way leads through a gateway. */
const WITHOUT_SERVER = new Set([
  'test_connect_local_server',
  'test_connect_session',
  'client.test_artifact_localcluster',
]);

const MODULE_TIMEOUT_MS = 15 * 60_000;
const DIRECT_ADDRESS = '127.91.36.1';
const TOKEN = 'token-of-the-tests';
/** An environment whose driver is replaced when its sessions have ended. */
const FRESH = 'test';
/** What each module gave, a JSON line for each. */
const RESULTS = join(local, 'spark-tests.jsonl');

const args = process.argv.slice(2);
const named = args.filter((arg) => !arg.startsWith('-'));
if (!args.includes('--resume')) rmSync(RESULTS, { force: true });
const results = readResults();
const ends = [];
let broken = false;
try {
  const env = await setup({ client: true, archives: true });
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
  const url = `sc://${DIRECT_ADDRESS}:15002/;authorization=Bearer%20${TOKEN};user_id=alice`;
  for (const result of results) show(result);
  const done = new Set(results.map(({ module }) => module));
  for (const module of modules.filter((name) => !done.has(name))) {
    // A token of its own: the whole takes longer than one is good for.
    const gatewayUrl = await gateway.url({ user: 'alice' });
    const first = await run([module], gatewayUrl, env, zip);
    const others = notPassed(module, first);
    const urls =
      others.length === 0 ? [] : [await gateway.url({ user: 'alice', environment: FRESH }), url];
    // At the same time, so that they meet the same machine.
    const [again, without] = await Promise.all(urls.map((each) => run(others, each, env, zip)));
    const result = compared(module, { first, again, without });
    results.push(result);
    appendFileSync(RESULTS, `${JSON.stringify(result)}\n`);
    show(result);
  }
} catch (error) {
  printFailure(error);
  broken = true;
} finally {
  for (const end of ends.toReversed()) await end();
}
const sum = (of) => results.reduce((all, result) => all + of(result), 0);
const good = sum((r) => r.passed);
const bad = sum((r) => r.failures.length) + Number(broken);
console.log(`\n${sum((r) => r.tests)} tests of ${results.length} modules`);
console.log(`${sum((r) => r.neither)} fail, or are left out, without the gateway, too`);
console.log(`they took ${Math.round(sum((r) => r.seconds))} s`);
console.log(`${good} passed, ${bad} failed`);
process.exitCode = bad > 0 || good === 0 ? 1 : 0;

function readResults() {
  if (!existsSync(RESULTS)) return [];
  const lines = readFileSync(RESULTS, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line));
}

/** One driver for everything, as the tests have one server; and one for what is tried again, which leaves nothing. */
function policy() {
  return {
    apiVersion: 'spark-gateway/v1alpha1',
    kind: 'RoutingPolicy',
    access: [{ who: { groups: ['everyone'] }, what: { teams: ['data'], environments: ['*'] } }],
    pools: [
      {
        match: { environments: [FRESH] },
        size: '0',
        maximum: '1',
        sessions_per_driver: '100',
        after_use: 'replace',
      },
      { size: '1', maximum: '1', sessions_per_driver: '100', after_use: 'reuse' },
    ],
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

/** @returns {Promise<{outcomes: Map<string, {outcome: string, error: string}>, seconds: number}>} by the test's id */
async function run(names, url, env, zip) {
  const folder = mkdtempSync(join(tmpdir(), 'spark-tests-'));
  const outcomes = join(folder, 'outcomes');
  const script = inRoot('test/spark/run_module.py');
  const begunAt = performance.now();
  const child = spawn(env.SPARK_GATEWAY_PYTHON, ['-W', 'ignore', script, ...names], {
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
  const told = lines
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
    .map(({ test, outcome, error }) => [test, { outcome, error }]);
  return { outcomes: new Map(told), seconds: (performance.now() - begunAt) / 1_000 };
}

/** What to try without the gateway: single tests, or all where one is of a class that could not be prepared. */
function notPassed(module, { outcomes }) {
  const tests = [...outcomes]
    .filter(([, { outcome }]) => outcome !== 'passed')
    .map(([test]) => test);
  return tests.every((test) => /^[\w.]+$/.test(test)) ? tests : [module];
}

function compared(module, { first, again, without }) {
  const failures = [];
  let passed = 0;
  let neither = 0;
  for (const [test, here] of first.outcomes) {
    const passes = (tried) => tried?.outcomes.get(test)?.outcome === 'passed';
    if (passes(first) || passes(again)) passed += 1;
    else if (passes(without)) failures.push({ test, ...here });
    else neither += 1;
  }
  const { seconds } = first;
  return { module, tests: first.outcomes.size, passed, neither, failures, seconds };
}

function show({ module, tests, passed, neither, failures, seconds }) {
  for (const { test, outcome, error } of failures) {
    console.log(`FAILED ${test} (${outcome}): ${error}`);
  }
  const counts = `${passed} of ${tests} pass, ${neither} do neither here nor without the gateway`;
  const told = failures.length === 0 ? 'ok  ' : 'BAD ';
  console.log(`  ${told} ${module}: ${counts} (${seconds.toFixed(0)} s)`);
}
