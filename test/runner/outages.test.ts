import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '#gen/health/v1/health_pb.js';
import { BatchService } from '#gen/spark_gateway/v1/batch_pb.js';
import { JobService, type StreamLogsResponse } from '#gen/spark_gateway/v1/jobs_pb.js';
import { SparkRunnerService } from '#gen/sparkrunner/sparkrunner_pb.js';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { createGrpcPort } from '../../src/lib/grpc/port.js';
import { parseOptions } from '../../src/manifest/options.js';
import { readManifest } from '../../src/manifest/parse.js';
import { systemClock } from '../../src/model/clock.js';
import { GatewayError } from '../../src/model/errors.js';
import { BatchWorld, MANIFEST } from '../support/batch-world.js';
import { TestAuthority } from '../support/certificates.js';
import { settle } from '../support/manual-clock.js';
import { unusedPort } from '../support/unused-port.js';
import { type CallerOptions, RunnerWorld } from './world.js';

// The Runner before the control plane's own BatchService: at the leader, with jobs that a test moves on.

const { submit, check, cancel } = SparkRunnerService.method;
const { describeJob, listJobs, streamLogs } = JobService.method;
const alice: CallerOptions = { user: 'alice' };
const submission = { manifest: MANIFEST, team: 'ads', environment: 'staging', user: 'alice' };

