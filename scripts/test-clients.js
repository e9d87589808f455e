// npm run test:clients: the clients and their examples through the whole gateway.
// Usage: npm run test:clients [-- [--no-lint] [ava options] [test files]]
// Java is left out without Maven; Go, actionlint, grpcurl and the S3 server without Go.
// The last line is the result: "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { relative } from 'node:path';
import { setup } from './setup.js';
import { inRoot, root } from './setup/paths.js';
import { printFailure } from './setup/setup-error.js';
import { filesBelow } from './setup/stamp.js';
import { compiledName } from './test/kinds.js';
import { ava } from './test/suites.js';

const args = process.argv.slice(2);
const options = args.filter((arg) => arg.startsWith('-') && arg !== '--no-lint');
const named = args.filter((arg) => !arg.startsWith('-'));
const python = inRoot('clients/python');

const total = { passed: 0, failed: 0, skipped: 0 };
try {
  const env = await setup({ client: true, archives: true, clients: true });
  if (!env.JAVA_CLIENT) console.log('The Java client is left out: it needs Maven.');
  if (!env.GO_CLIENT)
    console.log('The Go client, actionlint, grpcurl and the S3 server are left out: they need Go.');
  if (named.length === 0 && !args.includes('--no-lint')) {
    const run = env.SPARK_GATEWAY_PYTHON_CLIENTS;
    check('ruff', run, ['-m', 'ruff', 'check', '.'], python);
    check('ruff format', run, ['-m', 'ruff', 'format', '--check', '.'], python);
    check('mypy --strict', run, ['-m', 'mypy'], python);
    if (env.GO_CLIENT)
      check('go vet, go test', 'sh', ['-c', 'go vet ./... && go test ./...'], inRoot('clients/go'));
    if (env.ACTIONLINT) {
      check(
        'actionlint',
        env.ACTIONLINT,
        [inRoot('clients/examples/ci/github-workflow.yml')],
        root,
      );
    }
  }
  const files =
    named.length > 0
      ? named.map(compiledName)
      : filesBelow(inRoot('build/test/clients')).filter((file) => file.endsWith('.test.js'));
  const tests = await ava(
    files.map((file) => relative(root, file)),
    // One gateway, two drivers and their clients share a few cores.
    { serial: true, timeout: '5m', options, env },
  );
  for (const name of ['passed', 'failed', 'skipped']) total[name] += tests[name];
} catch (error) {
  printFailure(error);
  total.failed += 1;
}
const skippedToo = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
console.log(`\n${total.passed} passed, ${total.failed} failed${skippedToo}`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

/** A check is no test: only its failure counts. */
function check(name, command, its, cwd) {
  const { status } = spawnSync(command, its, { cwd, stdio: 'inherit' });
  console.log(`  ${status === 0 ? 'ok  ' : 'FAILED'} ${name}`);
  if (status !== 0) total.failed += 1;
}
