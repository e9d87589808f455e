import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { clientCredentials, serverCredentials } from '../../src/lib/grpc/tls.js';
import type { SessionStatus } from '../../src/sessions/expiry.js';
import { sparkConnectClient } from '../../src/sessions/spark-connect-client.js';
import { TestAuthority } from '../support/certificates.js';
import { sessionId } from '../support/driver-records.js';
import { FakeSparkConnect } from '../support/fake-spark-connect.js';

async function start(t: { teardown(fn: () => void): void }) {
  const driver = new FakeSparkConnect('secret');
  await driver.start('127.0.0.1');
  t.teardown(() => driver.stop());
  const address = `${driver.address}:${driver.port}`;
  const session = { address, token: 'secret', sessionId: sessionId(1), userId: 'alice' };
  return { driver, session, client: sparkConnectClient() };
}

test('a driver tells whether a session runs something', async (t) => {
  const { driver, session, client } = await start(t);
  const states: [number[], SessionStatus][] = [
    [[], 'idle'],
    [[4, 5, 6], 'idle'],
    [[4, 2], 'running'],
    [[3], 'running'],
  ];
  for (const [operations, expected] of states) {
    driver.sessions.set(sessionId(1), operations);
    t.is(await client.status(session), expected);
  }
  t.like(driver.calls[0], { method: 'GetStatus', sessionId: sessionId(1), userId: 'alice' });
});

test('a session that the driver does not know is told from one that cannot be asked for', async (t) => {
  const { driver, session, client } = await start(t);
  t.is(await client.status(session), 'unknown');
  t.is(await client.status({ ...session, token: 'of another driver' }), 'unreachable');
  t.is(await client.status({ ...session, token: undefined }), 'unreachable');
  driver.answersStatus = false;
  t.is(await client.status(session), 'unsupported');
  driver.stop();
  t.is(await client.status(session), 'unreachable');
  t.false(await client.release(session));
});

test('a session with a streaming query runs something; one that cannot be asked is not idle', async (t) => {
  const { driver, session, client } = await start(t);
  for (const answersStatus of [true, false]) {
    driver.answersStatus = answersStatus;
    driver.sessions.set(sessionId(1), [4]);
    driver.streaming.add(sessionId(1));
    t.is(await client.status(session), 'running');
    driver.streaming.clear();
    t.is(await client.status(session), answersStatus ? 'idle' : 'unsupported');
    driver.streamingFailure = 'the scheduler is stuck';
    t.is(await client.status(session), 'unreachable');
    driver.streamingFailure = '[INVALID_HANDLE.SESSION_CLOSED] The handle is invalid.';
    t.is(await client.status(session), 'unknown');
    driver.streamingFailure = undefined;
  }
});

test('a token that no header can carry is an answer that does not come, not a crash', async (t) => {
  const { session, client } = await start(t);
  t.is(await client.status({ ...session, token: 'two\nlines' }), 'unreachable');
  t.false(await client.release({ ...session, token: 'two\nlines' }));
});

test('a driver that answers with something else is not idle', async (t) => {
  const { driver, session, client } = await start(t);
  driver.rawStatus = Buffer.from([0x1a, 0xff]);
  t.is(await client.status(session), 'unreachable');
});

test('a session is released with the driver’s own token', async (t) => {
  const { driver, session, client } = await start(t);
  driver.sessions.set(sessionId(1), []);
  t.false(await client.release({ ...session, token: 'wrong' }));
  t.true(await client.release(session));
  t.is(driver.sessions.size, 0);
});

test('a driver behind mutual TLS is believed by the names in its certificate, not by its address', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'driver-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const authority = new TestAuthority();
  const name = 'spiffe://cluster.local/ns/team/sa/spark';
  const driver = new FakeSparkConnect('secret');
  const files = authority.writeFiles(folder, 'driver', { commonName: 'driver', uris: [name] });
  await driver.start('127.0.0.1', serverCredentials(files));
  t.teardown(() => driver.stop());
  driver.sessions.set(sessionId(1), []);
  const session = {
    address: `${driver.address}:${driver.port}`,
    token: 'secret',
    sessionId: sessionId(1),
    userId: 'alice',
  };
  const own = authority.writeFiles(folder, 'gateway', { commonName: 'gateway' });
  const asked = (serverNames: readonly string[]) =>
    sparkConnectClient(clientCredentials(own, { serverNames })).status(session);
  t.is(await asked([name]), 'idle');
  t.is(await asked([]), 'idle');
  t.is(await asked(['spiffe://cluster.local/ns/other/sa/spark']), 'unreachable');
  t.is(await sparkConnectClient().status(session), 'unreachable');
});
