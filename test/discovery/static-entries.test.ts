import test from 'ava';
import { parseStaticEntries, type StaticEntry } from '../../src/discovery/static/static-entries.js';

const ONE = 'drivers:\n  - name: etl\n    namespace: sjns-a-prod\n    address: 10.0.0.1\n';

function only(text: string): StaticEntry | undefined {
  const parsed = parseStaticEntries(text);
  return 'entries' in parsed ? parsed.entries[0] : undefined;
}

test('an entry needs a name, a namespace and an address; the rest has defaults', (t) => {
  t.like(only(ONE), {
    name: 'etl',
    namespace: 'sjns-a-prod',
    address: '10.0.0.1',
    port: 15_002,
    tokenFile: undefined,
    instance: '',
    sparkVersion: undefined,
  });
  const all = `${ONE}    port: 15003\n    token_env: T\n    instance: 2\n    spark_version: 4.0.1\n`;
  t.like(only(all), { port: 15_003, tokenEnv: 'T', instance: '2', sparkVersion: '4.0.1' });
  t.deepEqual(parseStaticEntries('drivers: []'), { entries: [] });
});

test('an entry keeps its identity over edits of the file, unless it names another driver', (t) => {
  const uid = only(ONE)?.uid;
  t.regex(uid ?? '', /^etl-[0-9a-f]{12}$/);
  t.is(only(`# a comment\n${ONE}    token_env: T\n    port: 15002\n`)?.uid, uid);
  t.not(only(ONE.replace('10.0.0.1', '10.0.0.2'))?.uid, uid);
  t.not(only(`${ONE}    port: 15003\n`)?.uid, uid);
  t.not(only(ONE.replace('sjns-a-prod', 'sjns-b-prod'))?.uid, uid);
});

test('a Spark that forgets sessions before the gateway does is a mistake at its line', (t) => {
  const old = `${ONE}    spark_version: 3.5.7\n`;
  t.deepEqual(parseStaticEntries(old, 3_600_000), {
    mistakes: [
      {
        line: 5,
        message:
          'Spark 3.5 forgets a session in silence after an hour without a request: session_ttl must be shorter than 1h, or this Spark 4.',
      },
    ],
  });
  t.true('entries' in parseStaticEntries(old, 3_599_000));
  t.true('entries' in parseStaticEntries(old.replace('3.5.7', '4.0.1'), 86_400_000));
});

test('IPv6 addresses are brought to their canonical form', (t) => {
  t.is(only(ONE.replace('10.0.0.1', '"2001:DB8:0::1"'))?.address, '2001:db8::1');
});

const mistakes: readonly [string, string, number, RegExp][] = [
  ['no list', 'driver: []', 1, /must have a list "drivers"/],
  ['nothing at all', '', 1, /must have a list "drivers"/],
  ['YAML that is broken', 'drivers:\n  - name: [x', 2, /./],
  ['a driver that is no map', 'drivers:\n  - etl\n', 2, /A driver is a map/],
  ['a missing address', 'drivers:\n  - name: a\n    namespace: b\n', 2, /address is missing/],
  [
    'a host name',
    ONE.replace('10.0.0.1', 'spark.local'),
    4,
    /address is "spark.local".*IP address/,
  ],
  ['a zone', ONE.replace('10.0.0.1', 'fe80::1%eth0'), 4, /IP address.*without a zone/],
  ['a bad instance', `${ONE}    instance: a b\n`, 5, /instance is "a b"; it must be/],
  ['a bad version', `${ONE}    spark_version: new\n`, 5, /spark_version is "new"; it must be/],
  ['a bad port', `${ONE}    port: 70000\n`, 5, /port is "70000"; it must be a port/],
  ['a bad name', ONE.replace('etl', 'Etl 1'), 2, /name is "Etl 1"; it must be a DNS label/],
  ['an unknown key', `${ONE}    adress: x\n`, 5, /"adress" is unknown; allowed are name,/],
  ['two tokens', `${ONE}    token_env: T\n    token_file: t\n`, 2, /exclude each other/],
  ['a name used twice', ONE + ONE.slice(9).replace('0.1', '0.2'), 5, /name etl is used twice/],
  [
    'an address used twice',
    ONE + ONE.slice(9).replace('etl', 'two'),
    5,
    /two has the address of etl: 10\.0\.0\.1 port 15002/,
  ],
];

for (const [what, text, line, message] of mistakes) {
  test(`refused with its line: ${what}`, (t) => {
    const parsed = parseStaticEntries(text);
    const [first] = 'mistakes' in parsed ? parsed.mistakes : [];
    t.is(first?.line, line);
    t.regex(first?.message ?? '', message);
  });
}

test('every mistake is told at once', (t) => {
  const parsed = parseStaticEntries('drivers:\n  - name: a\n  - namespace: b\n');
  t.is('mistakes' in parsed ? parsed.mistakes.length : 0, 4);
});
