import test from 'ava';
import * as fc from 'fast-check';
import { gzipSync } from 'node:zlib';
import { AuthzGateway } from '../support/authz-gateway.js';
import { allowed, denied, SESSION, sparkBody } from '../support/check-client.js';
import { encode, frame } from '../support/spark-messages.js';

const LIMIT = 1024 ** 2;

/** The first bytes of a message of `bytes`, as Envoy sends them. */
function bodyOf(bytes: number): Buffer {
  const head = Buffer.from(sparkBody());
  head.writeUInt32BE(bytes, 1);
  return head;
}

async function start(): Promise<AuthzGateway> {
  return AuthzGateway.start({
    limits: (namespace) =>
      namespace === 'sjns-data-prod'
        ? { messageSizeBytes: LIMIT, connectionsPerDriver: undefined }
        : undefined,
  });
}

test('a message larger than the policy allows is refused with both sizes and what to do', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  const check = (bytes: number, method: string, headers = {}) =>
    gateway.client.check({ token, method, headers, body: bodyOf(bytes) });
  allowed(await check(LIMIT, 'ExecutePlan'));
  const refused = denied(await check(LIMIT + 1, 'ExecutePlan'));
  t.is(refused.code, 'MESSAGE_TOO_LARGE');
  t.is(refused.grpcStatus, 8);
  t.is(refused.retryAfterMs, undefined, 'trying again would not help');
  t.regex(refused.message, /1\.01 MiB, and the policy allows 1 MiB in sjns-data-prod\. Have Spark/);
  for (const method of ['Config', 'AnalyzePlan', 'AddArtifacts', 'ReattachExecute']) {
    t.is(denied(await check(LIMIT + 1, method)).code, 'MESSAGE_TOO_LARGE', method);
  }
  const elsewhere = { 'x-doordash-environment': 'dev' };
  allowed(await check(0xffff_ffff, 'ExecutePlan', elsewhere));
});

test('a compressed message counts as it is sent', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.close());
  const plan = encode([1, SESSION], [2, encode([1, 'ann'])], [3, Buffer.alloc(4 * LIMIT)]);
  const body = frame(gzipSync(plan), true);
  t.true(body.length < LIMIT);
  const headers = { 'grpc-encoding': 'gzip' };
  allowed(await gateway.client.check({ token: await gateway.token(), headers, body }));
});

test('whatever the body is, it is allowed or refused with a reason', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.nat(0xffff_ffff).map((size) => bodyOf(size)),
    fc.tuple(fc.nat(60), fc.nat(0xffff_ffff)).map(([end, size]) => bodyOf(size).subarray(0, end)),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (body) => {
      const response = await gateway.client.check({ token, body: Buffer.from(body) });
      if (response.httpResponse.case === 'deniedResponse') {
        t.true(['REQUEST_UNREADABLE', 'MESSAGE_TOO_LARGE'].includes(denied(response).code ?? ''));
      } else allowed(response);
    }),
    { numRuns: 200 },
  );
});
