import test from 'ava';
import { safeHref } from '../../../src/playground/page/links.js';
import { asCsv, asJson, resultColumns } from '../../../src/playground/page/results-table.js';

const field = (name: string, type: unknown, nullable = true) => ({ name, type, nullable });

test('columns have the types of the schema, as SQL names them', (t) => {
  const schema = {
    type: 'struct',
    fields: [
      field('id', 'long', false),
      field('price', 'decimal(10,2)'),
      field('tags', { type: 'array', elementType: 'string' }),
      field('at', { type: 'struct', fields: [field('x', 'integer'), field('y', 'double')] }),
      field('m', { type: 'map', keyType: 'string', valueType: 'short' }),
      field('id', 'string'),
    ],
  };
  const columns = resultColumns(
    { columns: ['id', 'price', 'tags', 'at', 'm', 'id'], rows: [] },
    schema,
  );
  t.deepEqual(
    columns.map(({ name, type, numeric }) => [name, type, numeric]),
    [
      ['id', 'bigint', true],
      ['price', 'decimal(10,2)', true],
      ['tags', 'array<string>', false],
      ['at', 'struct<x: int, y: double>', false],
      ['m', 'map<string, smallint>', false],
      ['id', 'string', false],
    ],
  );
  t.false(columns[0]?.nullable);
});

test('a schema that is missing, or is of something else, takes no column away', (t) => {
  for (const schema of [null, undefined, 'x', { fields: 'y' }, { fields: [null, 7] }]) {
    t.like(resultColumns({ columns: ['a', 'b'], rows: [] }, schema)[1], { name: 'b', type: '' });
  }
});

test('CSV: quotes, line ends, null and empty text apart, numbers exact, no formulas', (t) => {
  const rows = [
    ['a "b", c', 'two\nlines', null, ''],
    ['9007199254740993', -1.5, true, { a: [1] }],
    ['=HYPERLINK("x")', '-2+3', '@SUM(1)', '-12.50'],
    ['short'],
  ];
  t.is(
    asCsv({ columns: ['one', '=two', 'three', 'four'], rows }),
    'one,\'=two,three,four\r\n"a ""b"", c","two\nlines",,""\r\n' +
      '9007199254740993,-1.5,true,"{""a"":[1]}"\r\n' +
      '"\'=HYPERLINK(""x"")",\'-2+3,\'@SUM(1),-12.50\r\nshort,,,\r\n',
  );
});

test('JSON has everything as it is, also columns of one name', (t) => {
  const preview = { columns: ['a', 'a'], rows: [['=1', null]], truncated: true };
  t.deepEqual(JSON.parse(asJson(preview, { type: 'struct' })), {
    ...preview,
    schema: { type: 'struct' },
  });
});

test('only addresses of the web are followed', (t) => {
  const origin = 'https://playground.example.com';
  t.is(safeHref('https://spark.example.com/ui', origin), 'https://spark.example.com/ui');
  t.is(safeHref('/spark-ui/job-1/', origin), `${origin}/spark-ui/job-1/`);
  for (const address of [
    null,
    'javascript:alert(1)',
    'data:text/html,x',
    'http://[',
    ' vbscript:x',
  ]) {
    t.is(safeHref(address, origin), undefined, String(address));
  }
});
