import { once } from 'node:events';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '#gen/health/v1/health_pb.js';
import { SparkRunnerService } from '#gen/sparkrunner/sparkrunner_pb.js';
import { JobService, type StreamLogsResponse } from '#gen/spark_gateway/v1/jobs_pb.js';
import type { GatewayError } from '../../src/model/errors.js';
import { unusedPort } from '../support/unused-port.js';
import { RunnerWorld } from './world.js';

const { check, submit } = SparkRunnerService.method;
const alice = { user: 'alice@example.com' };

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function start(t: ExecutionContext) {
  const world = await RunnerWorld.start(t);
  world.gateway.add('job-1', { state: 'RUNNING' });
  return { world, gateway: world.gateway, client: world.client(t) };
}

test('health follows the control plane: it goes, and it comes back', async (t) => {
  const { world, gateway, client } = await start(t);
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
  const { gateway, client } = await start(t);
  await gateway.stop();
  const asked = client.call(check, { jobId: 'job-1' }, alice);
  await gateway.listen();
  t.is((await asked).state, 'RUNNING');
});

test('while no control plane answers, a caller is told so before its deadline', async (t) => {
  const { gateway, client } = await start(t);
  await gateway.stop();
  const error = await t.throwsAsync<GatewayError>(
    client.call(check, { jobId: 'job-1' }, { ...alice, timeoutMs: 4_000 }),
  );
  t.is(error?.code, 'CONTROL_PLANE_UNAVAILABLE');
  t.regex(error?.message ?? '', /Runner gets no answer/);
});

test('of several control planes one that answers is enough', async (t) => {
  const dead = [`127.0.0.1:${await unusedPort('127.0.0.1')}`];
  const world = await RunnerWorld.start(t, { dead });
  const { jobId } = await world
    .client(t)
    .call(submit, { manifest: 'm', team: 'data', environment: 'dev', ...alice });
  t.true(world.gateway.jobs.has(jobId));
});

test('any Runner answers for any job: one that was killed is not missed', async (t) => {
  const { world, client } = await start(t);
  t.is((await client.call(check, { jobId: 'job-1' }, alice)).state, 'RUNNING');
  await world.stopRunner();
  await world.startRunner();
  t.is((await world.client(t).call(check, { jobId: 'job-1' }, alice)).state, 'RUNNING');
});

test('a log is followed to its end, and resumed after a position', async (t) => {
  const { gateway, client } = await start(t);
  gateway.log('job-1', 'one', 'two');
  const stream = client.stream(
    JobService.method.streamLogs,
    { jobId: 'job-1', follow: true },
    alice,
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
    alice,
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
  const { gateway, client } = await start(t);
  gateway.log('job-1', 'one');
  const stream = client.stream(
    JobService.method.streamLogs,
    { jobId: 'job-1', follow: true },
    alice,
  );
  await once(stream, 'data');
  const failed = once(stream, 'error');
  gateway.cutStreams();
  const [error] = (await failed) as [{ code: number }];
  t.is(error.code, status.UNAVAILABLE);
  const unknown = client.stream(
    JobService.method.streamLogs,
    { jobId: 'job-9', follow: true },
    alice,
  );
  const [refused] = (await once(unknown.resume(), 'error')) as [{ code: number }];
  t.is(refused.code, status.NOT_FOUND);
});

test('a reader that does not read holds the log back instead of filling memory', async (t) => {
  const { gateway, client } = await start(t);
  const stream = client.stream(
    JobService.method.streamLogs,
    { jobId: 'job-1', follow: true },
    alice,
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
