import { randomUUID } from 'node:crypto';
import test from 'ava';
import { developmentPolicy } from '../support/development-policy.js';
import { Gateway } from '../support/gateway.js';
import { OtlpCollector } from '../support/otlp-collector.js';
import { PySpark } from '../support/pyspark.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

test('a session of PySpark is one trace from its client to the start of its driver, and audited in the collector', async (t) => {
  const collector = await OtlpCollector.start('127.0.0.1:0');
  t.teardown(() => collector.stop());
  const gateway = await Gateway.start({
    policy: developmentPolicy({ size: 1, maximum: 1 }),
    settings: {
      otlp: { endpoint: `http://${collector.address}` },
      tracing: { enabled: true, sample_percent: 0 },
      audit: { otlp: true },
    },
  });
  t.teardown(() => gateway.stop());
  const pyspark = await PySpark.start('4');
  t.teardown(() => pyspark.kill());
  const sessionId = randomUUID();
  const url = await gateway.url({
    parameters: { session_id: sessionId, traceparent: `00-${TRACE}-${PARENT}-01` },
  });
  await pyspark.connect('alice', url);
  t.deepEqual((await pyspark.sql('alice', 'SELECT 1 + 1')).rows, [[2]]);

  const named = (name: string) => collector.spans.filter((span) => span.name === name);
  await collector.until(
    () =>
      named('assignment').length > 0 &&
      named('authz check').length > 0 &&
      collector.logs.length > 0,
  );
  const [assignment] = named('assignment');
  const check = named('authz check').find(({ spanId }) => spanId === assignment?.parentId);
  t.is(assignment?.service, 'spark-gateway-control-plane');
  t.is(check?.service, 'spark-gateway-authz');
  await collector.until(() => collector.spans.some(({ spanId }) => spanId === check?.parentId));
  t.deepEqual([...new Set(collector.spans.map(({ traceId }) => traceId))], [TRACE]);
  t.true(collector.spans.some(({ parentId }) => parentId === PARENT));
  t.notRegex(JSON.stringify(collector.spans), /SELECT|Bearer|eyJ/);
});
