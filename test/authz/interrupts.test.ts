import test from 'ava';
import { randomUUID } from 'node:crypto';
import * as fc from 'fast-check';
import { isMeant, readInterrupt, readOperation } from '../../src/authz/operations.js';
import { unknownSessionAnswer } from '../../src/authz/unknown-session.js';
import { GatewayError } from '../../src/model/errors.js';
import type { Interrupt } from '../../src/model/interrupt.js';
import { assignmentFor, AuthzGateway } from '../support/authz-gateway.js';
import { allowed, denied, SESSION } from '../support/check-client.js';
import { limitPolicy } from '../support/queries.js';
import { Signal } from '../support/signal.js';
import { encode, frame } from '../support/spark-messages.js';

const USER = encode([1, 'ann@example.com']);
const CLEAN_CACHE = encode([2, encode([17, encode([7, ''])])]);

const unknown = () => Promise.reject(new GatewayError('SESSION_UNKNOWN', 'no such session'));

function executePlan(operationId: string, tag = '', plan: Uint8Array = encode([1, 'root'])) {
  return frame(encode([1, SESSION], [2, USER], [3, plan], [6, operationId], [7, tag]));
}

function interrupt(type: number, ...fields: readonly (readonly [number, string])[]): Buffer {
  return frame(encode([1, SESSION], [2, USER], [4, type], ...fields));
}

/** Whole messages. */
function start(bytes: Buffer) {
  return { bytes, length: bytes.length };
}

/** A gateway whose other sidecars the test plays. */
async function withOthers(policy = {}) {
  const told: Interrupt[] = [];
  const listeners: ((interrupt: Interrupt) => void)[] = [];
  const gateway = await AuthzGateway.start(policy, {
    interrupts: {
      interrupt: (given) => {
        told.push(given);
        return Promise.resolve();
      },
      onInterrupt: (listener) => void listeners.push(listener),
    },
  });
  const hear = (given: Interrupt) => listeners.forEach((listener) => listener(given));
  return { gateway, told, hear };
}

test('who interrupts without end is answered each time, and others are told of few', async (t) => {
  const { gateway, told } = await withOthers();
  t.teardown(() => gateway.close());
  gateway.assign = unknown;
  const token = await gateway.token();
  const ask = async () =>
    allowed(await gateway.client.check({ token, method: 'Interrupt', body: interrupt(1) }));
  for (let n = 0; n < 100; n += 1) await ask();
  t.is(told.length, 20);
  await gateway.clock.advance(1_000);
  await ask();
  t.is(told.length, 21);
});

test('an interrupt ends what waits for a driver, here and at other sidecars', async (t) => {
  const { gateway, told } = await withOthers();
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  const asked = new Signal<void>();
  gateway.assign = (request, signal) => {
    if (!request.mayCreate) return unknown();
    asked.emit();
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  };
  const operationId = randomUUID();
  const waiting = gateway.client.check({ token, body: executePlan(operationId) });
  await asked.next();
  const response = allowed(
    await gateway.client.check({ token, method: 'Interrupt', body: interrupt(1) }),
  );
  t.is(
    response.set['x-spark-answer'],
    frame(encode([1, SESSION], [2, operationId])).toString('base64'),
  );
  t.true(response.remove.includes('authorization'));
  t.like(denied(await waiting), {
    code: 'OPERATION_CANCELED',
    errorClass: 'OPERATION_CANCELED',
    grpcStatus: 13,
    retryAfterMs: undefined,
  });
  t.deepEqual(
    told.map(({ sessionId, principal }) => [sessionId, principal.subject]),
    [[SESSION, 'ann@example.com']],
  );
});

test("another sidecar's interrupt ends what its own principal has waiting, and no one else's", async (t) => {
  const { gateway, hear } = await withOthers();
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  const asked = new Signal<void>();
  gateway.assign = (request, signal) => {
    asked.emit();
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
      if (request.method === 'Config') resolve(assignmentFor(request));
    });
  };
  const waiting = gateway.client.check({ token, body: executePlan(randomUUID()) });
  await asked.next();
  const issuer = gateway.issuer.policy().issuer;
  hear({ sessionId: SESSION, principal: { issuer, subject: 'bob@example.com' } });
  hear({ sessionId: randomUUID(), principal: { issuer, subject: 'ann@example.com' } });
  hear({ sessionId: SESSION, principal: { issuer, subject: 'ann@example.com' }, tag: 'other' });
  allowed(await gateway.client.check({ token, method: 'Config' }));
  hear({ sessionId: SESSION, principal: { issuer, subject: 'ann@example.com' } });
  t.is(denied(await waiting).code, 'OPERATION_CANCELED');
});

