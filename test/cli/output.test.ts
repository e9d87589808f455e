import test from 'ava';
import { assert, property, uniqueArray, uuid } from 'fast-check';
import { sessionIds, shortIds, wholeId } from '../../src/cli/ids.js';
import { renderJsonPath } from '../../src/cli/json-path.js';
import { shownListing } from '../../src/cli/listing.js';
import {
  briefDuration,
  type Column,
  renderFields,
  renderShown,
  renderTable,
} from '../../src/cli/render.js';
import { parseSelector } from '../../src/cli/selector.js';

// Forms of output.

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
  const given = { value: [{ id: 'a', n: 1 }], people: () => 'few words\n' };
  t.deepEqual(JSON.parse(renderShown(given, 'json', 10)), given.value);
  t.is(renderShown(given, 'yaml', 10), '- id: a\n  n: 1\n');
  t.is(renderShown(given, 'table', undefined), 'few words\n');
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

// Lists.

const drivers = [
  {
    uid: 'a',
    phase: 'in_use',
    sessions: 2,
    outdated: true,
    tenant: { principal: { subject: 'ann' } },
  },
  { uid: 'b', phase: 'available', sessions: 0, node: 'n1' },
  { uid: 'c', phase: 'draining', sessions: 10 },
];

const selectors: readonly (readonly [string, string])[] = [
  ['phase=in_use', 'a'],
  ['phase==in_use', 'a'],
  ['phase!=in_use', 'bc'],
  ['phase in (in_use, draining)', 'ac'],
  ['phase notin (in_use,draining),sessions=0', 'b'],
  ['outdated', 'a'],
  ['!outdated', 'bc'],
  ['node!=n1', 'ac'],
  ['tenant=ann', 'a'],
  ['nonsense=1', ''],
];
for (const [selector, expected] of selectors) {
  test(`-l ${selector}`, (t) => {
    const holds = parseSelector(selector);
    t.is(
      drivers
        .filter((driver) => holds(driver))
        .map(({ uid }) => uid)
        .join(''),
      expected,
    );
  });
}

test('a selector that cannot be read is refused, with what may be written', (t) => {
  for (const bad of ['', '=a', 'a in b', 'a=b,,c=d']) {
    t.throws(() => parseSelector(bad), { code: 'ARGUMENT_INVALID', message: /team=data/ }, bad);
  }
});

function shown(form: Parameters<typeof renderShown>[1], options: Record<string, string> = {}) {
  const listing = shownListing(
    { options: new Map(Object.entries(options)) },
    {
      kind: 'driver',
      rows: drivers,
      nameOf: ({ uid }) => uid,
      columns: () => [{ title: 'DRIVER', value: ({ uid }) => uid }],
      nothing: 'There is none.',
    },
  );
  return renderShown(listing, form, undefined);
}

test('names, an order by numbers or text, no headings; nothing at all for scripts when there is none', (t) => {
  t.is(shown('name'), 'driver/a\ndriver/b\ndriver/c\n');
  t.is(shown('name', { 'sort-by': '.sessions' }), 'driver/b\ndriver/a\ndriver/c\n');
  t.is(shown('name', { 'sort-by': '{.phase}' }), 'driver/b\ndriver/c\ndriver/a\n');
  t.is(shown('table', { 'no-headers': 'true', selector: 'sessions=0' }), 'b\n');
  t.is(shown('table', { selector: 'sessions=7' }), 'There is none.\n');
  t.is(shown('table', { 'no-headers': 'true', selector: 'sessions=7' }), '');
  t.throws(() => shown('name', { 'sort-by': '.nonsense' }), { message: /no row has it/ });
});

const templates: readonly (readonly [string, string])[] = [
  ['{.items[*].uid}', 'a b c'],
  ['.items[1].node', 'n1'],
  ['{range .items[*]}{.uid}{"\\t"}{.sessions}{"\\n"}{end}', 'a\t2\nb\t0\nc\t10\n'],
  ['{.items[?(@.phase=="draining")].uid}', 'c'],
  ['{.items[0].tenant}', '{"principal":{"subject":"ann"}}'],
  ['all: {.items[*].nonsense}.', 'all: .'],
];
for (const [template, expected] of templates) {
  test(`-o jsonpath=${template}`, (t) => {
    t.is(renderJsonPath(template, drivers), `${expected}\n`);
  });
}

test('one thing is the root of its path; a bad template, and one that would run code, is refused', (t) => {
  t.is(renderJsonPath('{.uid}', drivers[0]), 'a\n');
  for (const bad of ['{.uid', '{range .items[*]}{.uid}', '{end}']) {
    t.throws(() => renderJsonPath(bad, drivers), { code: 'ARGUMENT_INVALID' }, bad);
  }
  t.throws(() => renderJsonPath('{.items[?(process.exit(3))]}', drivers), {
    code: 'ARGUMENT_INVALID',
  });
});

// Ids that are cut short.

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
