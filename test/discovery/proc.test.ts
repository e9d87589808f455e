import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { isAlive, processId } from '../../src/discovery/proc.js';

test('a process is told from one that has ended and from a later one of its id', (t) => {
  const own = processId(process.pid);
  t.truthy(own);
  t.true(own && isAlive(own));
  t.false(isAlive({ pid: process.pid, startTime: '1' }));
  t.is(processId(2 ** 22 + 1), undefined);
});

test('with no file descriptor left nobody is taken for ended', async (t) => {
  const driver = fileURLToPath(new URL('../../src/discovery/local-driver.js', import.meta.url));
  const proc = fileURLToPath(new URL('../../src/discovery/proc.js', import.meta.url));
  const script = `
    import { openSync } from 'node:fs';
    import { LocalDriver } from ${JSON.stringify(driver)};
    import { processId } from ${JSON.stringify(proc)};
    const own = processId(process.pid);
    const folders = { log: () => '/nowhere' };
    const driver = new LocalDriver({}, folders, own);
    const ended = new LocalDriver({}, folders, { ...own, startTime: '1' });
    try { for (;;) openSync('/dev/null'); } catch {}
    console.log(driver.isLive(), ended.isLive());
    process.exit();`;
  const { stdout } = await promisify(execFile)('/bin/sh', [
    '-c',
    'ulimit -n 64; exec "$0" --input-type=module -e "$1"',
    process.execPath,
    script,
  ]);
  t.is(stdout.trim(), 'true true');
});
