import test from 'ava';
import * as fc from 'fast-check';
import { recordLine, rpcRecord } from '../../../src/telemetry/audit/audit-record.js';
import { RpcLines } from '../../../src/telemetry/audit/rpc-line.js';
import type { AuditedRpc } from '../../../src/model/audit.js';
import { rpc } from './support.js';

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
