// Which test file is of which kind: by its folder alone.
import { existsSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { inRoot, root } from '../setup/paths.js';
import { filesBelow } from '../setup/stamp.js';

/** Folders of compiled tests with a script of their own: what they need is built first. */
const apart = [
  'build/test/charts/',
  'build/test/clients/',
  'build/test/kube/',
  'build/test/monitoring/promtool/',
];

/**
 * unit: nothing but Node; component: a real Envoy, Spark or browser, or processes of the gateway itself; e2e: the whole gateway.
 * @param {string} file compiled, below the checkout
 * @returns {'unit' | 'component' | 'e2e'}
 */
export function kindOf(file) {
  if (file.startsWith('build/test/e2e/')) return 'e2e';
  return file.startsWith('build/test/real-') ? 'component' : 'unit';
}

/** The compiled file of every source in the tree, below the checkout, sorted. */
export function testFiles() {
  return filesBelow(inRoot('test'))
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => relative(root, inRoot('build', relative(root, file))).replace(/ts$/, 'js'))
    .filter((file) => !apart.some((folder) => file.startsWith(folder)));
}

/** A test may be named by its source or by its compiled file. */
export function compiledName(name) {
  const file = relative(root, resolve(name));
  const source = file.replace(/^build\//, '').replace(/\.js$/, '.ts');
  if (!existsSync(inRoot(source))) throw new Error(`No such test file: ${name}`);
  return `build/${source.replace(/\.ts$/, '.js')}`;
}
