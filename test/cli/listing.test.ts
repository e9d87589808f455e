/** The habits of kubectl's users: -l, --sort-by, --no-headers, -o name, -o jsonpath. */
import test from 'ava';
import { shownListing } from '../../src/cli/listing.js';
import { parseSelector } from '../../src/cli/selector.js';
import { renderJsonPath } from '../../src/cli/json-path.js';
import { renderShown } from '../../src/cli/render.js';

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
