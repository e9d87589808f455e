// The suites of npm test, each run as a process whose own result is read.
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { inRoot, root } from '../setup/paths.js';
import { titleInGroup, titlePrefix, writeGroups } from './groups.js';
import { tapReader } from './tap.js';

const UNITTEST_TIMEOUT_MS = 10 * 60_000;

const bin = (name) => inRoot('node_modules/.bin', name);

/** @typedef {{passed: number, failed: number, skipped: number}} Totals */

/**
 * A check that passes or fails as a whole and is no test: only its failure counts.
 * @returns {Totals}
 */
export function check(command, args) {
  const { status } = spawnSync(bin(command), args, { cwd: root, stdio: 'inherit' });
  return { passed: 0, failed: status === 0 ? 0 : 1, skipped: 0 };
}

/**
 * Runs compiled test files with ava.
 * @param {readonly string[]} files
 * @param {{grouped?: boolean, serial?: boolean, concurrency?: number, timeout?: string, options?: readonly string[], env?: object}} options
 *   grouped: several files share a process, one after the other
 *   concurrency: processes at a time; default: one for each core
 *   timeout: the run is ended when nothing is told for so long; default: that of package.json. A test that
 *   gives itself longer (t.timeout) switches this off for as long, and ava (7.0.0) never switches it on
 *   again while a test hangs: so no test may
 * @returns {Promise<Totals>}
 */
export async function ava(
  files,
  { grouped = false, serial = false, concurrency, timeout, options = [], env = {} } = {},
) {
  const groups = grouped && files.length > 1 ? writeGroups(files) : undefined;
  const args = [
    '--import',
    new URL('ava-hangs.js', import.meta.url).href,
    bin('ava'),
    '--tap',
    ...(serial ? ['--serial', '--concurrency=1'] : []),
    ...(concurrency ? [`--concurrency=${concurrency}`] : []),
    ...(timeout ? [`--timeout=${timeout}`] : []),
    ...options,
    ...(groups?.files ?? files),
  ];
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const startedAt = Date.now();
  const titles = [];
  const reader = tapReader(({ outcome, title: toldTitle, diagnostics }) => {
    const title = groups ? titleInGroup(toldTitle) : toldTitle;
    titles.push(title);
    const seconds = Math.round((Date.now() - startedAt) / 1000);
    const told = { passed: '  ok  ', failed: 'FAILED', skipped: ' skip ' }[outcome];
    console.log(`${told} ${String(seconds).padStart(4)} s  ${title}`);
    if (outcome === 'failed') console.log(diagnostics.join('\n'));
  });
  createInterface({ input: child.stdout }).on('line', (line) => reader.line(line));
  const failure = await exited(child);
  groups?.remove();
  const totals = reader.end();
  if (failure && totals.failed === 0) {
    console.log(`FAILED ava ended with ${failure}`);
    totals.failed = 1;
  }
  // A process that a test ended, or hung in, has not come to these.
  const missed = (file) => !titles.some((title) => title.startsWith(titlePrefix(file)));
  if (failure && groups)
    for (const file of files.filter(missed)) console.log(`       nothing told  ${file}`);
  return totals;
}

/**
 * Runs the Python client's own tests.
 * @returns {Totals}
 */
export function unittest(python) {
  const { status, stderr, error } = spawnSync(
    python,
    [
      '-W',
      'ignore',
      '-m',
      'unittest',
      'discover',
      '--verbose',
      '--start-directory',
      'tests',
      '--top-level-directory',
      '.',
    ],
    {
      cwd: inRoot('clients/python'),
      encoding: 'utf8',
      env: { ...process.env, PYTHONPATH: '.' },
      timeout: UNITTEST_TIMEOUT_MS,
    },
  );
  const output = error ? error.message : stderr;
  console.log(output.trimEnd());
  const count = (name) =>
    Number(new RegExp(`^(?:OK|FAILED).*\\b${name}=(\\d+)`, 'm').exec(output)?.[1] ?? 0);
  const ran = Number(/^Ran (\d+) tests?/m.exec(output)?.[1] ?? 0);
  const failed = count('failures') + count('errors') + count('unexpected successes');
  const skipped = count('skipped');
  return {
    passed: Math.max(0, ran - failed - skipped),
    failed: failed === 0 && (status !== 0 || ran === 0) ? 1 : failed,
    skipped,
  };
}

/** Resolves with undefined for exit code 0, else with what ended the process. */
function exited(child) {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) =>
      resolve(code === 0 ? undefined : (signal ?? `exit code ${code}`)),
    );
  });
}
