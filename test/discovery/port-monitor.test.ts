import test from 'ava';
import { PortMonitor } from '../../src/discovery/port-monitor.js';
import { ManualClock } from '../support/manual-clock.js';

function monitored(answer: { reason: string | undefined }) {
  const clock = new ManualClock();
  let changes = 0;
  const monitor = new PortMonitor({
    clock,
    onChange: () => (changes += 1),
    probe: () => Promise.resolve(answer.reason),
  });
  return { clock, monitor, changes: () => changes };
}

test('the first answer is noticed soon, and reported once', async (t) => {
  const answer: { reason: string | undefined } = { reason: 'ECONNREFUSED' };
  const { clock, monitor, changes } = monitored(answer);
  await monitor.watch('a', '127.0.0.1', 1);
  t.like(monitor.state('a'), { answers: false, hasAnswered: false, reason: 'ECONNREFUSED' });
  answer.reason = undefined;
  await clock.advance(250);
  t.like(monitor.state('a'), { answers: true, hasAnswered: true });
  await clock.advance(60_000);
  t.is(changes(), 1);
});

test('an answer counts only once its owner is confirmed', async (t) => {
  const answer: { reason: string | undefined } = { reason: undefined };
  const { clock, monitor, changes } = monitored(answer);
  let owned = false;
  let asked = 0;
  await monitor.watch('a', '127.0.0.1', 1, () => {
    asked += 1;
    return owned ? Promise.resolve(true) : Promise.reject(new Error('cannot be known now'));
  });
  t.like(monitor.state('a'), { answers: false, hasAnswered: false, taken: true });
  owned = true;
  await clock.advance(250);
  t.like(monitor.state('a'), { answers: true, hasAnswered: true, taken: false });
  t.is(changes(), 2);
  await clock.advance(60_000);
  t.is(asked, 2);
});

test('one missed answer is forgiven, two are believed, and a return is noticed', async (t) => {
  const answer: { reason: string | undefined } = { reason: undefined };
  const { clock, monitor, changes } = monitored(answer);
  await monitor.watch('a', '127.0.0.1', 1);
  answer.reason = 'no answer';
  await clock.advance(5_000);
  t.true(monitor.state('a')?.answers);
  await clock.advance(1_000);
  t.like(monitor.state('a'), { answers: false, hasAnswered: true, reason: 'no answer' });
  answer.reason = undefined;
  await clock.advance(1_000);
  t.true(monitor.state('a')?.answers);
  t.is(changes(), 3);
});

test('a port under the same key but another address is another port', async (t) => {
  const answer: { reason: string | undefined } = { reason: undefined };
  const { monitor } = monitored(answer);
  await monitor.watch('a', '127.0.0.1', 1);
  answer.reason = 'no answer';
  await monitor.watch('a', '192.0.2.2', 1);
  t.like(monitor.state('a'), { answers: false, hasAnswered: false });
  monitor.close();
  t.is(monitor.state('a'), undefined);
});
