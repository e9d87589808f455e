// npm test: everything that needs neither a cluster, nor Helm, nor promtool.
// Usage: npm test [-- [--no-lint] [--no-e2e] [ava options] [test files]]
// The last line is the result: "N passed, N failed".
import { existsSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { setup } from './setup.js';
import { inRoot, root } from './setup/paths.js';
import { printFailure } from './setup/setup-error.js';
import { filesBelow } from './setup/stamp.js';
import { ava, check, unittest } from './test/suites.js';

// Envoy, several JVMs and Python share a few cores: one file at a time, and patience for a cold start.
const E2E_TIMEOUT = '5m';

const own = ['--no-lint', '--no-e2e'];
const args = process.argv.slice(2);
const flags = new Set(args.filter((arg) => own.includes(arg)));
const options = args.filter((arg) => arg.startsWith('-') && !own.includes(arg));
const named = args.filter((arg) => !arg.startsWith('-'));

const total = { passed: 0, failed: 0, skipped: 0 };

try {
  const env = await setup({ client: true, test: true });
  const files = (named.length > 0 ? named.map(compiledName) : allTests()).map((file) =>
    relative(root, file),
  );
  const unit = files.filter((file) => !isE2e(file));
  const e2e = flags.has('--no-e2e') ? [] : files.filter(isE2e);

  if (named.length === 0 && !flags.has('--no-lint')) {
    await suite('lint', () => check('oxlint', ['--type-aware', '--deny-warnings']));
    await suite('format', () => check('prettier', ['--check', '--log-level=warn', '.']));
  }
  if (unit.length > 0) await suite('unit and feature tests', () => ava(unit, { options, env }));
  if (named.length === 0) {
    await suite('Python client, PySpark 4', () => unittest(env.SPARK_GATEWAY_PYTHON));
    await suite('Python client, PySpark 3.5', () => unittest(env.SPARK_GATEWAY_PYTHON_3_5));
  }
  if (e2e.length > 0) {
    await suite('end-to-end tests', () =>
      ava(e2e, { serial: true, timeout: E2E_TIMEOUT, options, env }),
    );
  }
  if (total.passed + total.failed === 0) {
    console.log('FAILED no test ran');
    total.failed = 1;
  }
} catch (error) {
  printFailure(error);
  total.failed += 1;
}

const skippedToo = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
console.log(`\n${total.passed} passed, ${total.failed} failed${skippedToo}`);
process.exitCode = total.failed > 0 ? 1 : 0;

function isE2e(file) {
  return file.startsWith('build/test/e2e/');
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

function allTests() {
  const others = ['kube', 'charts', 'monitoring/promtool'].map((name) =>
    inRoot('build/test', name, '/'),
  );
  return filesBelow(inRoot('build/test')).filter(
    (file) => file.endsWith('.test.js') && !others.some((folder) => file.startsWith(folder)),
  );
}

/** A test may be named by its source or by its compiled file. */
function compiledName(name) {
  const given = resolve(name);
  const compiled = given.endsWith('.ts')
    ? inRoot('build', relative(root, given).replace(/\.ts$/, '.js'))
    : given;
  if (!existsSync(compiled)) throw new Error(`No such test file: ${name}`);
  return compiled;
}
