/** Two lists of one thing, in two languages: what a manifest may say, and what the sandbox lets through. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { readOptions, writeOptions } from '../../src/manifest/format-options.js';

/** The words of a list in coreetl_allowed.py. */
function words(name: string): ReadonlySet<string> {
  const text = readFileSync('coreetl/coreetl_allowed.py', 'utf8');
  const list = new RegExp(`^${name} = frozenset\\(\\s*(?:"""([^"]*)"""|"([^"]*)")`, 'm').exec(text);
  return new Set((list?.[1] ?? list?.[2] ?? '').trim().split(/\s+/));
}

/** Delta reads it as an expression, which could call any function. */
const REFUSED = ['replaceWhere'];

test('in the sandbox one may use the formats and options of a manifest, but expressions', (t) => {
  t.deepEqual([...words('FORMATS')].toSorted(), Object.keys(readOptions).toSorted());
  const known = [...Object.values(readOptions), ...Object.values(writeOptions)].flat();
  const allowed = words('OPTIONS');
  t.deepEqual(
    [...new Set(known)].filter((name) => !allowed.has(name.toLowerCase())),
    REFUSED,
  );
  for (const name of ['path', 'paths', 'avroschemaurl', 'rowvalidationxsdpath']) {
    t.false(allowed.has(name), name);
  }
});
