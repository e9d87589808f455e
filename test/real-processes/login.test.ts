import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { startTestConsole } from '../support/console.js';
import { temporaryFolder } from '../support/local-world.js';
import { unusedAddress } from '../support/loopback.js';

const HOST = await unusedAddress();

test('the command waits for the browser, and others go by what it left', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const env = { PATH: process.env['PATH'], XDG_CONFIG_HOME: await temporaryFolder(t) };
  const run = (...args: string[]) =>
    spawn(process.execPath, ['build/src/main.js', ...args, '--server', console.url], { env });
  const login = run('login');
  for await (const line of createInterface({ input: login.stdout })) {
    const [link] = /http\S+user_code=\S+/.exec(line) ?? [];
    if (link !== undefined) await fetch(`${link}&user=alice`);
    else t.is(line, `Logged in to ${console.url} as alice@example.com.`);
  }
  const status = run('status', '-o', 'jsonpath={.version}');
  t.is(await text(status.stdout), '1.2.3\n');
  t.is(await text(run('logout').stdout), `Logged out of ${console.url}.\n`);
  const unknown = run('status');
  t.regex(await text(unknown.stderr), /Say who you are: run spark-gateway login/);
});
