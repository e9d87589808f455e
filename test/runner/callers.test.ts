import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { SparkRunnerService } from '#gen/sparkrunner/sparkrunner_pb.js';
import { TestAuthority } from '../support/certificates.js';
import { RunnerWorld } from './world.js';

const { check } = SparkRunnerService.method;
const airflow = 'spiffe://example.com/airflow';

async function start(t: ExecutionContext, allowedSans: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'runner-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const authority = new TestAuthority();
  const tls = authority.writeFiles(folder, 'runner', {
    commonName: 'runner',
    dnsNames: ['runner'],
  });
  const world = await RunnerWorld.start(t, { tls, allowedSans });
  world.gateway.add('job-1', { user: 'alice@example.com' });
  const caller = (name: string, uris: readonly string[], by = authority) =>
    world.client(
      t,
      by.writeFiles(folder, name, { commonName: name, uris, dnsNames: [`${name}.example.com`] }),
    );
  return { world, folder, caller };
}

test('a caller is known by its certificate, and whom it acts for by its headers', async (t) => {
  const { world, caller } = await start(t, [airflow]);
  await caller('airflow', [airflow]).call(
    check,
    { jobId: 'job-1' },
    { user: 'alice@example.com', groups: ['data'] },
  );
  t.like(world.gateway.asked[0]?.caller, {
    uriSans: [airflow],
    dnsSans: ['airflow.example.com'],
    subject: 'CN=airflow',
    user: 'alice@example.com',
    groups: ['data'],
  });
});

test('a certificate with none of the names that may call is refused before anything is asked', async (t) => {
  const { world, caller } = await start(t, [airflow]);
  await t.throwsAsync(
    caller('stranger', ['spiffe://example.com/stranger']).call(check, { jobId: 'job-1' }),
    { code: 'CALLER_UNKNOWN', message: /runner\.allowed_sans/ },
  );
  t.is(world.gateway.asked.length, 0);
});

test('a certificate of another authority, or none, does not get so far', async (t) => {
  const { world, caller } = await start(t, []);
  const other = caller('airflow', [airflow], new TestAuthority('another'));
  await t.throwsAsync(other.call(check, { jobId: 'job-1' }, { timeoutMs: 2_000 }));
  await t.throwsAsync(world.client(t).call(check, { jobId: 'job-1' }, { timeoutMs: 2_000 }));
  t.is(world.gateway.asked.length, 0);
});

test('a service that names nobody acts for itself', async (t) => {
  const { world, caller } = await start(t, [airflow]);
  world.gateway.add('job-2', { user: '' });
  await caller('airflow', [airflow]).call(check, { jobId: 'job-2' });
  t.is(world.gateway.asked[0]?.caller?.user, '');
});

test('more than 500 groups are refused', async (t) => {
  const world = await RunnerWorld.start(t);
  const groups = [Array.from({ length: 501 }, (_, at) => `g${at}`).join(', ')];
  await t.throwsAsync(world.client(t).call(check, { jobId: 'job-1' }, { user: 'a', groups }), {
    code: 'ARGUMENT_INVALID',
  });
});

test('names with commas and letters of any language arrive percent-encoded', async (t) => {
  const world = await RunnerWorld.start(t);
  const user = 'zoë, the "100%"';
  const groups = ['cn=data,ou=groups', 'ünicode'];
  world.gateway.add('job-1', { user });
  await world
    .client(t)
    .call(
      check,
      { jobId: 'job-1' },
      { user: encodeURIComponent(user), groups: groups.map(encodeURIComponent) },
    );
  t.like(world.gateway.asked[0]?.caller, { user, groups });
});

test('a header that names two users, or cannot be read, is refused', async (t) => {
  const world = await RunnerWorld.start(t);
  const client = world.client(t);
  await t.throwsAsync(client.call(check, { jobId: 'job-1' }, { user: 'alice,bob' }), {
    code: 'HEADER_DUPLICATED',
  });
  await t.throwsAsync(client.call(check, { jobId: 'job-1' }, { user: '100%' }), {
    code: 'ARGUMENT_INVALID',
  });
});
