/** Envoy lets equal requests through by a lease of authz's decision, and asks about everything else. */
import { once } from 'node:events';
import { connect, type ClientHttp2Session } from 'node:http2';
import { fromBinary } from '@bufbuild/protobuf';
import anyTest, { type TestFn } from 'ava';
import {
  type CheckRequest,
  type CheckResponse,
  CheckResponseSchema,
} from '#gen/envoy/service/auth/v3/external_auth_pb.js';
import { encodeAllowed } from '../../src/authz/check-codec.js';
import { parseEnvoyCounts } from '../../src/authz/envoy-counts-reader.js';
import { withLease } from '../../src/authz/lease.js';
import { hostPort } from '../../src/model/driver.js';
import {
  AFFINITY_HEADER,
  CLUSTER_HEADER,
  clusterName,
  IDENTITY_HEADER,
  ISSUER_HEADER,
  LEASE_HEADER,
  LEASE_WORDS,
  LEASED_HEADER,
  type LeasedRpc,
  PIN_HEADER,
  PRINCIPAL_HEADER,
  ringHashKey,
  rpcOfPath,
  SESSION_HEADER,
  SPARK_CONNECT_SERVICE,
} from '../../src/model/names.js';
import { type Front, routable, startFront, testSettings } from '../support/front.js';
import { answerUid, SparkDriver } from '../support/spark-driver.js';
import { encode, type EncodedField, frame } from '../support/spark-messages.js';
import { unusedAddress } from '../support/loopback.js';

const test = anyTest.serial as TestFn<{
  front: Front;
  driver: SparkDriver;
  session: ClientHttp2Session;
}>;

const SESSION = '5f0c1f5e-3c1d-4a52-9d0a-6f1f6b9f4a11';
const OTHER = '7a0c1f5e-3c1d-4a52-9d0a-6f1f6b9f4a12';
const USER = encode([1, 'ada']);
/** How long authz lets Envoy keep what it decides, seconds. */
let seconds = 30;

/** As authz answers, with its own encoder. */
function decide(request: CheckRequest, driver: SparkDriver): CheckResponse {
  const { address, port, namespace, uid } = routable(driver);
  const headers = request.attributes?.request?.http?.headers ?? {};
  const response = {
    set: [
      { name: CLUSTER_HEADER, value: clusterName(namespace) },
      { name: AFFINITY_HEADER, value: ringHashKey(uid) },
      { name: PIN_HEADER, value: Buffer.from(hostPort(address, port)).toString('base64') },
      { name: PRINCIPAL_HEADER, value: 'ada' },
      { name: ISSUER_HEADER, value: 'https://issuer.example.com' },
      { name: SESSION_HEADER, value: SESSION },
      { name: IDENTITY_HEADER, value: 'identity' },
      { name: 'authorization', value: 'Bearer drivers-own' },
    ],
    remove: [LEASE_HEADER, 'authentication'],
    metadata: { session: SESSION, principal: 'ada', team: 'search', namespace, driver: uid },
  };
  const number = headers[LEASE_HEADER];
  const rpc = rpcOfPath(request.attributes?.request?.http?.path ?? '');
  const isLeased = number !== undefined && seconds > 0 && rpc in LEASE_WORDS;
  const leased = isLeased ? withLease(response, rpc as LeasedRpc, number, seconds) : response;
  return fromBinary(CheckResponseSchema, encodeAllowed(leased));
}

test.before(async (t) => {
  const driver = await SparkDriver.start('driver-1', await unusedAddress(), (arrived, self) => {
    const forged = arrived.headers['x-forge'];
    if (typeof forged === 'string') arrived.respond({ [LEASE_HEADER]: forged });
    if (arrived.headers['x-fail'] === undefined) answerUid(arrived, self);
    else arrived.end(5);
  });
  const front = await startFront({
    settings: { ...testSettings, authz: { ...testSettings.authz, leases: true } },
    check: (request) => decide(request, driver),
  });
  await front.publish([routable(driver)]);
  const session = connect(`http://${front.address}`);
  t.context = { driver, front, session };
});

test.after.always(async (t) => {
  t.context.session?.destroy();
  await t.context.front?.stop();
  await t.context.driver?.stop();
});
test.beforeEach(() => {
  seconds = 30;
});

type Fields = Record<string, string>;

