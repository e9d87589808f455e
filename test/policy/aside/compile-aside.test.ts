import test from 'ava';
import * as fc from 'fast-check';
import { stringify } from 'yaml';
import type { PolicyObserver } from '../../../src/model/policy.js';
import { compileAside, NewestPolicy } from '../../../src/policy/aside/compile-aside.js';
import { compilePolicy } from '../../../src/policy/compile.js';
import { policyText } from '../../../bench/policy/document.js';
import { arbitraryCaller, arbitraryPolicy } from '../arbitrary.js';
import { caller, HEAD, mistakesIn, options } from '../support.js';
import { tries } from '../../support/tries.js';

/** Makes any policy so long that it is compiled aside. */
const PADDING = '# a comment\n'.repeat(1000);

/** As on a machine that has no room for another thread. */
const noThread = () => {
  throw new Error('ERR_WORKER_INIT_FAILED: EAGAIN');
};

function withoutThread(text: string) {
  return compileAside({ text, file: 'policy.yaml' }, options, undefined, noThread);
}

function aside(text: string) {
  return compileAside({ text, file: 'policy.yaml' }, options);
}

test('a large policy decides as it would if it had been compiled in place, its lines included', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      arbitraryPolicy,
      fc.array(arbitraryCaller, { minLength: 3, maxLength: 3 }),
      async (rest, callers) => {
        const text = `${HEAD}${PADDING}${rest}`;
        const { policy, text: same } = await aside(text);
        const inPlace = compilePolicy(text, 'policy.yaml', options);
        t.is(same, text);
        t.is(policy.version, inPlace.version);
        for (const who of callers) {
          const request = { caller: who, team: 'data', environment: 'dev', userId: 'a' };
          t.deepEqual(policy.explain(request), inPlace.explain(request));
          const target = { team: 'data', environment: 'dev', namespace: 'sjns-data-dev' };
          const config = { reads: ['spark.secret'], writes: [], lists: [], whole: true };
          const shadow = { caller: who, target, host: '', userId: 'x', config };
          t.deepEqual(
            policy.shadows?.(shadow).map(({ rule }) => rule),
            inPlace.shadows?.(shadow).map(({ rule }) => rule),
          );
        }
      },
    ),
    { numRuns: tries(5) },
  );
});

// Alone: the others here compile in place, and hold the event loop up.
test.serial('the event loop goes on while a policy of many rules is compiled', async (t) => {
  let turns = 0;
  let done = false;
  const turn = () => {
    turns++;
    if (!done) setImmediate(turn);
  };
  setImmediate(turn);
  const { policy } = await aside(policyText(1000));
  done = true;
  t.true(turns > 50, `${turns} turns`);
  t.is(policy.pool('sjns-team7-dev')?.maximum, 20);
});

test('the mistakes of a large policy are told with their lines', async (t) => {
  const text = `${HEAD}${PADDING}access: [{who: {}}]\npool: []\n`;
  const error = await t.throwsAsync(aside(text), { code: 'POLICY_INVALID' });
  t.deepEqual(error?.message.split('\n'), mistakesIn(text));
  t.regex(error?.message ?? '', /^policy\.yaml:1004:16: who needs /m);
});

test('a large resource says as much as its text', async (t) => {
  const access = Array.from({ length: 300 }, (_, i) => ({
    who: { groups: [`group-${i}`] },
    what: { teams: [`team${i}`], environments: ['dev'] },
  }));
  const spec = { issuers: [{ issuer: 'https://example.okta.com', audiences: ['api'] }], access };
  const { policy, text } = await compileAside({ spec }, options);
  t.is(policy.version, compilePolicy(text, 'policy.yaml', options).version);
  t.deepEqual(
    compilePolicy(
      stringify({ apiVersion: 'spark-gateway/v1alpha1', kind: 'RoutingPolicy', ...spec }),
      'x',
      options,
    ).version,
    policy.version,
  );
  const bad = { ...spec, access: [...access, { who: {} }] };
  await t.throwsAsync(compileAside({ spec: bad }, options), {
    message: /spec\.access\[300\]/,
  });
});

test('the observer hears of what a policy that was compiled aside meets', async (t) => {
  const heard: string[] = [];
  const observer: PolicyObserver = { expressionFailed: ({ rule }) => heard.push(rule) };
  const text = `${HEAD}${PADDING}access:\n  - who: {principals: ["*"]}\n    what: {teams: [data], environments: [dev]}\n    when: caller.claims.level > 3\n`;
  const { policy } = await compileAside({ text, file: 'f' }, { ...options, observer });
  const target = { team: 'data', environment: 'dev', namespace: 'sjns-data-dev' };
  t.is(policy.refuseUse(caller('alice'), target)?.code, 'NAMESPACE_REFUSED');
  t.deepEqual(heard, ['line 1005']);
});

test('of several that come one after the other the newest is compiled, and the others are given up', async (t) => {
  const newest = new NewestPolicy(options);
  const large = (teams: string) =>
    newest.compile({
      text: `${HEAD}${PADDING}access: []\nwarm_namespaces: [${teams}]\n`,
      file: 'f',
    });
  const [first, second] = [large('sjns-a-dev'), large('sjns-b-dev')];
  t.is(await first, undefined);
  t.deepEqual((await second)?.policy.warmNamespaces, ['sjns-b-dev']);
  const third = large('sjns-c-dev');
  newest.giveUp();
  t.is(await third, undefined);
});

test('where no thread can be had, a large policy is compiled in place, its mistakes included', async (t) => {
  const { policy } = await withoutThread(policyText(1000));
  t.is(policy.pool('sjns-team7-dev')?.maximum, 20);
  await t.throwsAsync(withoutThread(`${HEAD}${PADDING}pools: 7\n`), {
    code: 'POLICY_INVALID',
    message: /^policy\.yaml:1004:8: "7" is not a list/m,
  });
});
