// npm run charts: writes what follows from the charts: k8s/, the plain manifests, and the tables of
// values in the charts' READMEs.
// Usage: npm run charts [-- --check]
//   --check    changes nothing, and fails when a file is not what the charts say
//   HELM_BIN   a helm; Helm is built once when not set
import { readFileSync, writeFileSync } from 'node:fs';
import { delimiter, relative } from 'node:path';
import { setup } from './setup.js';
import { root } from './setup/paths.js';
import { printFailure, SetupError } from './setup/setup-error.js';

try {
  const { HELM_PROGRAMS } = await setup({ run: false, helm: true });
  // They import npm packages, which are there now.
  const { manifests } = await import('./charts/manifests.js');
  const { valueTables } = await import('./charts/value-tables.js');
  const bin = HELM_PROGRAMS.split(delimiter).at(-1);
  const check = process.argv.includes('--check');
  const stale = [];
  for (const [file, text] of [...(await manifests(bin)), ...(await valueTables())]) {
    if (readFileSync(file, 'utf8') === text) continue;
    if (check) stale.push(relative(root, file));
    else writeFileSync(file, text);
  }
  if (stale.length > 0) {
    throw new SetupError(`Not what the charts say: ${stale.join(', ')}. Run "npm run charts".`);
  }
} catch (error) {
  printFailure(error);
  process.exitCode = 1;
}