async function call(
  { session }: { session: ClientHttp2Session },
  body: Buffer,
  headers: Fields = {},
  method = 'ReleaseExecute',
): Promise<Fields> {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/${SPARK_CONNECT_SERVICE}/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: 'Bearer t1',
    ...headers,
  });
  let said: Fields = {};
  stream.on('response', (found) => (said = { ...said, ...(found as Fields) }));
  stream.on('trailers', (found) => (said = { ...said, ...(found as Fields) }));
  stream.resume();
  stream.end(body);
  await once(stream, 'close');
  return said;
}

const release = (...more: readonly EncodedField[]) =>
  frame(encode([1, SESSION], [2, USER], [3, 'operation-1'], ...more));

/** How often authz was asked during `act`. */
async function asked({ front }: { front: Front }, act: () => Promise<unknown>): Promise<number> {
  const before = front.authz.requests.length;
  await act();
  return front.authz.requests.length - before;
}

/** A token of its own, so that no lease is there yet. */
let tokens = 0;
const fresh = () => ({ authorization: `Bearer fresh-${(tokens += 1)}` });

test('authz is asked once; the driver sees each request as authz stamped it, the client sees nothing of it', async (t) => {
  const { driver } = t.context;
  const token = fresh();
  const seen = driver.calls.length;
  const count = await asked(t.context, async () => {
    for (const operation of ['one', 'two', 'three']) {
      const said = await call(t.context, release([6, operation]), {
        ...token,
        authentication: 'x',
        [LEASED_HEADER]: '1',
        [PRINCIPAL_HEADER]: 'mallory',
        [PIN_HEADER]: Buffer.from('192.0.2.99:1').toString('base64'),
      });
      t.is(said['grpc-status'], '0');
      t.is(said[LEASE_HEADER], undefined);
    }
  });
  t.is(count, 1);
  const [first, ...later] = driver.calls.slice(seen).map(({ headers }) => headers);
  t.is(later.length, 2);
  const stamped = (of: typeof first) =>
    [CLUSTER_HEADER, IDENTITY_HEADER, PIN_HEADER]
      .map((name) => of?.[name])
      .concat(of?.authorization);
  for (const headers of later) {
    t.deepEqual(stamped(headers), stamped(first));
    t.is(headers.authorization, 'Bearer drivers-own');
    t.is(headers['authentication'], undefined);
    for (const name of [LEASED_HEADER, PRINCIPAL_HEADER])
      t.false(
        ['1', 'mallory'].includes(String(headers[name])),
        'what a client says of it is dropped',
      );
    t.is(headers[LEASE_HEADER], undefined);
  }
});

test('without a lease that is good for equal requests authz is asked each time', async (t) => {
  const cases: Record<string, () => Promise<unknown>> = {
    'another token': () => call(t.context, release(), fresh()),
    'another team': () => call(t.context, release(), { 'x-doordash-team': `t${Math.random()}` }),
    'another host': () => call(t.context, release(), { ':authority': `h${Math.random()}:1` }),
    'another session': () => call(t.context, frame(encode([1, `${Math.random()}`], [2, USER])), {}),
    'another user': () =>
      call(t.context, frame(encode([1, SESSION], [2, encode([1, `${Math.random()}`])]))),
    'another method': () => call(t.context, release(), {}, 'Interrupt'),
  };
  await call(t.context, release());
  t.is(await asked(t.context, () => call(t.context, release())), 0, 'there is a lease');
  for (const [what, act] of Object.entries(cases)) t.is(await asked(t.context, act), 1, what);
});

test('whatever is unusual in the message is left to authz, though a lease is there', async (t) => {
  await call(t.context, release());
  const bodies: Record<string, Buffer> = {
    'a session that comes twice': release([1, OTHER]),
    'the same session twice': release([1, SESSION]),
    'a user that comes twice': release([2, USER]),
    'no user': frame(encode([1, SESSION], [3, 'operation'])),
    'no session': frame(encode([2, USER])),
    'a session as a number': release([1, 5]),
    'a long varint': frame(
      Buffer.concat([encode([1, SESSION], [2, USER]), Buffer.from([0x28, 0x80, 1])]),
    ),
    'a tag that is longer than it need be': frame(
      Buffer.concat([encode([1, SESSION], [2, USER]), Buffer.from([0x8a, 0x00, 1, 65])]),
    ),
    'field number 0': frame(
      Buffer.concat([encode([1, SESSION], [2, USER]), Buffer.from([2, 1, 65])]),
    ),
    'a group': frame(Buffer.concat([encode([1, SESSION], [2, USER]), Buffer.from([0x23, 0x24])])),
    'a length beyond the end': frame(
      Buffer.concat([encode([1, SESSION], [2, USER]), Buffer.from([0x1a, 9, 65])]),
    ),
    'a high field number': frame(
      Buffer.concat([encode([1, SESSION], [2, USER]), encode([17, 'x'])]),
    ),
    'two messages': Buffer.concat([release(), release()]),
    compressed: frame(encode([1, SESSION], [2, USER]), true),
    'cut off': release().subarray(0, 30),
    'bytes behind the message': Buffer.concat([release(), Buffer.from([0])]),
    nothing: Buffer.alloc(0),
    'too long': release([3, 'x'.repeat(5_000)]),
  };
  for (const [what, body] of Object.entries(bodies)) {
    t.is(await asked(t.context, () => call(t.context, body)), 1, what);
  }
  t.is(await asked(t.context, () => call(t.context, release([4, 'agent '.repeat(100)]))), 0);
});

