import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { isAlive, processId } from '../../../src/lib/child-processes/proc.js';
import { processEnded } from '../../support/process-ended.js';

test('a process is told from one that has ended and from a later one of its id', (t) => {
  const own = processId(process.pid);
  t.truthy(own);
  t.true(own && isAlive(own));
  t.false(isAlive({ pid: process.pid, startTime: '1' }));
  t.is(processId(2 ** 22 + 1), undefined);
});

test('with no file descriptor left nobody is taken for ended', async (t) => {
  const driver = fileURLToPath(
    new URL('../../../src/discovery/local/local-driver.js', import.meta.url),
  );
  const proc = fileURLToPath(new URL('../../../src/lib/child-processes/proc.js', import.meta.url));
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

/** Its first thread ends, which makes the process a zombie; another one tells of that and goes on. */
const WITHOUT_ITS_FIRST_THREAD = `
import ctypes, threading, time

def tell():
    while open("/proc/self/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    print("zombie", flush=True)
    time.sleep(600)

threading.Thread(target=tell).start()
ctypes.CDLL(None).pthread_exit(None)
`;

test('a process lives until its last thread has ended', async (t) => {
  const child = spawn('python3', ['-c', WITHOUT_ITS_FIRST_THREAD], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = child.pid ?? 0;
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const id = processId(pid);
  t.truthy(id);
  t.true(id && isAlive(id));

  child.kill('SIGKILL');
  await processEnded(pid);
  t.false(id && isAlive(id));
});
