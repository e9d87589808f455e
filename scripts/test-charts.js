// npm run test:charts: the Helm charts, by Helm 3 and 4, and what they start, by real Sparks.
// Usage: npm run test:charts [-- [ava options] [test files]]
//   HELM_BIN   a helm; Helm 3 and 4 are built once when not set
// The last line is the result: "N passed, N failed".
import { runFolder } from './test/folder-suite.js';

await runFolder('charts', {
  needs: { client: true, client35: true, charts: true },
  // Each Spark is several JVMs: one file at a time.
  serial: true,
  timeout: '10m',
});
