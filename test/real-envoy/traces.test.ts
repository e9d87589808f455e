/** A request's trace through a real Envoy, with and without a collector. */
import { once } from 'node:events';
import { connect } from 'node:http2';
import test, { type ExecutionContext } from 'ava';
import { GrpcStatus } from '../../src/model/errors.js';
import { SPARK_CONNECT_SERVICE } from '../../src/model/names.js';
import { LOOPBACK, routable, startFront, testSettings } from '../support/front.js';
import { OtlpCollector } from '../support/otlp-collector.js';
import { allow } from '../support/scripted-authz.js';
import { SparkDriver } from '../support/spark-driver.js';
import { unusedPort } from '../support/unused-port.js';
import { unusedAddress } from '../support/loopback.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

async function setUp(t: ExecutionContext, collector: string, samplePercent: number) {
  const [host = '', port] = collector.split(':');
  const driver = await SparkDriver.start('driver-1', await unusedAddress());
  t.teardown(() => driver.stop());
  const front = await startFront({
    settings: {
      ...testSettings,
      listener: { ...testSettings.listener, tracing: { samplePercent } },
      collector: { host, port: Number(port), tls: undefined },
    },
  });
  t.teardown(() => front.stop());
  await front.publish([routable(driver)]);
  front.authz.check = () => allow(routable(driver), 'session-1');
  return { front, driver };
}

function traced(flags: string) {
  return { traceparent: `00-${TRACE}-${PARENT}-${flags}` };
}

test("a client's trace goes on through Envoy to authz and the driver", async (t) => {
  const collector = await OtlpCollector.start(`${LOOPBACK}:0`);
  t.teardown(() => collector.stop());
  const { front, driver } = await setUp(t, collector.address, 0);
  const arrived = driver.nextCall();
  const { code } = await front.client().ask('Config', traced('01'));
  t.is(code, GrpcStatus.OK);
  const sent = (await arrived).headers['traceparent']?.toString() ?? '';
  t.regex(sent, new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
  t.notRegex(sent, new RegExp(PARENT));
  await collector.until(() => collector.spans.some(({ parentId }) => parentId === PARENT));
  const span = collector.spans.find(({ parentId }) => parentId === PARENT);
  t.like(span, { service: 'spark-gateway-envoy', traceId: TRACE });
  t.is(span?.attributes['spark_gateway.session'], 'session-1');
  t.notRegex(JSON.stringify(collector.spans), /Bearer|secret/i);
  const asked = front.authz.traceparents.at(-1) ?? '';
  t.regex(asked, new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
  await front.client().ask('AnalyzePlan');
  t.is(front.auditLog.find(({ method }) => method === 'Config')?.traceId, TRACE);
});

test('without a word of the client as many requests are traced as settings say', async (t) => {
  const collector = await OtlpCollector.start(`${LOOPBACK}:0`);
  t.teardown(() => collector.stop());
  const { front } = await setUp(t, collector.address, 100);
  t.is((await front.client().ask('Config')).code, GrpcStatus.OK);
  await collector.until(() => collector.spans.length > 0);
  t.is((await front.client().ask('Config', traced('00'))).code, GrpcStatus.OK);
  t.false(collector.spans.some(({ traceId }) => traceId === TRACE));
});

test('a collector that is away harms no request', async (t) => {
  const { front } = await setUp(t, `${LOOPBACK}:${await unusedPort(LOOPBACK)}`, 100);
  const client = front.client();
  for (let n = 0; n < 20; n += 1) t.is((await client.ask('Config')).code, GrpcStatus.OK);
});

test('neither traces nor audit records hold the path of a request or its query', async (t) => {
  const collector = await OtlpCollector.start(`${LOOPBACK}:0`);
  t.teardown(() => collector.stop());
  const { front } = await setUp(t, collector.address, 100);
  const paths = [
    `/x?access_token=secret`,
    `/${SPARK_CONNECT_SERVICE}/secret`,
    `/${SPARK_CONNECT_SERVICE}/Config?access_token=secret/Config`,
    `/secret/${SPARK_CONNECT_SERVICE}/Config`,
  ];
  for (const path of paths) {
    for (const contentType of ['application/grpc', 'text/plain']) {
      await rawPost(front.address, path, contentType);
    }
  }
  const count = paths.length * 2;
  await collector.until(() => collector.spans.length >= count);
  t.notRegex(JSON.stringify(collector.spans), /secret/);
  while (front.auditLog.length < count) await rawPost(front.address, '/', 'text/plain');
  t.notRegex(JSON.stringify(front.auditLog), /secret/);
  t.deepEqual([...new Set(front.auditLog.map(({ method }) => method))].toSorted(), [
    'Config',
    'other',
  ]);
});

/** A request as no gRPC library makes it; resolves when the answer has come as a whole. */
async function rawPost(address: string, path: string, contentType: string): Promise<void> {
  const session = connect(`http://${address}`);
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': contentType,
    te: 'trailers',
  });
  stream.end(Buffer.alloc(5));
  stream.resume();
  await once(stream, 'close');
  session.close();
}
