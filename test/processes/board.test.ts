import test from 'ava';
import { type FleetProblem, namespaceReference } from '../../src/model/fleet-problem.js';
import { ProblemBoard } from '../../src/processes/telemetry.js';
import { ManualClock } from '../support/manual-clock.js';

function fixture() {
  const clock = new ManualClock();
  const board = new ProblemBoard(clock);
  const now: FleetProblem[] = [];
  board.add({ problems: () => now });
  return { clock, board, now };
}

function failing(namespace: string, message: string): FleetProblem {
  return { kind: 'pool_failing', object: namespaceReference(namespace), message };
}

test('a problem keeps its beginning while it lasts, whatever its words', async (t) => {
  const { clock, board, now } = fixture();
  now.push(failing('a', 'first'));
  const [first] = board.list();
  await clock.advance(5_000);
  now.splice(0, 1, failing('a', 'second'));
  t.like(board.list()[0], { message: 'second', sinceMs: first?.sinceMs });
  now.length = 0;
  t.deepEqual(board.list(), []);
  now.push(failing('a', 'third'));
  t.is(board.list()[0]?.sinceMs, clock.now());
});

test('every kind is counted, also those that there are none of', (t) => {
  const { board, now } = fixture();
  now.push(failing('a', 'x'), failing('b', 'x'));
  t.is(board.counts().get('pool_failing'), 2);
  t.is(board.counts().get('policy_invalid'), 0);
});

test('a flood of problems is counted in full and listed in part', (t) => {
  const { board, now } = fixture();
  for (let index = 0; index < 3_000; index += 1) now.push(failing(`ns-${index}`, 'x'));
  t.is(board.list().length, 1_000);
  t.is(board.counts().get('pool_failing'), 3_000);
});
