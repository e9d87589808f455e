import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import type { AuditedRpc } from '../../../src/model/audit.js';
import { AuditLog } from '../../../src/telemetry/audit/audit-log.js';
import {
  adminRecord,
  lostRecord,
  recordLine,
  rpcRecord,
} from '../../../src/telemetry/audit/audit-record.js';
import {
  type AuditLine,
  type AuditWriter,
  Destination,
} from '../../../src/telemetry/audit/destination.js';
import { FileWriter, rotatedFiles } from '../../../src/telemetry/audit/file-writer.js';
import { RpcLines } from '../../../src/telemetry/audit/rpc-line.js';
import { CountedAudit, destinationOptions, numbered, silent } from '../../support/audit-lines.js';
import { ManualClock, settle } from '../../support/manual-clock.js';
import { rpc } from './support.js';

// Anybody can make requests: they must not push out the records of those who are known.

const MINUTE_MS = 60_000;
const FLOOD = 5_000;

interface Line {
  readonly event: string;
  readonly principal?: string;
  readonly client?: string;
  readonly reason?: string;
  readonly count?: number;
  readonly detail?: Record<string, number>;
  readonly object?: string;
}

class Lines implements AuditWriter {
  text = '';
  write(batch: readonly AuditLine[]) {
    this.text += batch.map(({ line }) => line).join('');
    return Promise.resolve({});
  }
  close() {
    return Promise.resolve();
  }
  get all(): readonly Line[] {
    return parse(this.text);
  }
}

const parse = (text: string): readonly Line[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);

/** As Envoy answers by itself: a path that is none of ours. */
const junk = (client: string) => ({
  ...rpc,
  method: 'other' as const,
  principal: undefined,
  issuer: undefined,
  driver: undefined,
  client,
});

function setUp() {
  const clock = new ManualClock();
  const writer = new Lines();
  const metrics = new CountedAudit();
  const log = new AuditLog({
    writers: [{ name: 'test', writer }],
    queueBytes: 1 << 24,
    clock,
    logger: silent,
    metrics,
  });
  return { clock, writer, metrics, log };
}

test('of thousands of junk requests a few are written, all are counted, and known callers lose nothing', async (t) => {
  const { clock, writer, metrics, log } = setUp();
  for (let n = 0; n < FLOOD; n += 1) {
    log.rpc(junk(`10.0.0.${n % 7}`));
    if (n % 100 === 0) log.rpc(rpc);
  }
  await settle();
  t.is(writer.all.filter(({ principal }) => principal !== undefined).length, FLOOD / 100);
  const written = writer.all.filter(({ principal }) => principal === undefined).length;
  t.is(written, 60);
  t.is(metrics.unverifiedCount.rpc, FLOOD);
  await clock.advance(MINUTE_MS);
  await settle();
  t.like(writer.all.at(-1), {
    event: 'lost',
    reason: 'UNVERIFIED',
    count: FLOOD - written,
    detail: { 'rpc none': FLOOD - written },
  });
});

test('one address does not hide what others do', async (t) => {
  const { writer, log } = setUp();
  for (let n = 0; n < FLOOD; n += 1) log.rpc(junk('10.0.0.1'));
  log.rpc({ ...junk('10.0.0.2'), refusal: 'TOKEN_EXPIRED' });
  await settle();
  t.is(writer.all.filter(({ client }) => client === '10.0.0.1').length, 10);
  t.like(writer.all.at(-1), { client: '10.0.0.2', reason: 'TOKEN_EXPIRED' });
});

test('refused administrative requests of nobody known are sampled, too; those of the known are all written', async (t) => {
  const { writer, metrics, log, clock } = setUp();
  const refused = { action: 'driver.evict', object: '', outcome: 'refused', client: '10.0.0.9' };
  for (let n = 0; n < 500; n += 1) {
    log.adminAction({
      ...refused,
      outcome: 'refused',
      principal: undefined,
      code: 'TOKEN_MISSING',
    });
  }
  const principal = { issuer: 'https://issuer.example.com', subject: 'ada' };
  for (let n = 0; n < 500; n += 1) {
    log.adminAction({ ...refused, outcome: 'refused', principal, code: 'ADMINISTRATION_REFUSED' });
  }
  await settle();
  t.is(writer.all.length, 10 + 500);
  t.is(metrics.unverifiedCount.admin, 500);
  await clock.advance(MINUTE_MS);
  await settle();
  t.deepEqual(writer.all.at(-1)?.detail, { 'admin TOKEN_MISSING': 490 });
});

test('what was left out is told when the process ends, and the next minute has a budget of its own', async (t) => {
  const { writer, log, clock } = setUp();
  const flood = () => {
    for (let n = 0; n < 20; n += 1) log.rpc(junk('10.0.0.1'));
  };
  flood();
  await clock.advance(MINUTE_MS);
  flood();
  await log.close(1_000);
  t.deepEqual(
    writer.all.filter(({ event }) => event === 'lost').map(({ count }) => count),
    [10, 10],
  );
  t.is(writer.all.filter(({ event }) => event === 'rpc').length, 20);
});

test('while a destination is away they take a small part of its queue', async (t) => {
  const clock = new ManualClock();
  const metrics = new CountedAudit();
  const size = numbered(1, 0, 'unverified').bytes;
  const away: AuditWriter = {
    write: () => new Promise(() => undefined),
    close: () => Promise.resolve(),
  };
  const destination = new Destination(
    destinationOptions({ writer: away, clock, metrics, queueBytes: 160 * size }),
  );
  for (let n = 0; n < 1_000; n += 1) destination.push(numbered(n, 0, 'unverified'));
  t.is(metrics.drops.unverified, 990);
  for (let n = 0; n < 50; n += 1) destination.push(numbered(n));
  t.is(metrics.drops.queue_full, 0);
});

