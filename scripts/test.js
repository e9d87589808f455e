// npm test: everything that needs neither a cluster, nor Helm, nor promtool, nor another client than PySpark. One suite: npm run check | test:unit | test:component | test:e2e.
// Usage: node scripts/test.js [check | unit | component | python | e2e …] [ava options] [test files]
// The last line is the result: "N passed, N failed".
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setup } from './setup.js';
import { printFailure } from './setup/setup-error.js';
import { ava, check, unittest } from './test/suites.js';
import { compiledName, kindOf, testFiles } from './test/kinds.js';

// Envoy, several JVMs and Python share a few cores: patience for a cold start.
const TIMEOUT = '10m';
const SLOWEST = 10;

const kinds = ['check', 'unit', 'component', 'python', 'e2e'];
const args = process.argv.slice(2);
const options = args.filter((arg) => arg.startsWith('-'));
const named = args.filter((arg) => !arg.startsWith('-') && !kinds.includes(arg));
const files = named.length > 0 ? named.map(compiledName) : testFiles();
const asked = new Set(args.filter((arg) => kinds.includes(arg)));
const wanted =
  asked.size > 0 ? asked : new Set(named.length > 0 ? files.map((file) => kindOf(file)) : kinds);

const total = { passed: 0, failed: 0, skipped: 0 };
const times = mkdtempSync(join(tmpdir(), 'test-times-'));
const timesFile = join(times, 'times');

try {
  if (wanted.has('check')) await checks();
  // One more at a time than there are cores: some files wait for processes and timers.
  const concurrency = availableParallelism() + 1;
  await avaSuite('unit', 'unit tests', { grouped: true, concurrency }, { needs: { run: false } });
  await avaSuite(
    'component',
    'tests with a real Envoy, Spark or browser, or processes of the gateway',
    { timeout: TIMEOUT },
    { needs: { chromium: true, client: true, client35: true, archives: true } },
  );
  if (wanted.has('python')) await python();
  await avaSuite(
    'e2e',
    'end-to-end tests',
    { serial: true, timeout: TIMEOUT },
    { needs: { client: true, client35: true, client40: true, archives: true, chromium: true } },
  );
  if (total.passed + total.failed === 0 && !wanted.has('check')) {
    console.log('FAILED no test ran');
    total.failed = 1;
  }
} catch (error) {
  printFailure(error);
  total.failed += 1;
}
printSlowest();
rmSync(times, { recursive: true });

const skippedToo = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
console.log(`\n${total.passed} passed, ${total.failed} failed${skippedToo}`);
process.exitCode = total.failed > 0 ? 1 : 0;

/** Types, lint and format. */
async function checks() {
  await setup({ run: false });
  await suite('lint', () => check('oxlint', ['--type-aware', '--deny-warnings']));
  await suite('format', () => check('prettier', ['--check', '--log-level=warn', '.']));
}

/** What a suite needs is prepared when it has files to run, and not before. */
async function avaSuite(kind, name, how, { needs }) {
  const ofKind = files.filter((file) => kindOf(file) === kind);
  if (!wanted.has(kind) || ofKind.length === 0) return;
  const env = { ...(await setup(needs)), TEST_TIMES: timesFile };
  await suite(name, () => ava(ofKind, { ...how, options, env }));
}

async function python() {
  const env = await setup({ client: true, client35: true });
  await suite('Python client, PySpark 4', () => unittest(env.SPARK_GATEWAY_PYTHON));
  await suite('Python client, PySpark 3.5', () => unittest(env.SPARK_GATEWAY_PYTHON_3_5));
}

async function suite(name, run) {
  console.log(`\n== ${name}`);
  const startedAt = Date.now();
  const { passed, failed, skipped } = await run();
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  console.log(`== ${name}: ${failed === 0 ? 'good' : 'FAILED'}, ${seconds} s`);
}

function inSeconds(ms) {
  return (ms / 1000).toFixed(1).padStart(7);
}

function printSlowest() {
  let lines;
  try {
    lines = readFileSync(timesFile, 'utf8').trimEnd().split('\n');
  } catch (error) {
    if (error.code === 'ENOENT') return;
    throw error;
  }
  const slowest = lines
    .map((line) => JSON.parse(line))
    .toSorted((a, b) => b.ms - a.ms)
    .slice(0, SLOWEST);
  console.log(
    '\nthe slowest files (and their processor time; in it is what the first of a process starts):',
  );
  for (const { file, ms, cpuMs } of slowest)
    console.log(`${inSeconds(ms)} s ${inSeconds(cpuMs)} s  ${file}`);
}
