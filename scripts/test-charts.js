// npm run test:charts: the Helm charts, by Helm 3 and 4, and what they start, by real Sparks.
// Usage: npm run test:charts [-- [ava options] [test files]]
//   HELM_BIN   a helm; Helm 3 and 4 are built once when not set
// The last line is the result: "N passed, N failed".
import { relative } from 'node:path';
import { setup } from './setup.js';
import { inRoot, root } from './setup/paths.js';
import { printFailure } from './setup/setup-error.js';
import { filesBelow } from './setup/stamp.js';
import { compiledName } from './test/kinds.js';
import { ava } from './test/suites.js';

const args = process.argv.slice(2);
const options = args.filter((arg) => arg.startsWith('-'));
const named = args.filter((arg) => !arg.startsWith('-'));

let total = { passed: 0, failed: 1, skipped: 0 };
try {
  const env = await setup({ client: true, client35: true, charts: true });
  const files =
    named.length > 0 ? named.map(compiledName) : filesBelow(inRoot('build/test/charts'));
  // Each Spark is several JVMs: one file at a time.
  total = await ava(
    files.filter((file) => file.endsWith('.test.js')).map((file) => relative(root, file)),
    { serial: true, timeout: '10m', options, env },
  );
} catch (error) {
  printFailure(error);
}
const skippedToo = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
console.log(`\n${total.passed} passed, ${total.failed} failed${skippedToo}`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
