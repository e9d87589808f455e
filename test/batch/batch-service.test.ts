import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BatchService,
  CreateSparkApplicationRequestSchema,
  DeleteSparkApplicationRequestSchema,
  GetSparkApplicationStatusRequestSchema,
  ListSparkApplicationsRequestSchema,
  StreamSparkApplicationLogsRequestSchema,
  type StreamSparkApplicationLogsResponse,
} from '#gen/spark_gateway/v1/batch_pb.js';
import { create } from '@bufbuild/protobuf';
import { Client } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { FileJobStore } from '../../src/batch/records/file-job-store.js';
import { decodeJob, encodeJob } from '../../src/batch/records/job-codec.js';
import type { JobRecord } from '../../src/batch/records/job-record.js';
import type { StoredJob, UnreadableJob } from '../../src/batch/records/job-store.js';
import { methodDefinition } from '../../src/lib/grpc/channels.js';
import { Forwarder } from '../../src/lib/grpc/forward.js';
import { createGrpcPort, type GrpcPort } from '../../src/lib/grpc/port.js';
import { clientCredentials, type TlsFiles } from '../../src/lib/grpc/tls.js';
import { systemClock } from '../../src/model/clock.js';
import { GatewayError } from '../../src/model/errors.js';
import { ALICE, BatchWorld, MANIFEST } from '../support/batch-world.js';
import { TestAuthority } from '../support/certificates.js';
import { settle } from '../support/manual-clock.js';
import { callUnary } from '../support/unary-call.js';
import { unusedPort } from '../support/unused-port.js';

// BatchService over gRPC, at the leader and through a replica that does not lead.

const logger = pino({ level: 'silent' });
const clock = systemClock;

interface Ports {
  readonly world: BatchWorld;
  readonly leader: string;
  readonly follower: string;
  /** Makes a certificate of this name. */
  readonly certificate: (name: string) => TlsFiles;
}

