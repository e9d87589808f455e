import test from 'ava';
import { connectConf, refuseSessionTimeout, withFence } from '../../src/model/connect-conf.js';

const BATCH = 'spark.connect.grpc.arrow.maxBatchSize';
const BUFFER = 'spark.connect.execute.reattachable.observerRetryBufferSize';

test('batches have Spark’s own size, which every client can receive', (t) => {
  const conf = connectConf({}, 256 * 1024 * 1024);
  t.deepEqual(conf, { 'spark.connect.grpc.maxInboundMessageSize': '268435456' });
});

test('larger batches have a retry buffer that holds some of them, unless it is set as well', (t) => {
  for (const [batch, buffer] of [
    ['10m', '26214400'],
    ['10485760', '26214400'],
    ['1GB', '2684354560'],
  ] as const) {
    t.is(connectConf({ [BATCH]: batch }, 1)[BUFFER], buffer);
  }
  t.is(connectConf({ [BATCH]: '10m', [BUFFER]: '50m' }, 1)[BUFFER], '50m');
});

test('a limit of messages beyond what Spark can read is the largest that it can', (t) => {
  t.is(connectConf({}, 2 ** 40)['spark.connect.grpc.maxInboundMessageSize'], '2147483647');
});

test('interceptors of the operator stay, and are asked after the fence', (t) => {
  const name = 'spark.connect.grpc.interceptor.classes';
  t.is(withFence({})[name], 'sparkgateway.DriverFence');
  t.is(withFence({ [name]: 'a.B,c.D' })[name], 'a.B,c.D,sparkgateway.DriverFence');
});

const refusal = (text: string) =>
  refuseSessionTimeout({ 'spark.connect.session.manager.defaultSessionTimeout': text }, 60_000);

test('a driver that would end sessions before the gateway does is refused', (t) => {
  for (const text of ['60s', '1min', '60000', '60000ms', '0', ' 30S ']) {
    t.regex(refusal(text) ?? '', /must be longer than session_ttl \(60 s\)/, text);
  }
  // -1 is never; what Spark cannot read is told by Spark.
  for (const text of ['61s', '2m', '1h', '1d', '-1', 'soon']) t.is(refusal(text), undefined, text);
  t.is(refuseSessionTimeout({}, 60_000), undefined);
});
