import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { ClientsWorld, read } from './fixture.js';

const javaClient = process.env['JAVA_CLIENT'];
const goClient = process.env['GO_CLIENT'];

const test = anyTest as TestFn<{ world: ClientsWorld }>;

test.before(async (t) => {
  Object.assign(t.context, { world: await ClientsWorld.start() });
});

test.after.always(async (t) => {
  t.is(await t.context.world?.stop(), 0);
});

if (javaClient) {
  for (const { title, args } of [
    { title: 'with a token for each request', args: [] },
    { title: 'with the token in the URL, as its own client sends it', args: ['--url-token'] },
  ]) {
    test.serial(`Java connects ${title}`, async (t) => {
      const { world } = t.context;
      const java = join(process.env['JAVA_HOME'] ?? '', 'bin/java');
      const classpath = `${javaClient}/target/client.jar:${read(javaClient, 'target/classpath.txt').trim()}`;
      const open = '--add-opens=java.base/java.nio=ALL-UNNAMED';
      const { exitCode, output } = await world.run(java, [
        open,
        '-Xmx512m',
        '-classpath',
        classpath,
        'sparkgateway.client.Example',
        ...args,
      ]);
      t.is(exitCode, 0, output);
      t.regex(output, /Connected to Spark \d/);
      t.regex(output, /count: 1000/);
      t.regex(output, /rows: 20000, bytes: 19200000/);
      await world.noSessions();
    });
  }

  test.serial('a Java that the client does not run on is refused with what to do', async (t) => {
    const { world } = t.context;
    // As if this Java were too new.
    const supported = '-Djava.supported=[11,17)';
    const pom = join(javaClient, 'pom.xml');
    const args = ['--offline', '--batch-mode', '--file', pom, supported, 'validate'];
    const env = {
      ...(await world.env()),
      HOME: process.env['HOME'] ?? '',
      JAVA_HOME: process.env['JAVA_HOME'] ?? '',
    };
    const { exitCode, output } = await world.run('mvn', args, { env });
    t.not(exitCode, 0);
    t.regex(output, /Set JAVA_HOME to Java 17 or 21/);
  });
}

if (goClient) {
  test.serial('Go connects through a private authority, and fetches more than 4 MiB', async (t) => {
    const { world } = t.context;
    const { exitCode, output } = await world.run(goClient, []);
    t.is(exitCode, 0, output);
    t.regex(output, /Connected to Spark \d/);
    t.regex(output, /count: 1000/);
    t.regex(output, /rows: 20000, bytes: 19200000/);
  });
}

test.serial('the gateway is well after all of them', async (t) => {
  const { world } = t.context;
  t.true(await world.gateway.isReady());
});