async function ports(t: ExecutionContext): Promise<Ports> {
  const world = new BatchWorld();
  await settle();
  const folder = mkdtempSync(join(tmpdir(), 'batch-service-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const authority = new TestAuthority();
  const certificate = (name: string) =>
    authority.writeFiles(folder, name, {
      commonName: name,
      uris: [`spiffe://example/${name}`],
      ...(name === 'replica' ? { ipv4: ['127.0.0.1'] } : {}),
    });
  const replica = certificate('replica');
  const listen = async (addServices: Parameters<GrpcPort['serve']>[0]) => {
    const number = await unusedPort();
    const port = createGrpcPort({
      name: 'test',
      address: { host: '127.0.0.1', port: number },
      tls: replica,
      allowedSans: ['spiffe://example/authz'],
      services: [BatchService],
      replicaServices: [],
      namedServices: [{ service: BatchService, allowedSans: ['spiffe://example/runner'] }],
      clock,
      logger,
    });
    port.serve(addServices);
    await port.listen();
    t.teardown(() => port.close());
    return `127.0.0.1:${number}`;
  };
  const leader = await listen((server) => world.term.addServices(server));
  const forwarder = new Forwarder({
    credentials: clientCredentials(replica, { clock }),
    unavailable: () => new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'nobody leads'),
  });
  forwarder.setTarget(leader);
  t.teardown(() => forwarder.close());
  const follower = await listen((server) => forwarder.addServices(server, [BatchService]));
  return { world, leader, follower, certificate };
}

function runner(t: ExecutionContext, address: string, tls: TlsFiles): Client {
  const client = new Client(address, clientCredentials(tls, { clock }));
  t.teardown(() => client.close());
  return client;
}

const { method } = BatchService;
const caller = { ...ALICE, user: 'alice', uriSans: [...ALICE.uriSans], dnsSans: [], groups: [] };

function submission(manifest = MANIFEST) {
  return create(CreateSparkApplicationRequestSchema, {
    caller,
    manifest,
    team: 'ads',
    environment: 'staging',
    options: { client_request_id: 'one' },
  });
}

test('a job is submitted, seen, listed and cancelled through a replica that does not lead', async (t) => {
  const { world, follower, certificate } = await ports(t);
  const client = runner(t, follower, certificate('runner'));
  const made = await callUnary(client, method.createSparkApplication, submission());
  t.is(made.namespace, 'sjns-ads-staging');
  t.false(made.duplicate);
  const again = await callUnary(client, method.createSparkApplication, submission());
  t.is(again.jobId, made.jobId);
  t.true(again.duplicate);
  const { jobId } = made;
  world.backend.set(jobId, { state: 'RUNNING', attempt: 1, startedAtMs: 1000 });
  world.backend.say(jobId, 1, '2026-11-29T10:00:00.000000001Z', 'first');
  world.backend.say(jobId, 1, '2026-11-29T10:00:00.000000002Z', 'second');
  const get = create(GetSparkApplicationStatusRequestSchema, { caller, jobId, logLines: 1 });
  const seen = await callUnary(client, method.getSparkApplicationStatus, get);
  t.is(seen.job?.state, 'RUNNING');
  t.is(seen.job?.submittedBy, 'airflow');
  t.is(seen.job?.resultCount, -1n);
  t.deepEqual(seen.logLines, ['second']);
  t.true(seen.logTruncated);
  const list = create(ListSparkApplicationsRequestSchema, { caller, mine: true });
  const { jobs } = await callUnary(client, method.listSparkApplications, list);
  t.deepEqual(
    jobs.map(({ jobId: listed, history }) => [listed, history.length]),
    [[jobId, 0]],
  );
  const cancel = create(DeleteSparkApplicationRequestSchema, { caller, jobId });
  const cancelled = await callUnary(client, method.deleteSparkApplication, cancel);
  t.true(cancelled.job?.cancelling);
  await settle();
  t.is((await callUnary(client, method.getSparkApplicationStatus, get)).job?.state, 'CANCELLED');
});

test('every mistake of a manifest is told with its place', async (t) => {
  const { follower, certificate } = await ports(t);
  const client = runner(t, follower, certificate('runner'));
  const bad = MANIFEST.replace('name: doubled', 'nme: doubled').replace('"4.1"', '"9"');
  const error = await t.throwsAsync(
    callUnary(client, method.createSparkApplication, submission(bad)),
    {
      instanceOf: GatewayError,
    },
  );
  t.is(error?.code, 'MANIFEST_INVALID');
  t.true((error?.problems.length ?? 0) >= 2);
  t.true(error?.problems.every(({ line = 0, column = 0 }) => line > 0 && column > 0));
});

test('only a certificate of batch.allowed_sans may ask, and it may ask for nothing else', async (t) => {
  const { leader, certificate } = await ports(t);
  const client = runner(t, leader, certificate('authz'));
  await t.throwsAsync(callUnary(client, method.createSparkApplication, submission()), {
    message: /cannot reach|none of the names/,
  });
});

test('a log is pushed as it grows, and resumed after the last line that was seen', async (t) => {
  const { world, follower, certificate } = await ports(t);
  const client = runner(t, follower, certificate('runner'));
  const { jobId } = await callUnary(client, method.createSparkApplication, submission());
  world.backend.set(jobId, { state: 'RUNNING', attempt: 1 });
  const say = (n: number) =>
    world.backend.say(jobId, 1, `2026-11-29T10:00:0${n}.000000000Z`, `line ${n}`);
  say(1);
  const first = follow(client, jobId, '');
  t.is(await first.state(), 'RUNNING');
  t.is(await first.line(world), 'line 1');
  say(2);
  t.is(await first.line(world), 'line 2');
  first.end();
  say(3);
  const second = follow(client, jobId, first.position());
  t.is(await second.line(world), 'line 3', 'neither twice nor left out');
  world.report(jobId);
  world.backend.set(jobId, { state: 'SUCCEEDED', exitCode: 0 });
  await second.ended(world);
  t.is(second.lastState(), 'COMPLETED');
});

async function until(good: () => boolean, world?: BatchWorld): Promise<void> {
  while (!good()) {
    await world?.clock.advance(100);
    await settle();
  }
}

/** What a stream tells. Times pass while something is waited for: the world's clock is moved by hand. */
function follow(client: Client, jobId: string, after: string) {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(
    method.streamSparkApplicationLogs,
  );
  const call = client.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    create(StreamSparkApplicationLogsRequestSchema, { caller, jobId, after, follow: true }),
  );
  const lines: { position: string; text: string }[] = [];
  let last = '';
  let state = '';
  let isOver = false;
  call.on('data', (message: StreamSparkApplicationLogsResponse) => {
    lines.push(...message.lines);
    if (message.state !== '') state = message.state;
  });
  call.on('error', () => (isOver = true));
  call.on('end', () => (isOver = true));
  return {
    async state() {
      await until(() => state !== '');
      return state;
    },
    async line(world: BatchWorld) {
      await until(() => lines.length > 0, world);
      const line = lines.shift();
      last = line?.position ?? last;
      return line?.text;
    },
    position: () => last,
    lastState: () => state,
    ended: (world: BatchWorld) => until(() => isOver, world),
    end: () => call.cancel(),
  };
}