test('an interrupt of a session with a driver goes there, and ends what waits for its turn', async (t) => {
  const { gateway, told } = await withOthers({
    limits: () => limitPolicy({ queriesPerSession: 1 }),
  });
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  const { set } = allowed(
    await gateway.client.check({ token, method: 'Interrupt', body: interrupt(2, [5, 'mine']) }),
  );
  t.truthy(set['x-spark-pin']);
  t.is(told.length, 1);
  t.like(told[0], { sessionId: SESSION, tag: 'mine' });
});

test('a clean-up of an unknown session asks for no driver, all else does', async (t) => {
  const { gateway } = await withOthers();
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  gateway.assign = (request) =>
    request.mayCreate ? Promise.resolve(assignmentFor(request)) : unknown();
  const check = (plan: Uint8Array) =>
    gateway.client.check({ token, body: executePlan(randomUUID(), '', plan) });
  for (const command of [
    [17, encode([7, ''])],
    [17, encode([3, ''])],
    [15, ''],
  ] as const) {
    const { set } = allowed(await check(encode([2, encode(command)])));
    t.truthy(set['x-spark-answer']);
    t.is(set['x-spark-pin'], undefined);
  }
  for (const plan of [
    encode([1, 'root']),
    encode([2, encode([5, 'sql'])]),
    encode([2, encode([17, encode([1, 'fit'])])]),
    encode([2, encode([17, encode([7, ''], [1, 'fit'])])]),
    encode([2, encode([17, encode([7, ''])], [5, 'sql'])]),
    encode([2, encode([17, encode([7, ''])])], [1, 'root']),
  ]) {
    t.truthy(allowed(await check(plan)).set['x-spark-pin']);
  }
});

test('what a client reads by the way is answered without values where it may not begin a session', (t) => {
  const key = 'spark.connect.session.planCompression.threshold';
  const answer = unknownSessionAnswer({
    method: 'Config',
    sessionId: SESSION,
    operation: undefined,
    interrupted: [],
    reads: [key],
  });
  t.deepEqual(answer, frame(encode([1, SESSION], [2, encode([1, key])])));
});

test('of a request that is cut only what was seen is believed', (t) => {
  const whole = encode([1, SESSION], [2, USER], [3, CLEAN_CACHE], [6, 'operation'], [7, 'tag']);
  t.deepEqual(readOperation(start(whole)), {
    id: 'operation',
    tags: ['tag'],
    isWhole: true,
    isCleanUp: true,
  });
  fc.assert(
    fc.property(fc.nat(whole.length - 1), (seen) => {
      const operation = readOperation({ bytes: whole.subarray(0, seen), length: whole.length });
      t.false(operation.isWhole);
      t.false(operation.isCleanUp, 'a plan may follow');
      // Better ended than run after its user has ended it.
      t.true(isMeant(operation, { operationId: 'operation' }));
      t.true(isMeant(operation, { tag: 'tag' }));
      t.true(isMeant(operation, {}));
    }),
  );
});

test('an interrupt means the operations that it names', (t) => {
  const operation = readOperation(start(encode([6, 'one'], [7, 'a'], [7, 'b'])));
  const means = (...fields: readonly (readonly [number, string | number])[]) =>
    isMeant(operation, readInterrupt(start(encode(...fields))));
  t.true(means([4, 1]));
  t.true(means([4, 2], [5, 'b']));
  t.false(means([4, 2], [5, 'c']));
  t.true(means([4, 3], [6, 'one']));
  t.false(means([4, 3], [6, 'two']));
  t.false(means(), 'a type that is not set');
  t.false(isMeant(undefined, { operationId: 'one' }), 'a request that is no operation');
  t.true(isMeant(undefined, {}));
});
