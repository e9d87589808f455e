// npm run test:monitoring: the alerts and the dashboard, by Prometheus's promtool.
//   PROMTOOL   the program; built once when not set
// The last line is the result: "N passed, N failed".
import { relative } from 'node:path';
import { setup } from './setup.js';
import { inRoot, root } from './setup/paths.js';
import { printFailure } from './setup/setup-error.js';
import { filesBelow } from './setup/stamp.js';
import { ava } from './test/suites.js';

let total = { passed: 0, failed: 1 };
try {
  const env = await setup({ run: false, alerts: true });
  const files = filesBelow(inRoot('build/test/monitoring/promtool'));
  total = await ava(
    files.filter((file) => file.endsWith('.test.js')).map((file) => relative(root, file)),
    { env },
  );
} catch (error) {
  printFailure(error);
}
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
