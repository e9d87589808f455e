import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { OtlpClient, serviceResource } from '../../../src/lib/grpc/otlp.js';
import { systemClock } from '../../../src/model/clock.js';
import { GrpcStatus } from '../../../src/model/errors.js';
import { AuditLog } from '../../../src/telemetry/audit/audit-log.js';
import {
  type FileSync,
  FileWriter,
  rotatedFiles,
  rotatedName,
  surplusFiles,
} from '../../../src/telemetry/audit/file-writer.js';
import { OtlpWriter } from '../../../src/telemetry/audit/otlp-writer.js';
import { CountedAudit, numbered, numbersIn, silent } from '../../support/audit-lines.js';
import { unusedAddress } from '../../support/loopback.js';
import { ManualClock } from '../../support/manual-clock.js';
import { attributesOf, OtlpCollector } from '../../support/otlp-collector.js';
import { tries } from '../../support/tries.js';
import { unusedPort } from '../../support/unused-port.js';
import { rpc } from './support.js';

const HOST = await unusedAddress();

// A file.

interface Options {
  readonly sizeBytes?: number;
  readonly keep?: number;
  readonly sync?: FileSync;
  readonly openFile?: typeof open;
}

function setUp(t: ExecutionContext) {
  const folder = mkdtempSync(join(tmpdir(), 'audit-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'audit.jsonl');
  const clock = new ManualClock(Date.now());
  const start = async ({
    sizeBytes = 1 << 20,
    keep = 5,
    sync = 'batch',
    ...rest
  }: Options = {}) => {
    const writer = await FileWriter.open({
      path,
      limits: { sizeBytes, ageMs: 3_600_000, keep },
      sync,
      clock,
      logger: silent,
      ...rest,
    });
    t.teardown(() => writer.close());
    return writer;
  };
  const older = () => rotatedFiles('audit.jsonl', readdirSync(folder));
  /** Of all files, the oldest first. */
  const all = () => [...older(), 'audit.jsonl'].flatMap((name) => read(join(folder, name)));
  return { folder, path, clock, start, older, all };
}

function read(path: string) {
  return numbersIn(readFileSync(path, 'utf8'));
}

test('a file that would grow too large is left whole for a new one', async (t) => {
  const { start, path, older, all, clock } = setUp(t);
  const writer = await start({ sizeBytes: numbered(1).bytes * 2 });
  for (const n of [1, 2, 3, 4, 5]) {
    await writer.write([numbered(n)]);
    await clock.advance(1);
  }
  t.is(older().length, 2);
  t.deepEqual(read(path), [5]);
  t.deepEqual(all(), [1, 2, 3, 4, 5]);
});

test('a file is left when it is old enough, and not while it is empty', async (t) => {
  const { start, path, older, clock } = setUp(t);
  const writer = await start();
  await clock.advance(4_000_000);
  await writer.write([numbered(1)]);
  t.is(older().length, 0);
  await writer.write([numbered(2)]);
  t.is(older().length, 1);
  t.deepEqual(read(path), [2]);
});

test('only so many files are kept, also of those from before a restart', async (t) => {
  const { start, older, all, clock } = setUp(t);
  const first = await start({ sizeBytes: 1, keep: 3 });
  for (const n of [1, 2, 3, 4, 5, 6]) {
    await first.write([numbered(n)]);
    await clock.advance(1);
  }
  t.is(older().length, 3);
  t.deepEqual(all(), [3, 4, 5, 6]);
  await start({ keep: 1 });
  t.deepEqual(all(), [5, 6]);
});

test('after another program has renamed the file, as logrotate does, records go to a new one', async (t) => {
  const { start, path, folder } = setUp(t);
  const writer = await start();
  await writer.write([numbered(1)]);
  renameSync(path, join(folder, 'taken-away'));
  await writer.write([numbered(2)]);
  t.deepEqual(read(join(folder, 'taken-away')), [1]);
  t.deepEqual(read(path), [2]);
});

test('half a line that a crash has left is cut off at the start, and nothing else', async (t) => {
  const { start, path } = setUp(t);
  const torn = numbered(2).line.slice(0, 40);
  writeFileSync(path, numbered(1).line + torn);
  const writer = await start();
  await writer.write([numbered(3)]);
  t.deepEqual(read(path), [1, 3]);
});

test('a last line that only lacks its end is kept', async (t) => {
  const { start, path } = setUp(t);
  writeFileSync(path, numbered(1).line.trimEnd());
  const writer = await start();
  await writer.write([numbered(2)]);
  t.deepEqual(read(path), [1, 2]);
});

test('wherever a crash cut the file, whole records survive and what follows is readable', async (t) => {
  const { start, path } = setUp(t);
  const lines = [1, 2, 3].map((n) => numbered(n).line);
  const text = lines.join('');
  await fc.assert(
    fc.asyncProperty(fc.nat(text.length), async (length) => {
      writeFileSync(path, text.slice(0, length));
      const writer = await start();
      await writer.write([numbered(9)]);
      await writer.close();
      const whole = lines.filter((_, index) => {
        const end = lines.slice(0, index + 1).join('').length;
        return end - 1 <= length;
      });
      t.deepEqual(read(path), [...whole.map((_, index) => index + 1), 9]);
    }),
    { numRuns: tries(40) },
  );
});

/** Opens files on a disk with room for `free.bytes`. */
function smallDisk(free: { bytes: number }): typeof open {
  const opened = async (...args: Parameters<typeof open>): Promise<FileHandle> => {
    const handle = await open(...args);
    return new Proxy(handle, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        if (name !== 'write') return value.bind(target) as unknown;
        return async (bytes: Buffer, at = 0, length = bytes.length) => {
          const room = Math.min(length, free.bytes);
          if (room === 0) throw Object.assign(new Error('ENOSPC: no space'), { code: 'ENOSPC' });
          free.bytes -= room;
          return target.write(bytes, at, room);
        };
      },
    });
  };
  return opened;
}