// Records in files.

async function record(): Promise<JobRecord> {
  const world = new BatchWorld();
  await settle();
  const { record: made } = await world.submit();
  await world.close();
  return made;
}

async function open(t: ExecutionContext) {
  const folder = mkdtempSync(join(tmpdir(), 'job-store-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, store: await FileJobStore.open(folder) };
}

async function all(store: FileJobStore): Promise<(StoredJob | UnreadableJob)[]> {
  const found: (StoredJob | UnreadableJob)[] = [];
  for await (const entry of store.list()) found.push(entry);
  return found;
}

test('a record comes back as it was, its job file too, and only its owner may read it', async (t) => {
  const { folder, store } = await open(t);
  const made: JobRecord = {
    ...(await record()),
    rowCount: 2n ** 62n,
    startedAtMs: 1_700_000_000_001,
    end: { by: 'user', atMs: 5, reason: { code: 'CANCELLED', message: 'x', line: 1 } },
  };
  const version = await store.write(made, undefined);
  t.deepEqual(await all(store), [{ record: made, version }]);
  const [file = ''] = readdirSync(folder);
  t.is(statSync(join(folder, file)).mode & 0o077, 0);
  t.deepEqual(decodeJob(JSON.parse(JSON.stringify(encodeJob(made)))), made);
});

test('a write from an old version is refused; so is a second record of one id', async (t) => {
  const { store } = await open(t);
  const made = await record();
  const first = await store.write(made, undefined);
  await t.throwsAsync(store.write(made, undefined), { code: 'RECORD_CONFLICT' });
  const second = await store.write({ ...made, attempt: 1 }, first);
  await t.throwsAsync(store.write(made, first), { code: 'RECORD_CONFLICT' });
  await t.throwsAsync(store.delete(made.job.id, first), { code: 'RECORD_CONFLICT' });
  await store.writeLog(made.job.id, Buffer.from('log'));
  await store.delete(made.job.id, second);
  t.is(await store.read(made.job.id), undefined);
  t.is(await store.readLog(made.job.id), undefined, 'the log goes with its record');
});

test('a file that is no record, half a write, or one with a null in it, stops no other', async (t) => {
  const { folder, store } = await open(t);
  const made = await record();
  await store.write(made, undefined);
  writeFileSync(join(folder, 'job-bad.json'), '{"format":1,"version":"v","job":null,"status":{}}');
  writeFileSync(join(folder, 'job-half.json'), '{"format":1,');
  writeFileSync(join(folder, '.job-x.json.0f8b6f8e-0000-4000-8000-000000000000.tmp'), '{');
  const found = await all(store);
  t.deepEqual(
    found.map((entry) => ('record' in entry ? entry.record.job.id : entry.id)).toSorted(),
    [made.job.id, 'job-bad', 'job-half'].toSorted(),
  );
});
