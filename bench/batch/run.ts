/**
 * Batch jobs on a real API server that holds many records of jobs: how long until a new leader has read
 * them, how long callers wait over gRPC, and what the leader keeps in memory.
 * Usage: npm run bench:batch -- [--records 5000] [--jobs 200]
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { Client, credentials, ServerCredentials } from '@grpc/grpc-js';
import {
  BatchService,
  CreateSparkApplicationRequestSchema,
  GetSparkApplicationStatusRequestSchema,
  ListSparkApplicationsRequestSchema,
} from '#gen/spark_gateway/v1/batch_pb.js';
import type { JobRecord } from '../../src/batch/records/job-record.js';
import { GrpcServer } from '../../src/lib/grpc/grpc-server.js';
import { systemClock } from '../../src/model/clock.js';
import { ALICE } from '../../test/support/batch-world.js';
import { KubeApiServer } from '../../test/support/kube-api-server.js';
import { manifests, operatorCrds } from '../../test/support/kube-manifests.js';
import { eventually, KubeBatchWorld } from '../../test/kube/batch-world.js';
import { percentiles } from '../kube/percentiles.js';
import { callUnary } from '../../test/support/unary-call.js';

const WRITES_AT_ONCE = 32;
const CALLERS = 8;
const SUBMISSIONS_A_SECOND = 4;

const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '5000' },
    jobs: { type: 'string', default: '200' },
  },
});
const records = Number(values.records);
const jobs = Number(values.jobs);

const server = await KubeApiServer.start();
try {
  for (const crd of [...operatorCrds(), ...manifests('k8s/crd/sparkbatches.yaml')]) {
    await server.apply(crd);
  }
  await measure(await KubeBatchWorld.make(server));
} finally {
  await server.stop();
}
process.exit(0);

async function measure(world: KubeBatchWorld): Promise<void> {
  const filler = world.lead();
  await inParallel(records, WRITES_AT_ONCE, async (n) => {
    await filler.store.write(endedJob(world, n), undefined);
  });
  await filler.stop();
  const beforeBytes = memory();
  const startedMs = performance.now();
  const leader = world.lead();
  await eventually(() => leader.term.counts().get('COMPLETED') === records);
  print('records read by a new leader', `${records} in ${ms(performance.now() - startedMs)}`);
  const port = new GrpcServer({
    name: 'bench',
    address: '127.0.0.1:0',
    credentials: ServerCredentials.createInsecure(),
    clock: systemClock,
  });
  leader.term.addServices(port.server);
  const number = await port.listen();
  const client = new Client(`127.0.0.1:${number}`, credentials.createInsecure());
  const { method } = BatchService;
  const caller = { ...ALICE, uriSans: [...ALICE.uriSans], dnsSans: [], groups: [] };

  const ids: string[] = [];
  const { manifest, team, environment } = world.submission();
  const submit = async () => {
    const request = create(CreateSparkApplicationRequestSchema, {
      caller,
      manifest,
      team,
      environment,
    });
    ids.push((await callUnary(client, method.createSparkApplication, request)).jobId);
  };
  const steady = await atRate(jobs, SUBMISSIONS_A_SECOND, submit);
  report(`Submit, ${SUBMISSIONS_A_SECOND} a second`, steady);
  const submits = await timed(jobs, submit);
  report(`Submit, ${CALLERS} callers`, submits);
  await eventually(async () => (await world.applications()).items.length >= 2 * jobs);
  print('until all have their application', ms(performance.now() - submits.startedMs));

  const checks = await timed(5_000, async (n) => {
    const jobId = n % 2 ? (ids[n % ids.length] ?? '') : jobId26(n % records);
    const request = create(GetSparkApplicationStatusRequestSchema, { caller, jobId });
    await callUnary(client, method.getSparkApplicationStatus, request);
  });
  report(`Check, ${CALLERS} callers`, checks);
  const lists = await timed(200, async () => {
    const request = create(ListSparkApplicationsRequestSchema, { caller, mine: true });
    await callUnary(client, method.listSparkApplications, request);
  });
  report(`List of 50, ${CALLERS} callers`, lists);
  globalThis.gc?.();
  print('memory', `${mib(memory())} (${mib(beforeBytes)} before the records)`);
  client.close();
  await port.close();
  await leader.stop();
}

function endedJob(world: KubeBatchWorld, n: number): JobRecord {
  const atMs = Date.now() - 3_600_000 - n;
  return {
    job: {
      id: jobId26(n),
      namespace: world.jobs,
      team: world.team,
      environment: 'staging',
      user: 'alice',
      jobName: `job ${n}`,
      engineVersion: '4.1',
      resources: {
        driver: { cores: 2, memory: '4g' },
        executor: { cores: 2, memory: '4g', instances: 2 },
        dynamicAllocation: { minExecutors: 1, maxExecutors: 10 },
      },
      outputPath: `s3://results/${world.jobs}/${jobId26(n)}`,
      retries: true,
      ttlSeconds: 3600,
      fingerprint: 'f'.repeat(64),
      submittedBy: 'airflow',
      sandbox: false,
      createdAtMs: atMs,
      deadlineMs: atMs + 3_600_000,
    },
    cluster: 'home',
    refusedBy: [],
    submittedAtMs: atMs,
    state: 'COMPLETED',
    history: (['PENDING', 'RUNNING', 'COMPLETED'] as const).map((state) => ({ state, atMs })),
    attempt: 1,
    startedAtMs: atMs,
    endedAtMs: Date.now(),
    rowCount: 42n,
    logOfAttempt: 1,
    swept: true,
    epoch: 1,
  };
}

function jobId26(n: number): string {
  const letters = String(n).replaceAll(/\d/g, (digit) => 'abcdefghij'[Number(digit)] ?? 'a');
  return `job-${letters.padStart(26, 'a')}`;
}

interface Timed {
  readonly startedMs: number;
  readonly tookMs: number;
  readonly eachMs: readonly number[];
}

async function timed(count: number, work: (n: number) => Promise<void>): Promise<Timed> {
  const eachMs: number[] = [];
  const startedMs = performance.now();
  await inParallel(count, CALLERS, async (n) => {
    const beginMs = performance.now();
    await work(n);
    eachMs.push(performance.now() - beginMs);
  });
  return { startedMs, tookMs: performance.now() - startedMs, eachMs };
}

/** Each begins at its time, whether or not the others have ended. */
async function atRate(count: number, perSecond: number, work: () => Promise<void>): Promise<Timed> {
  const eachMs: number[] = [];
  const startedMs = performance.now();
  const all: Promise<void>[] = [];
  for (let n = 0; n < count; n += 1) {
    await pause(Math.max(0, startedMs + (n * 1000) / perSecond - performance.now()));
    const beginMs = performance.now();
    all.push(work().then(() => void eachMs.push(performance.now() - beginMs)));
  }
  await Promise.all(all);
  return { startedMs, tookMs: performance.now() - startedMs, eachMs };
}

async function inParallel(
  count: number,
  atOnce: number,
  work: (n: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

function report(what: string, { eachMs, tookMs }: Timed): void {
  const rate = (eachMs.length / tookMs) * 1000;
  print(what, `${percentiles(eachMs)}, ${rate.toFixed(0)} a second`);
}

function print(what: string, value: string): void {
  console.log(`${what.padEnd(36)} ${value}`);
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

function memory(): number {
  return process.memoryUsage().rss;
}

function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(0)} MiB`;
}