test('a full disk leaves no half line, and the batch is whole once there is room', async (t) => {
  const { start, path } = setUp(t);
  const free = { bytes: numbered(1).bytes + 30 };
  const writer = await start({ openFile: smallDisk(free) });
  await writer.write([numbered(1)]);
  const batch = [numbered(2), numbered(3)];
  await t.throwsAsync(writer.write(batch), { code: 'ENOSPC' });
  t.deepEqual(read(path), [1]);
  free.bytes = 1 << 20;
  await writer.write(batch);
  t.deepEqual(read(path), [1, 2, 3]);
});

test('a file that nobody may write to is told of at the start', async (t) => {
  const { folder, start } = setUp(t);
  appendFileSync(join(folder, 'audit.jsonl'), '');
  await t.throwsAsync(
    FileWriter.open({
      path: folder,
      limits: { sizeBytes: 1, ageMs: 1, keep: 1 },
      sync: 'never',
      clock: new ManualClock(),
      logger: silent,
    }),
    { code: 'EISDIR' },
  );
  await t.notThrowsAsync(start());
});

test('names of files that were left sort by their age, whatever the clock does', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1_700_000_000_000, max: 1_700_000_000_003 }), {
        minLength: 1,
        maxLength: 30,
      }),
      (times) => {
        const names: string[] = [];
        for (const atMs of times) names.push(rotatedName('a.jsonl', atMs, names.toSorted()));
        t.deepEqual(rotatedFiles('a.jsonl', names), names);
        t.deepEqual(surplusFiles('a.jsonl', names, 2), names.slice(0, -2));
      },
    ),
  );
  t.deepEqual(
    rotatedFiles('a.jsonl', ['a.jsonl', 'a.jsonl.bak', 'b.jsonl.20260101T000000000Z']),
    [],
  );
});

// OTLP.