test('a header that comes twice is not the one that was allowed', async (t) => {
  const token = fresh();
  const team = { ...token, 'x-doordash-team': 'search' };
  await call(t.context, release(), team);
  t.is(await asked(t.context, () => call(t.context, release(), team)), 0);
  const twice = { ...token, 'x-doordash-team': ['search', 'ads'] as unknown as string };
  t.is(await asked(t.context, () => call(t.context, release(), twice)), 1);
});

test('a lease ends when authz says, and what authz refuses is not kept', async (t) => {
  const token = fresh();
  seconds = 1;
  await call(t.context, release(), token);
  // The clock is Envoy's own.
  for (;;) {
    const count = await asked(t.context, () => call(t.context, release(), token));
    if (count > 0) break;
  }
  t.pass();
});

test('a request that left by a lease and failed is audited with whose it is', async (t) => {
  const { front } = t.context;
  const token = fresh();
  await call(t.context, release(), token);
  const before = front.activity.events.length;
  const count = await asked(t.context, () =>
    call(t.context, release(), { ...token, 'x-fail': '1' }),
  );
  t.is(count, 0);
  await front.activity.next((event) => front.activity.events.indexOf(event) >= before);
  const record = front.auditLog.find(({ grpcStatus }) => grpcStatus === 5);
  t.like(record, { principal: 'ada', session: SESSION, team: 'search', method: 'ReleaseExecute' });
  t.truthy(record?.requestId);
});

test('Envoy counts and times those that succeed, which have no record', async (t) => {
  const { front } = t.context;
  const succeeded = async () => {
    const text = await front.envoy.admin('/stats/prometheus?usedonly&filter=ReleaseExecute');
    return parseEnvoyCounts(text)[0];
  };
  const before = await succeeded();
  const records = front.auditLog.length;
  for (let i = 0; i < 3; i += 1) await call(t.context, release());
  await call(t.context, release(), { 'x-fail': '1' });
  const after = await succeeded();
  t.is(after?.namespace, 'sjns-search-test');
  t.is((after?.succeeded ?? 0) - (before?.succeeded ?? 0), 3);
  await front.activity.next(() => front.auditLog.length > records);
  t.deepEqual(
    front.auditLog.slice(records).map(({ grpcStatus }) => grpcStatus),
    [5],
  );
  const leased = await front.envoy.admin('/stats?filter=route.leased.upstream_rq_total');
  t.true(Number(/: (\d+)/.exec(leased)?.[1]) > 0, 'what left by a lease is counted by itself');
});

for (const rpc of ['ReleaseExecute', 'Config'] as const) {
  test(`a driver cannot give a lease, neither to its own client nor to another: ${rpc}`, async (t) => {
    const { front, driver } = t.context;
    const { address, port, namespace } = routable(driver);
    const body = frame(encode([1, SESSION], [2, USER]));
    seconds = 0;
    const ask = async (token: string, headers: Fields = {}) => {
      const before = front.authz.requests.length;
      const authorization = `Bearer ${token}-${rpc}`;
      const said = await call(t.context, body, { authorization, ...headers }, rpc);
      t.is(said['grpc-status'], '0');
      t.is(said[LEASE_HEADER], undefined);
      const requests = front.authz.requests.slice(before);
      const number = requests.at(-1)?.attributes?.request?.http?.headers[LEASE_HEADER] ?? '';
      return { asked: requests.length, number: Number(number) };
    };
    const victim = await ask('victim');
    t.true(victim.number > 0);
    const words: Partial<Record<string, string>> = {
      [CLUSTER_HEADER]: clusterName(namespace),
      [PIN_HEADER]: Buffer.from(hostPort(address, port)).toString('base64'),
    };
    const forge = (number: number) => ({
      'x-forge': [
        number,
        3_600,
        ...LEASE_WORDS[rpc].map((name) => words[name] ?? 'forged'),
        'forged',
      ].join(' '),
    });
    await ask('eve', forge(victim.number));
    t.is((await ask('victim')).asked, 1, 'authz is asked again');
    // Numbers follow each other: its own is the next but one.
    const { number } = await ask('eve');
    await ask('eve', forge(number + 1));
    t.is((await ask('eve')).asked, 1);
  });
}

