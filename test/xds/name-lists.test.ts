import test, { type ExecutionContext } from 'ava';
import { GatewayError } from '../../src/model/errors.js';
import {
  NAME_LIMITS,
  type NameLimits,
  type NameList,
  NameTable,
} from '../../src/xds/name-lists.js';
import { lengthDelimited, XdsWireReader } from '../../src/xds/xds-wire.js';

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
