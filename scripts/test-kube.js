// npm run test:kube: everything that needs a Kubernetes API server.
// Usage: npm run test:kube [-- [ava options] [test files]]
//   KUBEBUILDER_ASSETS   a folder with kube-apiserver and etcd; built once when not set
//   HELM_BIN             a helm; Helm 3 and 4 are built once when not set
//   SPARK_OPERATOR_CRDS  a folder with the Spark operator's CustomResourceDefinitions as YAML; when
//                        not set, ../shared/crds if it is there, else the tests' own short ones
// The last line is the result: "N passed, N failed".
import { existsSync } from 'node:fs';
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
  const env = await setup({ client: true, kube: true, charts: true });
  const crds = process.env.SPARK_OPERATOR_CRDS || inRoot('../shared/crds');
  if (existsSync(crds)) env.SPARK_OPERATOR_CRDS = crds;
  const files = named.length > 0 ? named.map(compiledName) : filesBelow(inRoot('build/test/kube'));
  // An API server, etcd, Spark and Envoy share a few cores: one file at a time.
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