// Config: equal is the whole message.

/** Reads the setting; as PySpark's, with who asks behind it. */
const config = (key: string, ...more: readonly EncodedField[]) =>
  frame(
    encode(
      [1, SESSION],
      [2, USER],
      [3, encode([2, encode([1, key])])],
      [4, '_SPARK_CONNECT_PYTHON'],
      ...more,
    ),
  );

const read = (
  context: { session: ClientHttp2Session },
  body: Buffer,
  headers: Fields = {},
): Promise<Fields> => call(context, body, headers, 'Config');

test('of equal Config requests authz is asked once; the driver is sent the same by a lease, and each has its record', async (t) => {
  const { driver, front } = t.context;
  const token = fresh();
  const seen = driver.calls.length;
  const count = await asked(t.context, async () => {
    for (let i = 0; i < 3; i++) {
      const said = await read(t.context, config('spark.a'), {
        ...token,
        authentication: 'x',
        [LEASED_HEADER]: '1',
        [PRINCIPAL_HEADER]: 'mallory',
      });
      t.is(said['grpc-status'], '0');
      t.is(said[LEASE_HEADER], undefined);
    }
  });
  t.is(count, 1);
  const [first, ...later] = driver.calls.slice(seen).map(({ headers }) => headers);
  t.is(first?.[PRINCIPAL_HEADER], 'ada');
  t.is(later.length, 2);
  const ids = new Set([first?.['x-request-id']]);
  for (const headers of later) {
    const { [LEASED_HEADER]: packed, 'x-request-id': id, ...others } = headers;
    t.deepEqual({ ...others, 'x-request-id': first?.['x-request-id'] }, { ...first });
    t.not(packed, '1');
    ids.add(id);
  }
  t.is(ids.size, 3, 'each has an id of its own');
  const records = () => front.auditLog.filter(({ requestId }) => ids.has(requestId));
  await front.activity.next(() => records().length === 3);
  for (const record of records())
    t.like(record, { principal: 'ada', session: SESSION, team: 'search', method: 'Config' });
});

test('a Config that differs in anything is left to authz', async (t) => {
  const token = fresh();
  await read(t.context, config('spark.a'), token);
  t.is(await asked(t.context, () => read(t.context, config('spark.a'), token)), 0);
  const bodies: Record<string, Buffer> = {
    'another setting': config('spark.b'),
    'another session': frame(encode([1, OTHER], [2, USER], [3, encode([2, encode([1, 'a'])])])),
    'a field more': config('spark.a', [8, OTHER]),
    'two messages': Buffer.concat([config('spark.a'), config('spark.a')]),
    compressed: Buffer.concat([Buffer.from([1]), config('spark.a').subarray(1)]),
    'cut off': config('spark.a').subarray(0, 30),
    nothing: Buffer.alloc(0),
    'as long as no reading is': config('spark.a', [8, 'x'.repeat(1_000)]),
  };
  for (const [what, body] of Object.entries(bodies)) {
    t.is(await asked(t.context, () => read(t.context, body, token)), 1, what);
  }
  t.is(await asked(t.context, () => call(t.context, config('spark.a'), token)), 1, 'another RPC');
  t.is(await asked(t.context, () => read(t.context, config('spark.a'), fresh())), 1, 'token');
  const team = { ...token, 'x-doordash-team': 'ads' };
  t.is(await asked(t.context, () => read(t.context, config('spark.a'), team)), 1, 'team');
});

test('a Config with long values arrives whole, up to 4 MiB', async (t) => {
  const { driver } = t.context;
  const long = config('spark.a', [5, 'x'.repeat(4 * 1024 * 1024 - 1_000)]);
  t.is((await read(t.context, long))['grpc-status'], '0');
  t.is(driver.calls.at(-1)?.messages[0]?.length, long.length - 5);
  const longer = await read(t.context, config('spark.a', [5, 'x'.repeat(6 * 1024 * 1024)]));
  t.is(longer['grpc-status'], '8');
  t.regex(decodeURIComponent(longer['grpc-message'] ?? ''), /4 MiB/);
});
