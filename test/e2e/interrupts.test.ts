import anyTest, { type TestFn } from 'ava';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Gateway } from '../support/gateway.js';
import { pythonOf, PySpark, type PySparkVersion } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { RowGate } from '../support/row-gate.js';
import { teamPolicy } from '../support/team-policy.js';

const script = fileURLToPath(new URL('../../../test/e2e/python/ctrl_c.py', import.meta.url));

const test = anyTest as TestFn<{ gateway: Gateway; gate: RowGate }>;

test.before(async (t) => {
  // Each driver runs one task at a time: a query that goes on would hold up the next one.
  t.context.gateway = await Gateway.start({
    policy: teamPolicy({ maximum: 1 }),
  });
});

test.beforeEach((t) => {
  t.context.gate = new RowGate();
});

test.afterEach.always((t) => t.context.gate.remove());

test.after.always(async (t) => {
  t.is(await t.context.gateway?.stop(), 0);
});

test.serial('Ctrl-C during a query ends it on the driver, and the session goes on', async (t) => {
  const { gateway, gate } = t.context;
  const url = await gateway.url({ user: 'alice' });
  const child = spawn(pythonOf('4'), ['-W', 'ignore', script, url, gate.folder], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close');
  const output = Promise.all([text(child.stdout), text(child.stderr)]);
  await gateway.until(
    async () => existsSync(join(gate.folder, 'running')) || child.exitCode !== null,
    (runs) => runs,
  );
  child.kill('SIGINT');
  await closed;
  const [printed, errors] = await output;
  t.is(child.exitCode, 0, errors);
  const [first, second, sessionId = ''] = printed.trim().split('\n');
  t.deepEqual([first, second], ['interrupted', '42 10']);
  const interrupts = await gateway.until(
    async () => (await gateway.audit(sessionId)).filter(({ method }) => method === 'Interrupt'),
    ({ length }) => length > 0,
  );
  t.like(interrupts[0], { decision: 'allowed', grpcStatus: 0, principal: 'alice@example.com' });
});

for (const version of ['4', '3.5'] as const satisfies readonly PySparkVersion[]) {
  test.serial(
    `interruptAll of PySpark ${version} ends a query, and the session goes on`,
    async (t) => {
      const { gateway, gate } = t.context;
      const pyspark = await PySpark.start(version);
      t.teardown(() => pyspark.kill());
      const options = { user: 'bob' };
      await pyspark.connect(
        'bob',
        await (version === '4' ? gateway.url(options) : gateway.url35(options)),
      );
      await pyspark.createTempView('bob', 'mine', 'SELECT 42 AS answer');
      const query = pyspark.gated('bob', gate, 2);
      gate.open(0);
      await query.event(({ type }) => type === 'row');
      t.is((await pyspark.interrupt('bob')).length, 1);
      const error = await t.throwsAsync(query.result, { instanceOf: PySparkError });
      t.regex(error?.message ?? '', /OPERATION_CANCELED/);
      t.deepEqual(
        (await pyspark.sql('bob', 'SELECT max(answer), count(*) FROM mine JOIN range(10)')).rows,
        [[42, 10]],
      );
    },
  );
}
