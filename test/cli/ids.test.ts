import test from 'ava';
import { assert, property, uniqueArray, uuid } from 'fast-check';
import { sessionIds, shortIds, wholeId } from '../../src/cli/ids.js';

const SECOND = '22222222-aaaa-4000-8000-000000000003';
const ids = [
  '11111111-aaaa-4000-8000-000000000001',
  '11111111-aaab-4000-8000-000000000002',
  SECOND,
  'first-ab12cd',
];

test('ids are shown as short as they can be told apart', (t) => {
  t.deepEqual(ids.map(shortIds(ids)), [
    '11111111-aaaa',
    '11111111-aaab',
    '22222222',
    'first-ab12cd',
  ]);
});

test('the beginning of an id is enough where it fits one only', (t) => {
  t.is(wholeId('2222', ids, sessionIds), SECOND);
  t.is(wholeId(SECOND, ids, sessionIds), SECOND);
  t.throws(() => wholeId('1111', ids, sessionIds), {
    message: /beginning of 2 sessions: 11111111-aaaa.*Write more/,
  });
  t.throws(() => wholeId('9', ids, sessionIds), { message: /no session 9/ });
});

test('what is shown of an id names it again', (t) => {
  assert(
    property(uniqueArray(uuid(), { minLength: 1, maxLength: 30 }), (uuids) => {
      const short = shortIds(uuids);
      for (const id of uuids) t.is(wholeId(short(id), uuids, sessionIds), id);
    }),
  );
});
