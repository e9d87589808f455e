/** A real Spark server behind the limit of uploads. */
import { once } from 'node:events';
import { connect } from 'node:http2';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { GrpcStatus } from '../../src/model/errors.js';
import type { RoutableDriver } from '../../src/model/driver.js';
import { SPARK_CONNECT_SERVICE } from '../../src/model/names.js';
import { startFront, testSettings } from '../support/front.js';
import { RealDriver } from '../support/real-driver.js';
import { allow } from '../support/scripted-authz.js';
import { encode, frame } from '../support/spark-messages.js';
import { unusedAddress } from '../support/loopback.js';

const ADDRESS = await unusedAddress();
const TOKEN = 'the-drivers-own';
const SESSION = '0b6c6a3e-7c1d-4a55-9a3c-5d0d3c1f2e10';

test('Spark ends an upload with too large a message, or one that inflates to that, keeps its connection, and its other streams go on', async (t) => {
  const driver = await RealDriver.start(ADDRESS, TOKEN, 2, '4', { maxMessageBytes: 1_000_000 });
  t.teardown(() => driver.kill());
  const routable: RoutableDriver = {
    uid: 'real',
    namespace: 'sjns-search-test',
    address: ADDRESS,
    port: 15002,
    draining: false,
  };
  const front = await startFront({
    settings: { ...testSettings, drivers: { ...testSettings.drivers, maxMessageBytes: 100_000 } },
    check: () => allow(routable, SESSION),
  });
  t.teardown(() => front.stop());
  await front.publish([routable]);

  const ask = async (
    method: string,
    messages: readonly Buffer[],
    headers: Readonly<Record<string, string>> = {},
  ) => {
    const session = connect(`http://${front.address}`);
    const stream = session.request({
      ':method': 'POST',
      ':path': `/${SPARK_CONNECT_SERVICE}/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      authorization: `Bearer ${TOKEN}`,
      ...headers,
    });
    let status: Record<string, string> = {};
    const note = (found: object) => (status = { ...status, ...found });
    stream.on('response', note).on('trailers', note);
    stream.on('error', () => undefined);
    stream.resume();
    const closed = once(stream, 'close');
    for (const message of messages) stream.write(message);
    stream.end();
    await closed;
    session.destroy();
    return { code: Number(status['grpc-status']), details: status['grpc-message'] ?? '' };
  };
  const beginning = [1, SESSION] as const;
  const user = [2, encode([1, 'ann'])] as const;
  // Config: operation (3) get_all (5).
  const config = [frame(encode(beginning, user, [3, encode([5, encode()])]))];
  const settled = await ask('Config', config);
  t.is(settled.code, GrpcStatus.OK, settled.details);

  // AddArtifacts: a batch (3) of an artifact (1) with name (1) and a chunk (2) with data (1).
  const upload = (size: number) =>
    encode(beginning, user, [
      3,
      encode([1, encode([1, 'files/a.txt'], [2, encode([1, Buffer.alloc(size)])])]),
    ]);
  const artifact = (size: number) => frame(upload(size));
  const refused = await ask('AddArtifacts', [artifact(10), artifact(200_000), artifact(10)]);
  t.is(refused.code, GrpcStatus.RESOURCE_EXHAUSTED, refused.details);
  t.regex(refused.details, /larger than what drivers accept/);

  // What is small as it is sent and large when it is inflated is the driver's to refuse, also by itself.
  const bomb = frame(gzipSync(upload(8_000_000)), true);
  t.true(bomb.length < 100_000);
  const inflated = await ask('AddArtifacts', [artifact(10), bomb], { 'grpc-encoding': 'gzip' });
  t.not(inflated.code, GrpcStatus.OK, inflated.details);
  for (const encoding of ['deflate', 'br', 'identity', 'gzip, gzip']) {
    const odd = await ask('AddArtifacts', [artifact(10), bomb], { 'grpc-encoding': encoding });
    t.not(odd.code, GrpcStatus.OK, encoding);
  }

  t.is((await ask('Config', config)).code, GrpcStatus.OK);
  const cluster = 'cluster.spark/sjns-search-test';
  t.is(await front.envoy.stat(`${cluster}.upstream_cx_total`), 1);
  t.is(await front.envoy.stat(`${cluster}.upstream_cx_destroy`), 0);
});
