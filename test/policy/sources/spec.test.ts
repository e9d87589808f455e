import test from 'ava';
import * as fc from 'fast-check';
import { parse } from 'yaml';
import { GatewayError } from '../../../src/model/errors.js';
import { compilePolicy } from '../../../src/policy/compile.js';
import { compileSpec } from '../../../src/policy/sources/policy-resource-schema.js';
import { arbitraryPolicy } from '../arbitrary.js';
import { HEAD, ISSUER, mistakesIn, options } from '../support.js';

function specOf(text: string): object {
  const { apiVersion, kind, ...spec } = parse(text) as Record<string, unknown>;
  return apiVersion && kind ? spec : {};
}

function messageOf(spec: object): string {
  try {
    compileSpec({ issuers: [{ issuer: ISSUER, audiences: ['api'] }], ...spec }, options);
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'POLICY_INVALID') return error.message;
    throw error;
  }
  return '';
}

test('what a file may say a resource may say, and its text is the file that says the same', (t) => {
  fc.assert(
    fc.property(arbitraryPolicy, (rest) => {
      const text = `${HEAD}${rest}`;
      fc.pre(mistakesIn(text).length === 0);
      const compiled = compileSpec(specOf(text), options);
      const again = compilePolicy(compiled.text, 'policy.yaml', options);
      t.is(again.version, compiled.policy.version);
      t.deepEqual(again.warmNamespaces, compiled.policy.warmNamespaces);
    }),
  );
});

const who = { groups: ['a'] };
const what = { teams: ['a'], environments: ['dev'] };
const mistakes: readonly (readonly [object, RegExp])[] = [
  [{ access: 5 }, /^spec\.access: "5" is not a list/],
  [{ access: [{ who, what }, { who }] }, /^spec\.access\[1\]: an access rule needs "what"/],
  [
    { access: [{ who: { ...who, services: ['x'] }, what }] },
    /^spec\.access\[0\]\.who\.services: "x" is no service/,
  ],
  [
    { access: [], targets: { environment_by_host: { 'a b': 'dev' } } },
    /^spec\.targets\.environment_by_host\["a b"\]: "a b" is not a host name/,
  ],
  [{ access: [], pool: [] }, /^spec\.pool: "pool" is no field of a routing policy/],
  [
    { access: [{ who, what, name: 'x'.repeat(500_000) }] },
    /^spec: \d+ characters as YAML are too many/,
  ],
];
for (const [spec, message] of mistakes) {
  test(`a mistake is told with its path: ${message.source}`, (t) => {
    t.regex(messageOf(spec), message);
  });
}