async function start(t: ExecutionContext) {
  const batch = new BatchWorld();
  await settle();
  const folder = mkdtempSync(join(tmpdir(), 'runner-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const authority = new TestAuthority();
  const certificate = (name: string) =>
    authority.writeFiles(folder, name, { commonName: name, uris: [`spiffe://example/${name}`] });
  const number = await unusedPort();
  const port = createGrpcPort({
    name: 'test',
    address: { host: '127.0.0.1', port: number },
    tls: certificate('replica'),
    allowedSans: ['spiffe://example/authz'],
    services: [BatchService],
    replicaServices: [],
    namedServices: [{ service: BatchService, allowedSans: ['spiffe://example/runner'] }],
    clock: systemClock,
    logger: pino({ level: 'silent' }),
  });
  port.serve((server) => batch.term.addServices(server));
  await port.listen();
  t.teardown(() => port.close());
  const world = await RunnerWorld.start(t, {
    tls: certificate('runner'),
    controlPlane: { address: `127.0.0.1:${number}`, tls: certificate('runner') },
    validate: ({ manifest, options, team }) => {
      parseOptions(options);
      readManifest(manifest, { localPaths: true, ...(team === '' ? {} : { team }) });
    },
  });
  const client = world.client(t, certificate('airflow'));
  /** The leader ends, and another one takes over at the same address. */
  const takeOver = async () => {
    await batch.crash();
    port.serve((server) => batch.term.addServices(server));
  };
  return { batch, client, takeOver };
}

test('a job goes from its submission to its rows, and is the same for every question', async (t) => {
  const { batch, client } = await start(t);
  const options = { client_request_id: 'one', ttl_seconds: '600' };
  const { jobId, namespace } = await client.call(submit, { ...submission, options });
  t.is(namespace, 'sjns-ads-staging');
  const again = await client.call(submit, { ...submission, options });
  t.is(again.jobId, jobId);
  await settle();
  t.is((await client.call(check, { jobId }, alice)).state, 'PENDING');
  batch.backend.set(jobId, { state: 'RUNNING', attempt: 1, uiUrl: 'http://ui' });
  await settle();
  t.like(await client.call(check, { jobId }, alice), { state: 'RUNNING', sparkUiUrl: 'http://ui' });
  batch.backend.say(jobId, 1, '2026-11-29T10:00:00.000000001Z', 'one');
  const { job, logLines } = await client.call(describeJob, { jobId, logLines: 10 }, alice);
  t.like(job, { team: 'ads', environment: 'staging', user: 'alice', attempt: 1 });
  t.deepEqual(logLines, ['one']);
  batch.report(jobId, { rowCount: 3n });
  batch.backend.set(jobId, { state: 'SUCCEEDED', attempt: 1, exitCode: 0 });
  await settle();
  const done = await client.call(check, { jobId, includeResults: true }, alice);
  t.is(done.state, 'COMPLETED');
  t.is(done.resultCount, 3n);
  const { jobs } = await client.call(listJobs, { mine: true }, alice);
  t.deepEqual(
    jobs.map((one) => one.jobId),
    [jobId],
  );
});

test('who may not see a job is told that there is none, and a refusal of the policy arrives as it is', async (t) => {
  const { client } = await start(t);
  const { jobId } = await client.call(submit, submission);
  await t.throwsAsync(client.call(check, { jobId }, { user: 'bob' }), { code: 'JOB_UNKNOWN' });
  await t.throwsAsync(client.call(cancel, { jobId }, { user: 'bob' }), { code: 'JOB_UNKNOWN' });
  const forbidden = {
    ...submission,
    team: 'forbidden',
    manifest: MANIFEST.replace('team: ads', 'team: forbidden'),
  };
  await t.throwsAsync(client.call(submit, forbidden), { code: 'BATCH_REFUSED' });
  const options = { client_request_id: 'x' };
  await client.call(submit, { ...submission, options });
  const other = MANIFEST.replace('n * 2', 'n * 3');
  await t.throwsAsync(client.call(submit, { ...submission, options, manifest: other }), {
    code: 'JOB_EXISTS',
  });
});

test('mistakes are the same whoever finds them', async (t) => {
  const { client } = await start(t);
  const manifest = MANIFEST.replace('"4.1"', '"9"');
  const error = await t.throwsAsync<GatewayError>(client.call(submit, { ...submission, manifest }));
  t.is(error?.code, 'MANIFEST_INVALID');
  t.like(error?.problems[0], { line: 5, path: 'spec.engine.version' });
});

test('cancel is durable when it is answered, and the same again; another leader keeps it', async (t) => {
  const { batch, client, takeOver } = await start(t);
  const { jobId } = await client.call(submit, submission);
  await settle();
  batch.backend.set(jobId, { state: 'RUNNING', attempt: 1 });
  await settle();
  t.true((await client.call(cancel, { jobId }, alice)).success);
  await takeOver();
  t.true((await client.call(cancel, { jobId }, alice)).success);
  batch.backend.vanish(jobId);
  await batch.clock.advance(60_000);
  t.is((await client.call(check, { jobId }, alice)).state, 'CANCELLED');
});

test('a log is followed to the end of the job', async (t) => {
  const { batch, client } = await start(t);
  const { jobId } = await client.call(submit, submission);
  await settle();
  batch.backend.set(jobId, { state: 'RUNNING', attempt: 1 });
  batch.backend.say(jobId, 1, '2026-11-29T10:00:00.000000001Z', 'one');
  await settle();
  const stream = client.stream(streamLogs, { jobId, follow: true }, alice);
  const seen: StreamLogsResponse[] = [];
  stream.on('data', (message: StreamLogsResponse) => seen.push(message));
  // Times pass while something is waited for: the clock is moved by hand.
  while (seen.flatMap(({ lines }) => lines).length === 0) await batch.clock.advance(50);
  t.deepEqual(
    seen.flatMap(({ lines }) => lines.map(({ text }) => text)),
    ['one'],
  );
  const position = seen.flatMap(({ lines }) => lines).at(-1)?.position ?? '';
  stream.on('error', () => undefined);
  stream.cancel();
  batch.backend.say(jobId, 1, '2026-11-29T10:00:00.000000002Z', 'two');
  const rest = client.stream(streamLogs, { jobId, after: position, follow: false }, alice);
  const texts: string[] = [];
  const ends: string[] = [];
  rest.on('data', ({ lines }: StreamLogsResponse) => texts.push(...lines.map(({ text }) => text)));
  rest.on('end', () => ends.push('end'));
  while (ends.length === 0) await batch.clock.advance(50);
  t.deepEqual(texts, ['two']);
});

// Outages.

const asAlice = { user: 'alice@example.com' };

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function startWithJob(t: ExecutionContext) {
  const world = await RunnerWorld.start(t);
  world.gateway.add('job-1', { state: 'RUNNING' });
  return { world, gateway: world.gateway, client: world.client(t) };
}

test('health follows the control plane: it goes, and it comes back', async (t) => {
  const { world, gateway, client } = await startWithJob(t);
  await until(() => world.serving);
  const ask = async () =>
    (await client.call(Health.method.check, { service: 'sparkrunner.SparkRunnerService' })).status;
  t.is(await ask(), ServingStatus.SERVING);
  await gateway.stop();
  await until(() => !world.serving);
  t.is(await ask(), ServingStatus.NOT_SERVING);
  await gateway.listen();
  await until(() => world.serving);
  t.is(await ask(), ServingStatus.SERVING);
});

test('a question that meets a restart of the control plane is answered by the next one', async (t) => {
  const { gateway, client } = await startWithJob(t);
  await gateway.stop();
  const asked = client.call(check, { jobId: 'job-1' }, asAlice);
  await gateway.listen();
  t.is((await asked).state, 'RUNNING');
});

test('while no control plane answers, a caller is told so before its deadline', async (t) => {
  const { gateway, client } = await startWithJob(t);
  await gateway.stop();
  const error = await t.throwsAsync<GatewayError>(
    client.call(check, { jobId: 'job-1' }, { ...asAlice, timeoutMs: 4_000 }),
  );
  t.is(error?.code, 'CONTROL_PLANE_UNAVAILABLE');
  t.regex(error?.message ?? '', /Runner gets no answer/);
});

test('of several control planes one that answers is enough', async (t) => {
  const dead = [`127.0.0.1:${await unusedPort('127.0.0.1')}`];
  const world = await RunnerWorld.start(t, { dead });
  const { jobId } = await world
    .client(t)
    .call(submit, { manifest: 'm', team: 'data', environment: 'dev', ...asAlice });
  t.true(world.gateway.jobs.has(jobId));
});

test('any Runner answers for any job: one that was killed is not missed', async (t) => {
  const { world, client } = await startWithJob(t);
  t.is((await client.call(check, { jobId: 'job-1' }, asAlice)).state, 'RUNNING');
  await world.stopRunner();
  await world.startRunner();
  t.is((await world.client(t).call(check, { jobId: 'job-1' }, asAlice)).state, 'RUNNING');
});

test('a log is followed to its end, and resumed after a position', async (t) => {
  const { gateway, client } = await startWithJob(t);
  gateway.log('job-1', 'one', 'two');
  const stream = client.stream(
    JobService.method.streamLogs,
    { jobId: 'job-1', follow: true },
    asAlice,
  );
  const [first] = (await once(stream, 'data')) as [StreamLogsResponse];
  t.is(first.state, 'RUNNING');
  t.deepEqual(
    first.lines.map(({ text }) => text),
    ['one', 'two'],
  );
  stream.on('error', () => undefined);
  stream.cancel();
  await until(() => gateway.following === 0);
  const after = first.lines[0]?.position ?? '';
  gateway.log('job-1', 'three');
  const rest = client.stream(
    JobService.method.streamLogs,
    { jobId: 'job-1', after, follow: true },
    asAlice,
  );
  const seen: StreamLogsResponse[] = [];
  rest.on('data', (message: StreamLogsResponse) => seen.push(message));
  await until(() => seen.length === 1);
  gateway.change('job-1', { state: 'COMPLETED' });
  const [end] = (await once(rest, 'status')) as [{ code: number }];
  t.is(end.code, status.OK);
  t.deepEqual(
    seen.flatMap(({ lines }) => lines.map(({ text }) => text)),
    ['two', 'three'],
  );
  t.is(seen.at(-1)?.state, 'COMPLETED');
});

test('a log whose source goes away ends as UNAVAILABLE, to be resumed; that of an unknown job is NOT_FOUND', async (t) => {
  const { gateway, client } = await startWithJob(t);
  gateway.log('job-1', 'one');
  const stream = client.stream(
    JobService.method.streamLogs,
    { jobId: 'job-1', follow: true },
    asAlice,
  );
  await once(stream, 'data');
  const failed = once(stream, 'error');
  gateway.cutStreams();
  const [error] = (await failed) as [{ code: number }];
  t.is(error.code, status.UNAVAILABLE);
  const unknown = client.stream(
    JobService.method.streamLogs,
    { jobId: 'job-9', follow: true },
    asAlice,
  );
  const [refused] = (await once(unknown.resume(), 'error')) as [{ code: number }];
  t.is(refused.code, status.NOT_FOUND);
});

test('a reader that does not read holds the log back instead of filling memory', async (t) => {
  const { gateway, client } = await startWithJob(t);
  const stream = client.stream(
    JobService.method.streamLogs,
    { jobId: 'job-1', follow: true },
    asAlice,
  );
  stream.pause();
  await until(() => gateway.following === 1);
  const line = 'x'.repeat(100_000);
  for (let i = 0; i < 200; i += 1) gateway.log('job-1', line);
  gateway.change('job-1', { state: 'COMPLETED' });
  let bytes = 0;
  stream.on('data', ({ lines }: StreamLogsResponse) => {
    for (const { text } of lines) bytes += text.length;
  });
  await once(stream.resume(), 'end');
  t.is(bytes, 200 * line.length);
});
