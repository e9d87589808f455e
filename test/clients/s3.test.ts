import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import test, { type ExecutionContext } from 'ava';
import { startTethered } from '../../src/lib/child-processes/tether.js';
import { objectIn, openStorage } from '../../src/lib/storage/storage.js';
import { SparkRunnerService } from '#gen/sparkrunner/sparkrunner_pb.js';
import { RunnerWorld } from '../runner/world.js';
import { unusedPort } from '../support/unused-port.js';

const program = process.env['VERSITYGW'];
const KEY = 'test-access';
const SECRET = 'test-secret-key';

/** A real server that speaks S3, over a folder. */
async function startS3(t: ExecutionContext) {
  const folder = mkdtempSync(join(tmpdir(), 's3-'));
  mkdirSync(join(folder, 'data'));
  const port = await unusedPort('127.0.0.1');
  const endpoint = `http://127.0.0.1:${port}`;
  const server = startTethered({
    command: program ?? '',
    args: [
      '--access',
      KEY,
      '--secret',
      SECRET,
      '--port',
      `127.0.0.1:${port}`,
      'posix',
      join(folder, 'data'),
    ],
    env: { PATH: process.env['PATH'] ?? '', HOME: folder },
    logFile: join(folder, 'log'),
  });
  t.teardown(async () => {
    server.kill();
    await server.ended;
    rmSync(folder, { recursive: true });
  });
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: KEY, secretAccessKey: SECRET },
    maxAttempts: 50,
  });
  await client.send(new CreateBucketCommand({ Bucket: 'jobs' }));
  const put = (name: string, body: string | Buffer) =>
    client.send(new PutObjectCommand({ Bucket: 'jobs', Key: name, Body: body }));
  t.teardown(() => client.destroy());
  return { endpoint, put };
}

if (program) {
  // The process that reads has its credentials from its environment, as everywhere.
  process.env['AWS_ACCESS_KEY_ID'] = KEY;
  process.env['AWS_SECRET_ACCESS_KEY'] = SECRET;

  test('objects of a real S3 server are read as a whole, and no more than is allowed', async (t) => {
    const { endpoint, put } = await startS3(t);
    const storage = openStorage({
      folders: [],
      s3: { endpoint, region: 'us-east-1', pathStyle: true },
    });
    await put('out/job-1/_status.json', '{"state": "COMPLETED"}');
    await put('out/a b+c%/ü.json', '[1]');
    await put('out/empty', '');
    await put('out/large', Buffer.alloc(3_000_000, 'x'));
    const read = async (name: string, maxBytes = 1_000) =>
      (await storage.read(objectIn('s3://jobs/out', name), maxBytes))?.toString();
    t.is(await read('job-1/_status.json'), '{"state": "COMPLETED"}');
    t.is(await read('a%20b+c%25/%C3%BC.json'), '[1]');
    t.is(await read('empty'), '');
    t.is(await read('none'), undefined);
    t.is((await storage.read('s3a://jobs/out/large', 3_000_000))?.length, 3_000_000);
    await t.throwsAsync(read('large', 2_999_999), {
      code: 'RESULTS_UNREADABLE',
      message: /more than 2999999 bytes/,
    });
    // What was not read to its end holds no connection back.
    t.is(await read('job-1/_status.json'), '{"state": "COMPLETED"}');
    await t.throwsAsync(storage.read('s3://no-such-bucket/x', 10), { code: 'RESULTS_UNREADABLE' });
  });

  test('results of a job come from S3 through the Runner', async (t) => {
    const { endpoint, put } = await startS3(t);
    const world = await RunnerWorld.start(t, { s3Endpoint: endpoint });
    const preview = { columns: ['id'], rows: [['1']], truncated: false };
    await put('out/job-1/_preview.json', JSON.stringify(preview));
    await put('out/job-1/_schema.json', '{"type":"struct","fields":[]}');
    world.gateway.add('job-1', {
      state: 'COMPLETED',
      outputPath: 's3://jobs/out/job-1',
      resultCount: 1n,
    });
    const found = await world
      .client(t)
      .call(
        SparkRunnerService.method.check,
        { jobId: 'job-1', includeResults: true },
        { user: 'alice@example.com' },
      );
    t.like(found, { state: 'COMPLETED', error: '', resultCount: 1n });
    t.deepEqual(JSON.parse(found.resultPreview), preview);
  });
}

test('the tests of S3 are there where Go is', (t) => {
  t.is(program === undefined, !process.env['GO_CLIENT']);
});
