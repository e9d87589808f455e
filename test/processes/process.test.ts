import test from 'ava';
import { Closing } from '../../src/processes/process.js';
import { Signal } from '../support/signal.js';

test('parts are closed in reverse, each when the one before has closed', async (t) => {
  const closing = new Closing();
  const closed: string[] = [];
  const last = new Signal<void>();
  closing.add(() => closed.push('opened first'));
  closing.add(async () => {
    await last.next();
    closed.push('opened last');
  });
  const done = closing.close();
  t.deepEqual(closed, []);
  last.emit();
  await done;
  t.deepEqual(closed, ['opened last', 'opened first']);
});

test('a part that fails to close keeps no other open, and is told of', async (t) => {
  const closing = new Closing();
  const closed: string[] = [];
  closing.add(() => closed.push('first'));
  closing.add(() => {
    throw new Error('stuck');
  });
  closing.add(() => Promise.reject(new Error('lost')));
  const error = await t.throwsAsync(closing.close(), { instanceOf: AggregateError });
  t.deepEqual(
    error?.errors.map(({ message }: Error) => message),
    ['lost', 'stuck'],
  );
  t.deepEqual(closed, ['first']);
});

test('what opens while or after all is closed is closed, too', async (t) => {
  const closing = new Closing();
  const closed: string[] = [];
  closing.add(() => closing.add(() => closed.push('while')));
  await closing.close();
  closing.add(() => closed.push('after'));
  t.deepEqual(closed, ['while', 'after']);
});
