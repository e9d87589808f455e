/**
 * Requests that no client sends: what they mean to authz they must mean to the driver, or they reach neither.
 * HTTP/2 by node:http2, which sends what a gRPC library would not.
 */
import { once } from 'node:events';
import { connect, type OutgoingHttpHeaders } from 'node:http2';
import anyTest, { type TestFn } from 'ava';
import { GrpcStatus } from '../../src/model/errors.js';
import {
  CLUSTER_HEADER,
  IDENTITY_HEADER,
  PIN_HEADER,
  rpcOfPath,
  SESSION_HEADER,
  SPARK_CONNECT_SERVICE,
} from '../../src/model/names.js';
import { type Front, routable, startFront, testSettings } from '../support/front.js';
import { allow, refuse } from '../support/scripted-authz.js';
import { SparkDriver } from '../support/spark-driver.js';
import { frame } from '../support/spark-messages.js';
import { unusedAddress } from '../support/loopback.js';

const test = anyTest as TestFn<{ front: Front; driver: SparkDriver }>;

const SERVICE = `/${SPARK_CONNECT_SERVICE}`;
const LIMIT = 2_000;

test.before(async (t) => {
  const driver = await SparkDriver.start('driver-1', await unusedAddress());
  t.context.driver = driver;
  t.context.front = await startFront({
    settings: { ...testSettings, drivers: { ...testSettings.drivers, maxMessageBytes: LIMIT } },
    // As authz does: a known RPC, or nothing.
    check: (request) =>
      rpcOfPath(request.attributes?.request?.http?.path ?? '') === 'other'
        ? refuse(GrpcStatus.UNIMPLEMENTED, 'no such RPC', 'METHOD_UNKNOWN')
        : allow(routable(driver)),
  });
  await t.context.front.publish([routable(driver)]);
});

test.after.always(async (t) => {
  await t.context.front?.stop();
  await t.context.driver?.stop();
});

interface Outcome {
  /** Of HTTP; undefined: the stream was reset. */
  readonly http: number | undefined;
  /** Of gRPC. */
  readonly code: number | undefined;
  /** Paths that authz was asked about, and that the driver was sent. */
  readonly asked: readonly string[];
  readonly driven: readonly string[];
}

