import test from 'ava';
import { CheckMemory } from '../../src/authz/check-memory.js';
import * as fc from 'fast-check';
import { encodeDecision } from '../../src/authz/authz-server.js';
import { allowedResponse, deniedResponse, type Metadata } from '../../src/authz/response.js';
import { GatewayError } from '../../src/model/errors.js';
import type { Assignment } from '../../src/model/assignment.js';
import { AccessMetadata } from '../../src/model/names.js';

function assignment(driverToken: string | undefined): Assignment {
  return {
    sessionId: '0b6c6a3e-7c1d-4a55-9a3c-5d0d3c1f2e10',
    principal: { issuer: 'https://issuer.example', subject: 'ann' },
    driverUid: 'driver-1',
    cluster: 'spark/sjns-data-prod',
    address: '10.1.2.3:15002',
    driverToken,
    team: 'data',
    environment: 'prod',
    namespace: 'sjns-data-prod',
    cacheTtlMs: 60_000,
  };
}

/** Few values, so that requests are often alike. */
const value = fc.constantFrom('a', 'b', undefined);
const metadata: fc.Arbitrary<Metadata> = fc.record(
  Object.fromEntries(Object.values(AccessMetadata).map((key) => [key, value])),
  { requiredKeys: [] },
);
const headers = fc.uniqueArray(
  fc.constantFrom('authorization', 'authentication', 'user-agent', 'x-spark-pin', 'x-spark-else'),
);
const user = fc.constantFrom('ann', 'bob', '');
const requests = fc.array(fc.record({ metadata, headers, user, driver: fc.nat(1) }), {
  maxLength: 30,
});

const memory = new CheckMemory();

test('an answer like the one before it is made of the same bytes, and of the right ones', (t) => {
  fc.assert(
    fc.property(requests, (all) => {
      const drivers = [assignment(undefined), assignment('a secret')];
      for (const { metadata: known, headers: names, user: userId, driver } of all) {
        const client = new Map(names.map((name) => [name, 'x']));
        const remembered = drivers[driver] ?? assignment(undefined);
        const respond = (to: Assignment) =>
          encodeDecision(
            {
              allowed: true,
              response: allowedResponse(to, userId, client, known, memory.responses),
            },
            memory,
          );
        const answer = respond(remembered);
        t.deepEqual(answer, respond({ ...remembered }));
        t.is(respond(remembered), answer);
      }
    }),
    { numRuns: 200 },
  );
  t.pass();
});

test('the driver is told which session and user were checked, whatever characters they have', (t) => {
  for (const userId of ['ann', '', 'Ännchen, "A" %\n', '用户']) {
    const { set } = allowedResponse(assignment(undefined), userId, new Map(), {}, memory.responses);
    const stamp = set.find(({ name }) => name === 'x-spark-identity')?.value ?? '';
    t.regex(stamp, /^[\w+/=]+$/);
    t.is(Buffer.from(stamp, 'base64').toString(), `0b6c6a3e-7c1d-4a55-9a3c-5d0d3c1f2e10/${userId}`);
  }
});

for (const [what, text] of [
  [
    'a stack of an operator',
    'java.lang.IllegalStateException: no\n\tat a.b.C(D.java:1)\n'.repeat(300),
  ],
  ['letters that are encoded', 'ÄÖÜ日本語%😀'.repeat(2_000)],
  ['half a character', '\ud83d'.repeat(5_000)],
] as const) {
  test(`a refusal stays below 4 KiB, whatever it quotes: ${what}`, (t) => {
    const error = new GatewayError('DRIVER_START_FAILED', text, { retryAfterMs: 1_000 });
    const { set, grpcStatus } = deniedResponse(error, {});
    const bytes = set.reduce((sum, header) => sum + header.name.length + header.value.length, 0);
    t.true(bytes < 4_096, `${bytes} bytes`);
    t.is(grpcStatus, error.status);
  });
}
