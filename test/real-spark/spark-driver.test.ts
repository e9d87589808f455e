import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import test from 'ava';
import { hostPort, type ObservedDriver } from '../../src/model/driver.js';
import { sparkCommand } from '../../src/discovery/local/spark-command.js';
import { processId } from '../../src/lib/child-processes/proc.js';
import { openLocal, pidOf, temporaryFolder, untilSeen } from '../support/local-world.js';
import { sparkHome } from '../support/spark-home.js';
import { unusedRange } from '../support/loopback.js';

/** The outcome of a Config RPC with this credential: the driver's answer, or its refusal. */
function askConfig(
  driver: ObservedDriver,
  token: string,
  { identity, method = 'Config' }: { readonly identity?: string; readonly method?: string } = {},
): Promise<Buffer | ServiceError> {
  const client = new Client(hostPort(driver.address, driver.port), credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  if (identity !== undefined) {
    metadata.set('x-spark-identity', Buffer.from(identity).toString('base64'));
  }
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      `/spark.connect.SparkConnectService/${method}`,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => bytes,
      method === 'Config' ? configRequest() : identityFields,
      metadata,
      (error, answer) => {
        client.close();
        resolve(error ?? answer ?? Buffer.alloc(0));
      },
    );
  });
}

/** A length-delimited field of a protobuf message. */
function field(number: number, content: Uint8Array | string): Uint8Array {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}

const SESSION = '00000000-0000-4000-8000-000000000001';
const identityFields = Buffer.concat([field(1, SESSION), field(2, field(1, 'alice'))]);

/** ConfigRequest{session_id, user_context{user_id}, operation{get{keys: spark.app.name}}} of Spark's base.proto. */
function configRequest(): Uint8Array {
  return Buffer.concat([identityFields, field(3, field(2, field(1, 'spark.app.name')))]);
}

test('a real Spark Connect server comes up, lets in who knows its secret, and leaves nothing behind', async (t) => {
  const stateFolder = await temporaryFolder(t);
  const javaHome = process.env['JAVA_HOME'];
  const drivers = await openLocal(t, {
    stateFolder,
    addressRange: await unusedRange(),
    makeCommand: sparkCommand({
      sparkHome: sparkHome(),
      ...(javaHome === undefined ? {} : { javaHome }),
    }),
  });
  await drivers.factory.create('spark-1', 'sjns-ads-dev');
  const [driver] = await untilSeen(
    drivers,
    ([seen]) => seen?.condition === 'ready' || seen?.condition === 'ended',
  );
  t.is(driver?.condition, 'ready', driver?.reason);
  if (!driver) return;

  const answer = await askConfig(driver, driver.token ?? '');
  t.true(Buffer.isBuffer(answer) && answer.includes('spark-connect-spark-1'), String(answer));
  const refused = await askConfig(driver, 'another');
  t.is('code' in refused ? refused.code : undefined, 16);

  // What the gateway has checked is compared with what the message says.
  const token = driver.token ?? '';
  t.true(Buffer.isBuffer(await askConfig(driver, token, { identity: `${SESSION}/alice` })));
  for (const identity of [`${SESSION}/bob`, `${SESSION}/`, SESSION, `x/alice`, '']) {
    const other = await askConfig(driver, token, { identity });
    t.is('code' in other ? other.code : undefined, 7, identity);
  }
  // Clients take a session for ended by this error class alone.
  t.true(Buffer.isBuffer(await askConfig(driver, token, { method: 'ReleaseSession' })));
  const closed = await askConfig(driver, token);
  const details = 'metadata' in closed ? closed.metadata.get('grpc-status-details-bin')[0] : '';
  t.regex(String(details), /errorClass.*INVALID_HANDLE\.SESSION_CHANGED/s);

  const commandLine = await readFile(`/proc/${pidOf(driver)}/cmdline`, 'utf8');
  t.false(commandLine.includes(driver.token ?? '?'));
  await drivers.factory.delete('spark-1', 'sjns-ads-dev');
  t.is(processId(pidOf(driver)), undefined);
  t.deepEqual(await readdir(join(stateFolder, 'drivers')), []);
});

test('a folder without Spark, a Spark without Connect and a missing Java are refused, each by name', async (t) => {
  const folder = await temporaryFolder(t);
  t.throws(() => sparkCommand({ sparkHome: folder }), { message: /jars cannot be read/ });
  const home = sparkHome();
  t.throws(() => sparkCommand({ sparkHome: home, javaHome: folder }), {
    message: new RegExp(`JAVA_HOME is ${folder}, but there is no ${folder}/bin/java`),
  });
  await mkdir(join(folder, 'jars'));
  t.throws(() => sparkCommand({ sparkHome: folder }), { message: /no Spark Connect server in/ });
});