async function send(
  { front, driver }: { readonly front: Front; readonly driver: SparkDriver },
  headers: OutgoingHttpHeaders,
  body: Buffer = frame(Buffer.from('request')),
): Promise<Outcome> {
  const [asked, driven] = [front.authz.requests.length, driver.calls.length];
  const session = connect(`http://${front.address}`);
  session.on('error', () => undefined);
  const stream = session.request({
    ':method': 'POST',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  let seen: Record<string, unknown> = {};
  stream.on('response', (response) => (seen = { ...seen, ...response }));
  stream.on('trailers', (trailers) => (seen = { ...seen, ...trailers }));
  stream.on('error', () => undefined);
  stream.resume();
  const closed = once(stream, 'close').catch(() => undefined);
  stream.end(body);
  await closed;
  session.destroy();
  return {
    http: seen[':status'] === undefined ? undefined : Number(seen[':status']),
    code: seen['grpc-status'] === undefined ? undefined : Number(seen['grpc-status']),
    asked: front.authz.requests
      .slice(asked)
      .map(({ attributes }) => attributes?.request?.http?.path ?? ''),
    driven: driver.calls.slice(driven).map(({ headers: sent }) => String(sent[':path'])),
  };
}

const paths: Readonly<Record<string, string>> = {
  'with a query': `${SERVICE}/Config?x=1`,
  'with an empty query': `${SERVICE}/Config?`,
  'with a fragment': `${SERVICE}/Config#x`,
  'with a parameter': `${SERVICE}/Config;x=1`,
  'with a slash at its end': `${SERVICE}/Config/`,
  'with two slashes': `/${SERVICE}/Config`,
  'with two slashes inside': `${SERVICE}//Config`,
  'with a dot': `${SERVICE}/./Config`,
  'with two dots': `/x/..${SERVICE}/Config`,
  'that leaves its service': `${SERVICE}/../grpc.health.v1.Health/Check`,
  'that comes to it from another': `/grpc.health.v1.Health/..${SERVICE}/Config`,
  'with an escaped letter': `${SERVICE}/%43onfig`,
  'with an escaped slash': `/${SPARK_CONNECT_SERVICE}%2FConfig`,
  'with an escaped backslash': `${SERVICE}/x%5C..%5CConfig`,
  'with a backslash': `${SERVICE}\\Config`,
  'with escaped dots': `${SERVICE}/%2e%2e/${SPARK_CONNECT_SERVICE}/Config`,
  'with an escaped NUL': `${SERVICE}/Config%00`,
  'in lower case': `${SERVICE}/config`,
  'in upper case': `${SERVICE.toUpperCase()}/CONFIG`,
  'of a service with a longer name': `${SERVICE}2/Config`,
  'of an RPC with a longer name': `${SERVICE}/ConfigX`,
  'of no RPC': `${SERVICE}/`,
  'of the service alone': SERVICE,
  'that names a host': `http://example.com${SERVICE}/Config`,
  '*': '*',
};
for (const [what, path] of Object.entries(paths)) {
  test.serial(`a path ${what} means one thing to authz and the driver`, async (t) => {
    const { asked, driven, http, code } = await send(t.context, { ':path': path });
    t.true(asked.length <= 1);
    // The driver is asked for nothing but what authz has allowed, by the same name.
    if (driven.length > 0) {
      t.deepEqual(driven, asked);
      t.not(rpcOfPath(driven[0] ?? ''), 'other');
    } else if (http !== undefined) t.true(http >= 400 || code !== GrpcStatus.OK);
  });
}

for (const path of [`${SERVICE}/AddArtifacts?x`, `${SERVICE}/./AddArtifacts`]) {
  test.serial(`an upload to ${path} is held to the limit of uploads`, async (t) => {
    const large = Buffer.concat([frame(Buffer.alloc(10)), frame(Buffer.alloc(LIMIT + 1))]);
    const { driver } = t.context;
    const before = driver.calls.length;
    await send(t.context, { ':path': path }, large);
    const sent = driver.calls.slice(before).flatMap(({ messages }) => messages);
    t.true(sent.every(({ length }) => length <= LIMIT));
  });
}

const kinds: Readonly<Record<string, OutgoingHttpHeaders>> = {
  'gRPC-web': { 'content-type': 'application/grpc-web' },
  'gRPC-web as text': { 'content-type': 'application/grpc-web-text' },
  JSON: { 'content-type': 'application/json' },
  'a form': { 'content-type': 'multipart/form-data; boundary=x' },
  'a content type in upper case': { 'content-type': 'APPLICATION/GRPC' },
  'a content type behind a space': { 'content-type': ' application/grpc' },
  'a content type that only begins so': { 'content-type': 'application/grpcx' },
  'a content type with a list': { 'content-type': 'application/grpc, text/html' },
  GET: { ':method': 'GET' },
  PUT: { ':method': 'PUT' },
  OPTIONS: { ':method': 'OPTIONS' },
  'a method in lower case': { ':method': 'post' },
  'a method that nobody knows': { ':method': 'SPARK' },
};
for (const [what, headers] of Object.entries(kinds)) {
  test.serial(`${what} is no gRPC: whatever is let through was decided by authz`, async (t) => {
    const { asked, driven } = await send(t.context, { ':path': `${SERVICE}/Config`, ...headers });
    t.true(driven.length <= asked.length);
  });
}

test.serial('headers that authz stamps are dropped however a client writes them', async (t) => {
  const { driver } = t.context;
  const forged = {
    [CLUSTER_HEADER]: 'spark/sjns-other',
    [PIN_HEADER]: 'MTI3LjAuMC4xOjE=',
    [IDENTITY_HEADER]: 'Zm9yZ2Vk',
    'x-spark-': 'empty',
    [SESSION_HEADER]: ['one', 'two'],
    'x-envoy-max-retries': '100',
    'x-envoy-upstream-rq-timeout-ms': '1',
    'x-envoy-original-path': '/x',
    x_spark_cluster: 'spark/sjns-other',
    'x-spark_cluster': 'spark/sjns-other',
  };
  const { code } = await send(t.context, { ':path': `${SERVICE}/Config`, ...forged });
  t.is(code, GrpcStatus.OK);
  const sent = driver.calls.at(-1)?.headers ?? {};
  t.is(sent[CLUSTER_HEADER], 'spark/sjns-search-test');
  t.is(sent[SESSION_HEADER], 'a-session', 'as authz has stamped it');
  for (const name of ['x-spark-', IDENTITY_HEADER, 'x_spark_cluster']) {
    t.is(sent[name], undefined, name);
  }
  t.deepEqual(
    Object.keys(sent).filter((name) => name.startsWith('x-envoy-') || name.includes('_')),
    [],
  );
});

test.serial('a request id is Envoy’s own', async (t) => {
  const { driver, front } = t.context;
  const id = '00000000-0000-4000-8000-000000000000';
  await send(t.context, { ':path': `${SERVICE}/Config`, 'x-request-id': id });
  const asked = front.authz.requests.at(-1)?.attributes?.request?.http?.headers['x-request-id'];
  t.not(asked, id);
  t.is(driver.calls.at(-1)?.headers['x-request-id'], asked);
});
