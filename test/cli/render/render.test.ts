import test from 'ava';
import {
  briefDuration,
  renderFields,
  renderShown,
  type Column,
  renderTable,
} from '../../../src/cli/render.js';

interface Pet {
  readonly name: string;
  readonly kind: string;
}
const columns: readonly Column<Pet>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'KIND', value: ({ kind }) => kind },
  { title: 'LEGS', value: () => '4', wide: true },
];
const pets = [
  { name: 'Rex', kind: 'dog' },
  { name: 'Minka', kind: '' },
];
const narrow = { wide: false, width: undefined };

test('a table is aligned, has a dash for what is missing, and no spaces at the ends of lines', (t) => {
  t.is(renderTable(columns, pets, narrow, 'None.'), 'NAME   KIND\nRex    dog\nMinka  -\n');
  t.is(renderTable(columns, [], narrow, 'None.'), 'None.\n');
});

test('a wide table has more columns; a terminal cuts lines that are too long', (t) => {
  const [head] = renderTable(columns, pets, { wide: true, width: undefined }, '').split('\n');
  t.is(head, 'NAME   KIND  LEGS');
  t.is(renderTable(columns, pets, { wide: true, width: 8 }, '').split('\n')[1], 'Rex    …');
});

test('what others wrote cannot talk to the terminal, nor break a line', (t) => {
  const odd = [{ name: 'a\u001b[31mb\nc', kind: '\u009b2J' }];
  t.is(renderTable(columns, odd, narrow, ''), 'NAME       KIND\na [31mb c  2J\n');
  t.is(renderFields({ odd: 'a\r\nb', empty: undefined }), 'odd: a b\n');
});

test('programs get everything, whatever people see', (t) => {
  const shown = { value: [{ id: 'a', n: 1 }], people: () => 'few words\n' };
  t.deepEqual(JSON.parse(renderShown(shown, 'json', 10)), shown.value);
  t.is(renderShown(shown, 'yaml', 10), '- id: a\n  n: 1\n');
  t.is(renderShown(shown, 'table', undefined), 'few words\n');
});

const spans: readonly (readonly [number, string])[] = [
  [-5000, '0s'],
  [999, '0s'],
  [8000, '8s'],
  [725_000, '12m5s'],
  [3_600_000, '1h'],
  [3_605_000, '1h'],
  [100 * 3_600_000, '4d4h'],
];
for (const [ms, text] of spans) {
  test(`${ms} ms are shown as ${text}`, (t) => t.is(briefDuration(ms), text));
}
