import test from 'ava';
import * as fc from 'fast-check';
import { manifestSchema } from '../../src/manifest/json-schema.js';
import {
  aboutOf,
  keysOf,
  kindOf,
  schemaAt,
  valuesOf,
} from '../../src/playground/page/editor/schema.js';
import { keyAt, placeAt } from '../../src/playground/page/editor/yaml-place.js';
import { EventStreamParser } from '../../src/playground/page/event-stream.js';
import { Keeping } from '../../src/playground/page/keeping.js';
import { safeHref } from '../../src/playground/page/links.js';
import { appended, EMPTY_LOG, LOG_LIMITS } from '../../src/playground/page/log-buffer.js';
import { teamIn, withTeam } from '../../src/playground/page/manifest-team.js';
import { asCsv, asJson, resultColumns } from '../../src/playground/page/results-table.js';
import { routeOf } from '../../src/playground/page/route.js';
import { sandboxOf, SubmissionKeys, submissionOf } from '../../src/playground/page/submission.js';

// Drafts.

class Memory {
  readonly kept = new Map<string, string>();
  getItem(key: string): string | null {
    return this.kept.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    if (value.length > 2_000_000) throw new Error('full');
    this.kept.set(key, value);
  }
}

test('each person has a draft of their own', (t) => {
  const store = new Memory();
  const alice = new Keeping(store, 'issuer alice');
  const draft = { manifest: 'a: 1', environment: 'test', sandbox: false, sampling: '0.1' };
  alice.keepDraft(draft);
  t.deepEqual(new Keeping(store, 'issuer alice').draft(), draft);
  t.is(new Keeping(store, 'issuer bob').draft(), undefined);
});

test('what is kept is bounded, and what is broken or full is no failure', (t) => {
  const store = new Memory();
  const keeping = new Keeping(store, 'alice');
  for (let n = 0; n < 30; n += 1) keeping.keepRun({ job: `job-${n}`, manifest: `m ${n}` });
  t.is(keeping.manifestOf('job-29'), 'm 29');
  t.is(keeping.manifestOf('job-2'), undefined);
  keeping.keepRun({ job: 'large', manifest: 'x'.repeat(1_400_000) });
  keeping.keepRun({ job: 'larger', manifest: 'y'.repeat(1_400_000) });
  t.is(keeping.manifestOf('larger')?.length, 1_400_000);
  t.is(keeping.manifestOf('large'), undefined);
  keeping.keepDraft({ manifest: 'x'.repeat(3_000_000), environment: '' });
  t.is(keeping.draft(), undefined);
  for (const broken of ['{', '[]', '7', '{"manifest":7}', 'null']) {
    for (const key of ['playground draft of alice', 'playground runs of alice']) {
      store.kept.set(key, broken);
    }
    t.is(keeping.draft(), undefined);
    t.is(keeping.manifestOf('job-1'), undefined);
  }
});

test('the team is found and changed in the text, and nothing else is', (t) => {
  const text = 'kind: SparkJob\nmetadata:\n  name: team\n\n  team: ads # ours\nspec:\n  team: no\n';
  t.is(teamIn(text)?.team, 'ads');
  t.is(withTeam(text, 'data'), text.replace('team: ads', 'team: data'));
  t.is(withTeam(text, 'no'), text.replace('team: ads', 'team: "no"'), 'YAML 1.1 reads it as false');
  t.is(withTeam('metadata:\n  team:\n', 'ads'), 'metadata:\n  team: ads\n');
  t.is(withTeam('metadata:\r\n  team: "a b"\r\n', 'ads'), 'metadata:\r\n  team: ads\r\n');
  for (const without of [
    '',
    'spec:\n  team: x\n',
    'metadata:\n  name: x\nteam: y\n',
    'metadata: {team: x}',
  ]) {
    t.is(teamIn(without), undefined, without);
    t.is(withTeam(without, 'ads'), without);
  }
});

const choices = {
  teams: ['ads'],
  environments: ['local', 'prod'],
  sandbox_environments: ['local'],
  local_paths: false,
  defaults: { team: null, environment: null },
};

test('the sandbox is on where it is usual, unless somebody says otherwise', (t) => {
  const draft = { manifest: 'm', environment: 'local' };
  t.true(sandboxOf(draft, choices));
  t.false(sandboxOf({ ...draft, sandbox: false }, choices));
  t.false(sandboxOf({ ...draft, environment: 'prod' }, choices));
  t.deepEqual(submissionOf({ ...draft, sampling: '0.1', ttlSeconds: '' }, choices), {
    manifest: 'm',
    environment: 'local',
    options: { sandbox_mode: 'true', data_sampling: '0.1' },
  });
});

