// A test script of its own for the compiled tests of one folder, each run when no file is named.
import { relative } from 'node:path';
import { setup } from '../setup.js';
import { inRoot, root } from '../setup/paths.js';
import { printFailure } from '../setup/setup-error.js';
import { filesBelow } from '../setup/stamp.js';
import { compiledName } from './kinds.js';
import { ava } from './suites.js';

/**
 * Prepares, runs, and prints the last line "N passed, N failed". Takes ava's options and test files from the command line.
 * @param {string} folder below build/test
 * @param {{needs: object, env?: object, share?: () => Promise<{env: object, end: () => Promise<void>}>, serial?: boolean, timeout?: string}} how
 *   needs: of `setup`; env: beside what it found; share: starts what several files use, when more than one is run
 */
export async function runFolder(folder, { needs, env = {}, share, ...how }) {
  const args = process.argv.slice(2);
  const options = args.filter((arg) => arg.startsWith('-'));
  const named = args.filter((arg) => !arg.startsWith('-'));
  let total = { passed: 0, failed: 1, skipped: 0 };
  try {
    const found = await setup(needs);
    const files =
      named.length > 0 ? named.map(compiledName) : filesBelow(inRoot('build/test', folder));
    const tests = files
      .filter((file) => file.endsWith('.test.js'))
      .map((file) => relative(root, file));
    const shared = share && tests.length > 1 ? await share() : undefined;
    try {
      total = await ava(tests, { ...how, options, env: { ...found, ...env, ...shared?.env } });
    } finally {
      await shared?.end();
    }
  } catch (error) {
    printFailure(error);
  }
  const skippedToo = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
  console.log(`\n${total.passed} passed, ${total.failed} failed${skippedToo}`);
  process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
}
