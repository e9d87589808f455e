import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';

test('a process goes on when its terminal has gone', async (t) => {
  const say = new URL('../../src/processes/start.js', import.meta.url).href;
  const program = `
    import { say } from ${JSON.stringify(say)};
    process.stdin.resume().on('end', () => {
      say('nobody reads this');
      setImmediate(() => process.exit(7));
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdout.destroy();
  child.stdin.end();
  t.deepEqual(await once(child, 'exit'), [7, null]);
});
