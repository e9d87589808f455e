import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { GatewayError } from '../../src/model/errors.js';
import {
  NAME_LIMITS,
  type NameLimits,
  nameList,
  type NameList,
  NameTable,
} from '../../src/xds/name-lists.js';
import { TypeUrl } from '../../src/xds/resource.js';
import { type SubscribedNames, SubscriberIndex } from '../../src/xds/subscriber-index.js';
import { lengthDelimited, XdsWireReader } from '../../src/xds/xds-wire.js';
import { tries } from '../support/tries.js';

// Who subscribes to what.

const { ENDPOINTS } = TypeUrl;
const VIEW = 'edge';
const SUBSCRIBERS = 3;
/** So many that differences from a common set are settled. */
const NAMES = Array.from({ length: 200 }, (_, i) => `name-${i}`);

const someNames = fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: NAMES.length });
const step = fc.record({
  subscriber: fc.nat(SUBSCRIBERS - 1),
  act: fc.oneof(
    fc.record({ do: fc.constantFrom('replace', 'add', 'delete'), names: someNames }),
    fc.record({
      do: fc.constantFrom('add', 'delete'),
      names: fc.constantFrom(...NAMES).map((name) => [name]),
    }),
    fc.constant({ do: 'clear', names: [] as string[] }),
  ),
});

function apply(names: SubscribedNames, act: string, list: readonly string[]) {
  switch (act) {
    case 'replace':
      return names.replace(nameList(new Set(list)));
    case 'add':
      return { added: names.add(nameList(new Set(list))), removed: [] };
    case 'delete':
      return { added: [], removed: names.delete(list) };
    default:
      names.clear();
      return undefined;
  }
}

function applied(before: ReadonlySet<string>, act: string, list: readonly string[]): Set<string> {
  if (act === 'add') return new Set([...before, ...list]);
  if (act === 'delete') return new Set([...before].filter((name) => !list.includes(name)));
  return new Set(act === 'replace' ? list : []);
}

test('whatever subscribers ask for, each is found by what it wants, and what nobody wants is let go', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const index = new SubscriberIndex<number>();
      const expected = Array.from({ length: SUBSCRIBERS }, () => new Set<string>());
      const subscribers = expected.map((_, id) => index.subscriber(VIEW, ENDPOINTS, id));
      for (const { subscriber, act } of steps) {
        const names = subscribers[subscriber];
        const before = expected[subscriber];
        if (!names || !before) throw new Error('no such subscriber');
        const change = apply(names, act.do, act.names);
        const after = applied(before, act.do, act.names);
        expected[subscriber] = after;
        if (!change) continue;
        const added = [...after].filter((name) => !before.has(name));
        const removed = [...before].filter((name) => !after.has(name));
        t.deepEqual(change.added.toSorted(), added.toSorted());
        t.deepEqual(change.removed.toSorted(), removed.toSorted());
      }
      for (const [id, names] of subscribers.entries()) {
        t.deepEqual([...names].toSorted(), [...(expected[id] ?? [])].toSorted());
        t.is(names.size, expected[id]?.size ?? 0);
      }
      for (const name of NAMES) {
        const found: number[] = [];
        index.visit(VIEW, ENDPOINTS, name, (subscriber) => found.push(subscriber));
        const wanting = expected.flatMap((wanted, id) => (wanted.has(name) ? [id] : []));
        t.deepEqual(
          found.toSorted((a, b) => a - b),
          wanting,
        );
      }
      for (const names of subscribers) names.clear();
      t.is(index.table.heldBytes, 0);
    }),
    { numRuns: tries(200) },
  );
});

test('who subscribes by wildcard, too, is found once', (t) => {
  const index = new SubscriberIndex<string>();
  index.subscriber(VIEW, ENDPOINTS, 'both').add(nameList(new Set(['a'])));
  index.addWildcard(VIEW, ENDPOINTS, 'both');
  const found: string[] = [];
  index.visit(VIEW, ENDPOINTS, 'a', (subscriber) => found.push(subscriber));
  t.deepEqual(found, ['both']);
});

test('names that come one by one are limited as a list is', (t) => {
  const table = new NameTable({ ...NAME_LIMITS, names: 2 });
  const names = new SubscriberIndex<string>(table).subscriber(VIEW, ENDPOINTS, 'one');
  const add = (name: string) => names.add(nameList(new Set([name])));
  add('a');
  add('b');
  t.throws(() => add('c'), { message: /2 resources of a type/ });
});

// Lists of names.

const FIELD = 3;
const MANY = Array.from({ length: 1000 }, (_, i) => `spark/sjns-team-${i}-prod`);

function read(table: NameTable, names: readonly string[], recent: readonly NameList[] = []) {
  const bytes = Buffer.concat(names.map((name) => lengthDelimited(FIELD, name)));
  const reader = new XdsWireReader(bytes);
  reader.next();
  return table.read(reader, recent);
}

const tableOf = (limits: Partial<NameLimits> = {}) => new NameTable({ ...NAME_LIMITS, ...limits });

function refuses(t: ExecutionContext, act: () => unknown, message: RegExp): void {
  const error = t.throws<GatewayError>(act, { instanceOf: GatewayError });
  t.is(error.code, 'XDS_TOO_MANY_NAMES');
  t.regex(error.message, message);
}

test('the same names in another order are kept once', (t) => {
  const table = new NameTable();
  const first = table.hold(read(table, MANY));
  const second = table.hold(read(table, MANY.toReversed()));
  t.not(first, second);
  t.is(first.set, second.set);
});

test('what nobody holds is not kept', (t) => {
  const table = new NameTable();
  const lists = [read(table, MANY), read(table, MANY.toReversed()), read(table, MANY)];
  const held = lists.map((list) => table.hold(list));
  t.true(table.heldBytes > 0);
  for (const list of held) table.release(list);
  t.is(table.heldBytes, 0);
  t.not(read(table, MANY).set, held[0]?.set);
});

test('without room for its bytes a list is known again by its hash', (t) => {
  const table = tableOf({ rawBytes: 0 });
  const held = table.hold(read(table, MANY));
  t.is(held.raw, undefined);
  t.is(read(table, MANY, [held]), held);
});

test('too many names, and too long ones, are refused before they are read', (t) => {
  refuses(t, () => read(tableOf({ names: 3 }), ['a', 'b', 'c', 'd']), /3 resources of a type/);
  refuses(t, () => read(tableOf({ listBytes: 20 }), ['a'.repeat(30)]), /of 20 bytes in all/);
  refuses(t, () => read(tableOf({ nameBytes: 20 }), ['a'.repeat(21)]), /20 bytes, not 21/);
  t.is(read(tableOf({ names: 3 }), ['a', 'b', 'c']).set.names.size, 3);
});

test('all sets together have a limit, whoever holds them; the same set again costs nothing', (t) => {
  const one = read(new NameTable(), MANY);
  const table = tableOf({ totalBytes: one.set.bytes });
  const held = table.hold(read(table, MANY));
  table.hold(read(table, MANY.toReversed()));
  refuses(t, () => table.hold(read(table, ['another'])), /together/);
  table.release(held);
  refuses(t, () => table.hold(read(table, ['another'])), /together/);
});
