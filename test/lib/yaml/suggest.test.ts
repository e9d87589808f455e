import test from 'ava';
import { didYouMean, suggest } from '../../../src/lib/yaml/problem.js';

const known = ['listen_addr', 'session_ttl', 'log_level', 'envoy'];

const cases: readonly (readonly [string, string | undefined])[] = [
  ['listen_adr', 'listen_addr'],
  ['sessionTTL', 'session_ttl'],
  ['session-ttl', 'session_ttl'],
  ['log_lvel', 'log_level'],
  ['evnoy', 'envoy'],
  ['completely_different', undefined],
  ['x', undefined],
];
for (const [typed, expected] of cases) {
  test(`"${typed}" is ${expected === undefined ? 'near nothing' : `near ${expected}`}`, (t) => {
    t.is(suggest(typed, known), expected);
  });
}

test('no suggestion is no text', (t) => {
  t.is(didYouMean('zzz', known), '');
});
