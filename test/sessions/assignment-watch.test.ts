import test from 'ava';
import type { DriverRecord } from '../../src/model/driver.js';
import { StartedDrivers } from '../../src/fleet/driver-starts.js';
import { type FinishedSpan, SamplingTracer } from '../../src/telemetry/tracing/tracer.js';
import { assignmentWatch } from '../support/assignment-watch.js';
import { driverRecord, sessionId, START_MS } from '../support/driver-records.js';
import { ManualClock } from '../support/manual-clock.js';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function setUp() {
  const clock = new ManualClock(START_MS);
  const records = new Map<string, DriverRecord>();
  const listeners: ((uid: string) => void)[] = [];
  const outcomes: string[] = [];
  const starts = new StartedDrivers(
    {
      get: (uid) => records.get(uid),
      onChange(listener) {
        listeners.push(listener);
        return () => undefined;
      },
    },
    ({ createdAtMs, readyAtMs }, outcome) => outcomes.push(`${outcome} ${readyAtMs - createdAtMs}`),
  );
  const spans: FinishedSpan[] = [];
  const tracer = new SamplingTracer(clock, (span) => spans.push(span));
  const change = (phase: DriverRecord['phase']) => {
    records.set('d1', driverRecord('d1', { phase, phaseSinceMs: clock.now() }));
    for (const listener of listeners) listener('d1');
  };
  return { clock, starts, outcomes, spans, change, ...assignmentWatch(clock, { tracer, starts }) };
}

test('an assignment that waited for its driver is cold, and its trace shows the start', async (t) => {
  const { clock, change, watch, seen, spans, outcomes } = setUp();
  const answered = watch.begin({ sessionId: sessionId(1), method: 'Config' }, TRACEPARENT);
  change('warming');
  await clock.advance(7_000);
  change('available');
  change('in_use');
  await clock.advance(10);
  answered({ driver: 'd1' });
  t.deepEqual(seen, [['cold', 7_010]]);
  t.deepEqual(outcomes, ['ready 7000']);
  t.deepEqual(
    spans.map(({ name, startMs, endMs }) => [name, startMs - START_MS, endMs - START_MS]),
    [
      ['driver start', 0, 7_000],
      ['assignment', 0, 7_010],
    ],
  );
});

test('an assignment to a driver that was there is warm; a refusal is neither', async (t) => {
  const { clock, change, watch, seen, spans } = setUp();
  change('warming');
  await clock.advance(7_000);
  change('available');
  await clock.advance(1);
  watch.begin({ sessionId: sessionId(1), method: 'Config' }, TRACEPARENT)({ driver: 'd1' });
  watch.begin(
    { sessionId: sessionId(2), method: 'Config' },
    TRACEPARENT,
  )({
    failure: 'POOL_EXHAUSTED',
  });
  t.deepEqual(
    seen.map(([kind]) => kind),
    ['warm', 'refused'],
  );
  t.deepEqual(
    spans.map(({ name, failure }) => [name, failure]),
    [
      ['assignment', undefined],
      ['assignment', 'POOL_EXHAUSTED'],
    ],
  );
});

test('a driver that was given up while it warmed up is a failed start', async (t) => {
  const { clock, change, outcomes, starts } = setUp();
  change('warming');
  await clock.advance(300_000);
  change('expired');
  change('gone');
  t.deepEqual(outcomes, ['failed 300000']);
  t.is(starts.startOf('d1'), undefined);
});