test('a submission without a clear answer keeps its key; any other has a new one', (t) => {
  const keys = new SubmissionKeys();
  const body = { manifest: 'm', environment: 'local' };
  const first = keys.keyFor(body);
  t.regex(first, /^[\x21-\x7e]{1,128}$/);
  t.is(keys.keyFor({ ...body }), first);
  t.not(keys.keyFor({ ...body, manifest: 'n' }), first);
  const again = keys.keyFor(body);
  t.not(again, first);
  keys.answered();
  t.not(keys.keyFor(body), again);
});

test('addresses', (t) => {
  t.deepEqual(routeOf('/', ''), { view: 'workbench', job: undefined });
  t.deepEqual(routeOf('/jobs/job-a%2Fb', ''), { view: 'workbench', job: 'job-a/b' });
  t.like(routeOf('/jobs', '?state=FAILED'), { view: 'jobs' });
  for (const path of ['/jobs/a/b', '/job', '/jobs/a/']) t.is(routeOf(path, '').view, 'unknown');
});

// Completion.

const wholeSchema = manifestSchema();

/** `‸` in the text is where somebody writes. */
function cursorAt(marked: string) {
  const offset = marked.indexOf('‸');
  return placeAt(marked.replace('‸', ''), offset);
}

/** The keys that could be written there, as the manifest's schema has them. */
function offered(marked: string): readonly string[] {
  const place = cursorAt(marked);
  if (place?.kind !== 'key') return [];
  return keysOf(schemaAt(wholeSchema, place.path))
    .map(({ name }) => name)
    .filter((name) => !place.siblings.includes(name));
}

test('keys that a map does not have yet, wherever it is', (t) => {
  t.deepEqual(offered('‸'), ['apiVersion', 'kind', 'metadata', 'spec']);
  t.deepEqual(offered('kind: SparkJob\nme‸\nspec:\n  engine:\n'), ['apiVersion', 'metadata']);
  t.deepEqual(offered('metadata:\n  ‸\nspec:\n'), ['name', 'team']);
  t.deepEqual(offered('metadata:\n  team: a\n  na‸'), ['name']);
  t.deepEqual(
    offered('spec:\n  coreEtl:\n    resources:\n      driver:\n        cores: 1\n        m‸'),
    ['memory'],
  );
  t.deepEqual(offered('metadata:\n  name: x\n\n‸'), ['apiVersion', 'kind', 'spec']);
});

test('keys of items of a list, also where the list is as far left as its key', (t) => {
  const transforms = 'spec:\n  coreEtl:\n    transforms:\n';
  t.deepEqual(offered(`${transforms}      - ‸`), ['name', 'sql']);
  t.deepEqual(offered(`${transforms}      - name: a\n        ‸`), ['sql']);
  t.deepEqual(offered(`${transforms}      - name: a\n        sql: b\n      - n‸`), ['name', 'sql']);
  t.deepEqual(offered(`${transforms}    - name: a\n      s‸`), ['sql']);
  t.deepEqual(offered(`${transforms}    - name: a\n      sql: b\n    si‸`), [
    'parameters',
    'sources',
    'sinks',
    'resources',
  ]);
  t.deepEqual(
    offered(`${transforms}      - ‸\n        name: later\n      - sql: x\n`),
    ['sql'],
    'what stands below counts, too',
  );
});

test('nothing is offered within SQL, comments and braces', (t) => {
  const sql = 'spec:\n  coreEtl:\n    transforms:\n      - name: a\n        sql: |\n';
  t.is(cursorAt(`${sql}          SEL‸`), undefined);
  t.is(cursorAt(`${sql}          SELECT 1\n\n          ‸`), undefined);
  t.is(cursorAt('metadata: # na‸'), undefined);
  t.is(cursorAt('metadata: {na‸'), undefined);
  t.deepEqual(offered(`${sql}          SELECT 1\n        ‸`), [], 'name and sql are there');
  t.deepEqual(offered(`${sql}          SELECT 1\n      - ‸`), ['name', 'sql']);
});

test('values: where there are few, and what is said of them', (t) => {
  const place = cursorAt('spec:\n  coreEtl:\n    sinks:\n      - path: x\n        mode: ov‸');
  t.like(place, { kind: 'value', path: ['spec', 'coreEtl', 'sinks', '-', 'mode'] });
  const mode = schemaAt(wholeSchema, place?.path ?? []);
  t.deepEqual(valuesOf(mode), ['error', 'append', 'overwrite', 'ignore']);
  t.is(kindOf(mode ?? {}), 'choice');
  t.regex(aboutOf(mode ?? {}).join(' '), /something already.*Allowed: error, append.*Default/);
  t.deepEqual(
    valuesOf(
      schemaAt(wholeSchema, ['spec', 'coreEtl', 'resources', 'dynamicAllocation', 'enabled']),
    ),
    ['true', 'false'],
  );
});

