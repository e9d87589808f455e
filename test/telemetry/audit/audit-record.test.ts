import { readFileSync } from 'node:fs';
import test from 'ava';
import {
  adminRecord,
  lostRecord,
  recordLine,
  rpcRecord,
} from '../../../src/telemetry/audit/audit-record.js';
import type { AuditedRpc } from '../../../src/model/audit.js';
import { rpc } from './support.js';

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