function auditTo(t: ExecutionContext, address: string, queueBytes = 1 << 20) {
  const metrics = new CountedAudit();
  const [host = '', port] = address.split(':');
  const log = new AuditLog({
    writers: [
      {
        name: 'otlp',
        writer: new OtlpWriter({
          client: new OtlpClient({
            endpoint: { host, port: Number(port), tls: false },
            caFile: undefined,
            timeoutMs: 1_000,
          }),
          resource: serviceResource('control-plane', 'one'),
          clock: systemClock,
        }),
      },
    ],
    queueBytes,
    clock: systemClock,
    logger: silent,
    metrics,
  });
  t.teardown(() => log.close(0));
  const act = (object: string) =>
    log.adminAction({
      principal: { issuer: 'https://issuer.example.com', subject: 'ada@example.com' },
      action: 'driver.drain',
      object,
      outcome: 'refused',
      code: 'DRIVER_UNKNOWN',
      detail: { deadline: 'now' },
    });
  return { metrics, act, log };
}

test('a collector gets records with their fields as attributes', async (t) => {
  const collector = await OtlpCollector.start(`${HOST}:0`);
  t.teardown(() => collector.stop());
  const { act, log } = auditTo(t, collector.address);
  act('driver-1');
  log.rpc(rpc);
  await collector.until(() => collector.logs.length === 2);
  const [admin, query] = collector.logs;
  t.is(admin?.eventName, 'spark_gateway.audit.admin');
  t.like(attributesOf(admin?.attributes ?? []), {
    'spark_gateway.action': 'driver.drain',
    'spark_gateway.object': 'driver-1',
    'spark_gateway.reason': 'DRIVER_UNKNOWN',
    'spark_gateway.detail.deadline': 'now',
  });
  t.is(query?.timeUnixNano, 1_700_000_000_000_000_000n);
  t.is(Buffer.from(query?.traceId ?? []).toString('hex'), '0af7651916cd43dd8448eb211c80319c');
  t.like(attributesOf(query?.attributes ?? []), {
    'spark_gateway.decision': 'allowed',
    'spark_gateway.principal': 'ada@example.com',
    'spark_gateway.claimedUser': 'ada',
    'spark_gateway.bytesSent': 2n ** 40n,
  });
});

test('a collector that is away gets the records when it is there; what did not fit is counted', async (t) => {
  const port = await unusedPort(HOST);
  const { act, metrics } = auditTo(t, `${HOST}:${port}`, 2_000);
  for (let n = 0; n < 50; n += 1) act(`driver-${n}`);
  t.true(metrics.drops.queue_full > 0);
  const collector = await OtlpCollector.start(`${HOST}:${port}`);
  t.teardown(() => collector.stop());
  const kept = 50 - metrics.drops.queue_full;
  const admins = () => collector.logs.filter(({ eventName }) => eventName.endsWith('.admin'));
  await collector.until(() => admins().length === kept);
  t.is(collector.logs.filter(({ eventName }) => eventName.endsWith('.lost')).length, 1);
});

test('a collector that is overloaded is tried again, one that does not answer as well', async (t) => {
  const collector = await OtlpCollector.start(`${HOST}:0`);
  t.teardown(() => collector.stop());
  const { act, metrics } = auditTo(t, collector.address);
  collector.answer = GrpcStatus.UNAVAILABLE;
  act('driver-1');
  await collector.until(() => collector.requests === 2);
  collector.answer = 'silence';
  await collector.until(() => collector.requests === 4);
  collector.answer = 'ok';
  await collector.until(() => collector.logs.length === 1);
  t.deepEqual(metrics.drops, { queue_full: 0, rejected: 0, shutdown: 0, unverified: 0 });
});

test('what a collector rejects is counted and not sent again', async (t) => {
  const collector = await OtlpCollector.start(`${HOST}:0`);
  t.teardown(() => collector.stop());
  const { act, metrics } = auditTo(t, collector.address);
  collector.answer = GrpcStatus.INVALID_ARGUMENT;
  act('driver-1');
  await collector.until(() => collector.requests === 1);
  collector.answer = { partial: 1 };
  act('driver-2');
  await collector.until(() => collector.requests === 2);
  collector.answer = 'ok';
  act('driver-3');
  await collector.until(() => collector.logs.length === 1);
  t.is(collector.requests, 3);
  t.is(metrics.drops.rejected, 2);
});