test('the key below the pointer, with what leads to it', (t) => {
  const text = 'spec:\n  coreEtl:\n    sources:\n      - name: a\n        table: t\n';
  t.deepEqual(keyAt(text, text.indexOf('table') + 2), {
    path: ['spec', 'coreEtl', 'sources', '-', 'table'],
    from: text.indexOf('table'),
    to: text.indexOf('table') + 5,
  });
  t.is(keyAt(text, text.indexOf(' t\n') + 1), undefined);
});

test('any text, anywhere: a place within it, or none', (t) => {
  const lines = fc.array(
    fc.constantFrom(
      'a:',
      '  b: 1',
      '- c',
      '  - d: |',
      '      text',
      '',
      ' # x',
      '{',
      '"q": ',
      '\t',
      '-',
      '- - e:',
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(lines, fc.nat(80), (written, position) => {
      const text = written.join('\n');
      const offset = Math.min(position, text.length);
      const place = placeAt(text, offset);
      keyAt(text, offset);
      if (place) t.true(place.from >= 0 && place.from <= offset);
    }),
  );
  t.pass();
});

// The log.

test('events are the same wherever the stream is cut, with every kind of line end', (t) => {
  const ends = fc.constantFrom('\n', '\r\n', '\r');
  fc.assert(
    fc.property(ends, fc.array(fc.nat(200), { maxLength: 8 }), (end, cuts) => {
      const stream = [
        ': heartbeat',
        'retry: 50',
        '',
        'event: log',
        'id: 7',
        'data: ["a: b","ü"]',
        '',
        'data:one',
        'data: two',
        '',
        'event: nothing',
        '',
        'event: end',
        'data: {}',
        '',
        'data: cut',
      ].join(end);
      const parser = new EventStreamParser();
      const places = [
        0,
        ...cuts.map((cut) => Math.min(cut, stream.length)),
        stream.length,
      ].toSorted((a, b) => a - b);
      const events = places.flatMap((place, n) =>
        parser.push(stream.slice(place, places[n + 1] ?? stream.length)),
      );
      t.deepEqual(events, [
        { name: 'log', data: '["a: b","ü"]', id: '7' },
        { name: 'message', data: 'one\ntwo', id: undefined },
        { name: 'end', data: '{}', id: undefined },
      ]);
      t.is(parser.retryMs, 50);
    }),
  );
});

const limits = { lines: 100, characters: 5_000, blockLines: 10 };

test('a log keeps its last lines, in order, however they come', (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(45), { maxLength: 20 }), (sizes) => {
      let log = EMPTY_LOG;
      let written = 0;
      for (const size of sizes) {
        log = appended(
          log,
          Array.from({ length: size }, () => `line ${(written += 1)}`),
          limits,
        );
      }
      const lines = log.blocks.flatMap(({ text }) => text.split('\n').slice(0, -1));
      t.is(lines.length, log.lines);
      t.true(log.lines <= limits.lines && log.lines >= Math.min(written, limits.lines - 10));
      t.is(log.dropped, written > log.lines);
      t.deepEqual(
        lines,
        lines.map((_, at) => `line ${written - lines.length + at + 1}`),
      );
      t.is(new Set(log.blocks.map(({ key }) => key)).size, log.blocks.length);
    }),
  );
});

test('what is drawn already stays the same while lines are added', (t) => {
  const before = appended(
    EMPTY_LOG,
    Array.from({ length: 25 }, (_, n) => `${n}`),
    limits,
  );
  const after = appended(before, ['more'], limits);
  t.is(after.blocks[0], before.blocks[0]);
  t.is(after.blocks[1], before.blocks[1]);
  t.is(after.blocks[2]?.key, before.blocks[2]?.key);
});

test('few long lines are bounded as well, and a single one is cut', (t) => {
  let log = EMPTY_LOG;
  for (let n = 0; n < 60; n += 1) log = appended(log, ['x'.repeat(1_000_000)]);
  const characters = log.blocks.reduce((sum, { text }) => sum + text.length, 0);
  t.true(characters <= LOG_LIMITS.characters);
  t.regex(log.blocks.at(-1)?.text ?? '', /x…\n$/);
});

test('codes for terminals are left out', (t) => {
  const log = appended(EMPTY_LOG, ['\u001b[31mERROR\u001b[0m a\tb\u0007\u0000']);
  t.is(log.blocks[0]?.text, 'ERROR a\tb\n');
});

// Results.

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