async function smallFiles(t: ExecutionContext) {
  const folder = mkdtempSync(join(tmpdir(), 'audit-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const writer = await FileWriter.open({
    path: join(folder, 'audit.jsonl'),
    limits: { sizeBytes: 4_096, ageMs: 3_600_000, keep: 2 },
    sync: 'never',
    clock: new ManualClock(Date.now()),
    logger: silent,
  });
  t.teardown(() => writer.close());
  const all = () =>
    [...rotatedFiles('audit.jsonl', readdirSync(folder)), 'audit.jsonl'].flatMap((name) =>
      parse(readFileSync(join(folder, name), 'utf8')),
    );
  return { writer, all };
}

test('they never make a file be left for a new one and the oldest be removed', async (t) => {
  const { writer, all } = await smallFiles(t);
  for (let n = 0; n < 10; n += 1) await writer.write([numbered(n)]);
  let omitted = 0;
  for (let n = 0; n < FLOOD; n += 1) {
    omitted += (await writer.write([numbered(n, 0, 'unverified')])).unverified ?? 0;
  }
  const known = all().filter(({ principal }) => principal !== undefined);
  t.deepEqual(
    known.map(({ object }) => Number(object)),
    Array.from({ length: 10 }, (_, n) => n),
  );
  t.is(all().length - known.length + omitted, FLOOD);
  // A file that is left for a new one because of others has room for them again.
  for (let n = 0; n < 20; n += 1) await writer.write([numbered(n)]);
  t.is((await writer.write([numbered(0, 0, 'unverified')])).unverified, 0);
});

// Records.

const admin = {
  principal: { issuer: 'https://issuer.example.com', subject: 'ada@example.com' },
  action: 'driver.drain',
  object: 'uid-1',
  outcome: 'failed',
  code: 'CONTROL_PLANE_UNAVAILABLE',
  detail: { deadline: 'now' },
  requestId: 'request-2',
  client: '10.0.0.1',
} as const;

test('docs/audit.md names every field that a record has, and no other', (t) => {
  const records = [
    rpcRecord({ ...rpc, refusal: 'TOKEN_EXPIRED' }),
    adminRecord(admin, 0),
    lostRecord(3, 0),
  ];
  const fields = new Set(
    records.flatMap((record) => Object.keys(JSON.parse(recordLine(record)) as object)),
  );
  const documented = readFileSync('docs/audit.md', 'utf8').matchAll(
    /^\| `(\w+)` +\| (?:all|rpc|admin|lost)/gm,
  );
  t.deepEqual([...documented].map(([, name]) => name ?? '').toSorted(), [...fields].toSorted());
});

function decision(changes: Partial<AuditedRpc>): unknown {
  const line = recordLine(rpcRecord({ ...rpc, ...changes }));
  return (JSON.parse(line) as Record<string, unknown>)['decision'];
}

test('a refusal is told from what was let through, and from what Envoy answered by itself', (t) => {
  t.is(decision({}), 'allowed');
  t.is(decision({ refusal: 'TOKEN_EXPIRED' }), 'refused');
  t.is(decision({ driver: undefined, details: 'ext_authz_error' }), 'none');
});

test('whatever a client calls itself, a record is one line of bounded length', (t) => {
  const line = recordLine(
    rpcRecord({
      ...rpc,
      claimedUser: `\n"}\u2028${'x'.repeat(100_000)}`,
      requestId: '\u0000'.repeat(5_000),
    }),
  );
  t.is(line.indexOf('\n'), line.length - 1);
  t.true(line.length < 20_000);
  t.true((JSON.parse(line) as { claimedUser: string }).claimedUser.startsWith('\n"}'));
});

// The line of an RPC.

const text = fc.oneof(
  fc.constantFrom('a', 'b', '', '"', '\n', '\u2028', '\ud800', 'ü', 'x'.repeat(2_000)),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
);
const maybe = fc.option(text, { nil: undefined });
const number = fc.nat();
const changes = fc.record(
  {
    requestId: text,
    startedAtMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
    durationMs: fc.option(number, { nil: undefined }),
    envoy: text,
    client: maybe,
    method: fc.constantFrom('Config' as const, 'other' as const),
    principal: maybe,
    issuer: maybe,
    claimedUser: maybe,
    team: maybe,
    environment: maybe,
    namespace: maybe,
    session: fc.constantFrom('session-1', 'session-2', undefined),
    driver: maybe,
    refusal: fc.constantFrom('TOKEN_EXPIRED', undefined),
    grpcStatus: fc.constantFrom(0, 16, undefined),
    details: text,
    bytesReceived: number,
    bytesSent: number,
    traceId: maybe,
  },
  { requiredKeys: [] },
);

test('the line of an RPC says what its record says, whatever came before it', (t) => {
  fc.assert(
    fc.property(fc.array(changes, { maxLength: 8 }), (all) => {
      const lines = new RpcLines();
      for (const some of all) {
        const one: AuditedRpc = { ...rpc, ...some };
        const line = lines.line(one);
        t.is(line.indexOf('\n'), line.length - 1);
        t.deepEqual(JSON.parse(line), JSON.parse(recordLine(rpcRecord(one))));
      }
    }),
  );
});
