// Runs test files one after the other in one process of ava (7.0.0), each with a runner of its own, and so with its own
// hooks, titles and snapshots. docs/decisions/unit-tests-share-processes.md has why.
import { relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import Runner from '../../node_modules/ava/lib/runner.js';
import serializeError from '../../node_modules/ava/lib/serialize-error.js';
import channel from '../../node_modules/ava/lib/worker/channel.cjs';
import options from '../../node_modules/ava/lib/worker/options.cjs';
import { refs } from '../../node_modules/ava/lib/worker/state.cjs';
import { root } from '../setup/paths.js';
import { titlePrefix } from './groups.js';
import { fileEnded } from './test-process.js';

// What `import test from 'ava'` gives is `test` of whichever file is running.
const group = refs.runnerChain;
let test = group;
refs.runnerChain = new Proxy(() => {}, {
  get: (_, name) => test[name],
  apply: (_, self, args) => test(...args),
});
await import('ava');

/**
 * Awaited by the test file that ava knows.
 * @param {readonly string[]} files absolute
 */
export async function runFiles(files) {
  // As ava does for a file that is loaded: the process may then run out of events, which ends a test that waits for none.
  channel.unref();
  for (const [at, file] of files.entries()) {
    if (at > 0) fileEnded();
    const before = processState();
    const runner = new Runner({ ...options.get(), file });
    test = runner.chain;
    try {
      await run(runner, file);
      if (!isDeepStrictEqual(processState(), before))
        throw new Error(`${relative(root, file)} leaves process.env or process.cwd() changed`);
    } catch (error) {
      runner.interrupt();
      channel.send({ type: 'uncaught-exception', err: serializeError(error, { testFile: file }) });
    }
  }
  channel.ref();
  // With a hook and no test, the group ends as soon as it begins.
  group.after(() => {});
}

async function run(runner, file) {
  const prefix = titlePrefix(relative(root, file));
  runner.on('stateChange', (event) =>
    channel.send('title' in event ? { ...event, title: prefix + event.title } : event),
  );
  const ended = Promise.race([
    runner.once('finish'),
    runner.once('error').then((error) => {
      throw error;
    }),
  ]);
  // --fail-fast
  channel.peerFailed.then(() => runner.interrupt());
  await import(pathToFileURL(file));
  if (runner.nextTaskIndex === 0) throw new Error(`No tests found in ${relative(root, file)}`);
  await ended;
  await runner.saveSnapshotState();
}

/** What a test can change of its process and has to restore. */
function processState() {
  return { env: { ...process.env }, cwd: process.cwd() };
}
