import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { Registry } from 'prom-client';
import { OtlpClient, serviceResource } from '../../../src/lib/grpc/otlp.js';
import { noTracer } from '../../../src/model/audit.js';
import { SpanExporter } from '../../../src/telemetry/tracing/exporter.js';
import {
  formatTraceparent,
  parseTraceparent,
  type FinishedSpan,
  SamplingTracer,
} from '../../../src/telemetry/tracing/tracer.js';
import { ManualClock } from '../../support/manual-clock.js';
import { OtlpCollector } from '../../support/otlp-collector.js';
import { unusedPort } from '../../support/unused-port.js';
import { unusedAddress } from '../../support/loopback.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const HOST = await unusedAddress();

test('a span is a child of the one that asked, and parent of what it asks for', (t) => {
  const ended: FinishedSpan[] = [];
  const clock = new ManualClock(1000);
  const tracer = new SamplingTracer(clock, (span) => ended.push(span));
  const outer = tracer.start('authz check', `00-${TRACE}-${PARENT}-01`);
  const inner = tracer.start('assignment', outer?.traceparent);
  inner?.addPart('driver start', 400, 900, { 'spark_gateway.driver': 'uid-1' });
  inner?.end();
  outer?.set('spark_gateway.session', 'session-1');
  outer?.end('POOL_EXHAUSTED');
  const [part, second, first] = ended;
  t.like(first, {
    name: 'authz check',
    traceId: TRACE,
    parentId: PARENT,
    failure: 'POOL_EXHAUSTED',
    attributes: { 'spark_gateway.session': 'session-1' },
  });
  t.like(second, { name: 'assignment', traceId: TRACE, parentId: first?.spanId ?? '' });
  t.like(part, {
    name: 'driver start',
    traceId: TRACE,
    parentId: second?.spanId ?? '',
    startMs: 400,
  });
});

test('what is not sampled, not valid or not there makes no span', (t) => {
  const tracer = new SamplingTracer(new ManualClock(), () => t.fail());
  for (const traceparent of [
    undefined,
    '',
    `00-${TRACE}-${PARENT}-00`,
    `ff-${TRACE}-${PARENT}-01`,
    `00-${'0'.repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}-01-more`,
  ]) {
    t.is(tracer.start('x', traceparent), undefined, traceparent);
  }
  t.is(noTracer.start('x', `00-${TRACE}-${PARENT}-01`), undefined);
});

function hex(length: number): fc.Arbitrary<string> {
  return fc
    .stringMatching(new RegExp(`^[0-9a-f]{${length}}$`))
    .filter((text) => !/^0+$/.test(text));
}

test('a traceparent of any text is read or not, and what is made is read', (t) => {
  fc.assert(
    fc.property(hex(32), hex(16), fc.boolean(), (traceId, spanId, sampled) => {
      const context = { traceId, spanId, sampled };
      t.deepEqual(parseTraceparent(formatTraceparent(context)), context);
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => t.notThrows(() => parseTraceparent(text))));
});

function exporterTo(t: ExecutionContext, port: number, timeoutMs = 20_000) {
  const clock = new ManualClock();
  const registry = new Registry();
  const exporter = new SpanExporter({
    client: new OtlpClient({
      endpoint: { host: HOST, port, tls: false },
      caFile: undefined,
      timeoutMs,
    }),
    resource: serviceResource('authz', 'one'),
    clock,
    registry,
  });
  t.teardown(() => exporter.close());
  const tracer = new SamplingTracer(clock, (span) => exporter.add(span));
  const span = () => tracer.start('authz check', `00-${TRACE}-${PARENT}-01`)?.end();
  return { clock, registry, span, exporter };
}

test('spans reach a collector together', async (t) => {
  const collector = await OtlpCollector.start(`${HOST}:0`);
  t.teardown(() => collector.stop());
  const { clock, span } = exporterTo(t, Number(collector.address.split(':')[1]));
  span();
  span();
  await clock.advance(1_000);
  await collector.until(() => collector.spans.length === 2);
  t.is(collector.requests, 1);
  t.like(collector.spans[0], { service: 'spark-gateway-authz', traceId: TRACE, parentId: PARENT });
});

test('without a collector spans are dropped and counted, and no more wait than fit', async (t) => {
  const { registry, span, exporter } = exporterTo(t, await unusedPort(HOST));
  for (let n = 0; n < 10_000; n += 1) span();
  await exporter.close();
  t.regex(await registry.metrics(), /spark_gateway_trace_spans_dropped_total 10000/);
});

test('a span that takes less than a millisecond has a length, and is within the one that asked', (t) => {
  const ended: FinishedSpan[] = [];
  let passedMs = 0;
  let setByMs = 0;
  const clock = {
    // Whole milliseconds, as Date.now() has them.
    now: () => Math.floor(1_700_000_000_000.7 + passedMs + setByMs),
    monotonic: () => passedMs,
    setTimer: () => ({ cancel: () => undefined }),
  };
  const tracer = new SamplingTracer(clock, (span) => ended.push(span));
  const spans: FinishedSpan[] = [];
  for (let n = 0; n < 50; n += 1) {
    const outer = tracer.start('outer', `00-${TRACE}-${PARENT}-01`);
    passedMs += 0.1;
    const inner = tracer.start('inner', outer?.traceparent);
    passedMs += 0.25;
    inner?.end();
    passedMs += 0.05;
    outer?.end();
    const [second, first] = ended.splice(0) as [FinishedSpan, FinishedSpan];
    t.true(first.startMs <= second.startMs && second.endMs <= first.endMs);
    spans.push(second, first);
  }
  for (const { name, startMs, endMs } of spans.slice(10)) {
    t.is((endMs - startMs).toFixed(2), name === 'inner' ? '0.25' : '0.40');
  }
  // A clock that was set is followed.
  setByMs = -3_600_000;
  tracer.start('later', `00-${TRACE}-${PARENT}-01`)?.end();
  t.true(Math.abs((ended[0]?.startMs ?? 0) - clock.now()) < 1);
});

test.serial(
  'a collector that takes them gets every span, however many come between two ticks of a second',
  async (t) => {
    const collector = await OtlpCollector.start(`${HOST}:0`);
    t.teardown(() => collector.stop());
    const { registry, span } = exporterTo(t, Number(collector.address.split(':')[1]));
    const count = 20_480;
    for (let n = 1; n <= count; n += 1) {
      span();
      if (n % 2_048 === 0) await collector.until(() => collector.spans.length > n - 2_048);
    }
    // The clock stands still: no second has passed.
    await collector.until(() => collector.spans.length === count);
    t.regex(await registry.metrics(), /spark_gateway_trace_spans_dropped_total 0/);
  },
);
