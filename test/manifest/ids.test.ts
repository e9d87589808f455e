import test from 'ava';
import * as fc from 'fast-check';
import { isJobId, jobIdOf, labelValueOf, namespaceOf } from '../../src/manifest/ids.js';

const NAMESPACE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const LABEL_VALUE = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;

const of = (team: string, environment: string) => namespaceOf({ team, environment, user: 'ann' });

/** Names as people have them, and as nobody should. */
const names = fc.oneof(
  fc.constantFrom(
    'data',
    'a-b',
    'Data_Team',
    'playground',
    'playground-local',
    'x'.repeat(64),
    'x'.repeat(65),
    'ann.o+spark@example.com',
    'équipe',
    '-',
    '',
    'a--b',
  ),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
  fc.stringMatching(/^[a-z0-9-]{1,40}$/),
);
const environments = fc.oneof(
  fc.constantFrom('local', 'test', 'dev', 'staging', 'prod', 'us-east', 'PROD'),
  fc.stringMatching(/^[a-z0-9-]{1,12}$/),
);

test('the namespaces of the environments', (t) => {
  t.regex(of('data', 'local'), /^sjns-playground-local-[0-9a-f]{10}$/);
  t.is(of('data', 'test'), 'sjns-playground-test');
  t.is(of('data', 'staging'), 'sjns-data-staging');
  t.is(of('data', 'prod'), 'sjns-data-prod');
  t.is(of('data-platform', 'dev'), 'sjns-data-platform-dev');
});

test('a namespace is a DNS label, whoever the team is', (t) => {
  fc.assert(
    fc.property(names, environments, names, (team, environment, user) => {
      t.regex(namespaceOf({ team, environment, user }), NAMESPACE);
    }),
    { numRuns: 2000 },
  );
});

test('no two pairs of team and environment share a namespace, and none is a playground', (t) => {
  const pair = fc.tuple(names, environments);
  fc.assert(
    fc.property(pair, pair, ([teamA, environmentA], [teamB, environmentB]) => {
      const user = 'ann';
      const a = namespaceOf({ team: teamA, environment: environmentA, user });
      const b = namespaceOf({ team: teamB, environment: environmentB, user });
      const isPlayground =
        /^(local|test)$/.test(environmentA) || /^(local|test)$/.test(environmentB);
      if (isPlayground) t.is(a === b, environmentA === environmentB);
      else t.is(a === b, teamA === teamB && environmentA === environmentB);
    }),
    { numRuns: 5000 },
  );
  t.not(of('a', 'b-c'), of('a-b', 'c'));
  t.not(of('playground', 'test'), of('playground', 'te-st'));
  t.notRegex(of('playground-local', '0123456789'), /^sjns-playground-local-[0-9a-f]{10}$/);
});

test('an id is a DNS-1035 label of at most 40 characters, and the same for the same request', (t) => {
  fc.assert(
    fc.property(names, names, environments, names, (user, team, environment, clientRequestId) => {
      const key = { user, team, environment, clientRequestId };
      const id = jobIdOf(key);
      t.regex(id, /^[a-z]([a-z0-9-]*[a-z0-9])?$/);
      t.true(id.length <= 40 && isJobId(id));
      t.is(jobIdOf(key), id);
      t.not(jobIdOf({ ...key, user: `${user}x` }), id);
      t.not(jobIdOf({ ...key, user: `${user}${team.slice(0, 1)}x`, team: team.slice(1) }), id);
      t.not(jobIdOf({ ...key, clientRequestId: `${clientRequestId}x` }), id);
    }),
    { numRuns: 500 },
  );
});

test('without a request id, each job has an id of its own', (t) => {
  const key = { user: 'ann', team: 'data', environment: 'dev', clientRequestId: undefined };
  t.is(new Set(Array.from({ length: 1000 }, () => jobIdOf(key))).size, 1000);
});

test('a label has a legal value for any text, another for each', (t) => {
  t.is(labelValueOf('data-platform_1.x'), 'data-platform_1.x');
  t.regex(labelValueOf('ann+spark@example.com'), /^ann-spark-example\.com--[a-z2-7]{16}$/);
  fc.assert(
    fc.property(names, names, (a, b) => {
      t.regex(labelValueOf(a), LABEL_VALUE);
      t.is(labelValueOf(a) === labelValueOf(b), a === b);
    }),
    { numRuns: 5000 },
  );
});
