import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { routeOf } from '../../src/console/page/route.js';
import { diffLines } from '../../src/console/page/text-diff.js';
import { duration, latency } from '../../src/lib/page/format.js';
import { GatewayError } from '../../src/model/errors.js';
import type { PolicyDiff, PolicyDiffAnswer } from '../../src/model/policy-diff.js';
import { type AdminApi, type AdminApiOptions, startAdminApi } from '../support/admin-api.js';
import { driverRecord, NAMESPACE, sessionId, sessionRecord } from '../support/driver-records.js';
import { tries } from '../support/tries.js';
import { Signal } from '../support/signal.js';

// Words.

test('durations in their two greatest units', (t) => {
  const cases: readonly (readonly [number, string])[] = [
    [-5, '0 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [150_000, '2 min'],
    [3_600_000, '1 h'],
    [7_500_000, '2 h 5 min'],
    [90_000_000, '1 d 1 h'],
  ];
  for (const [ms, text] of cases) t.is(duration(ms), text);
});

test('latencies without digits that say nothing', (t) => {
  t.is(latency(0.44), '0.4 ms');
  t.is(latency(42.4), '42 ms');
  t.is(latency(1_254), '1.25 s');
});

test('an address names a view; what names none is told so', (t) => {
  t.like(routeOf('/', ''), { view: 'overview' });
  t.like(routeOf('/sessions/a%2Fb', '?q=1'), { view: 'session', id: 'a/b' });
  t.like(routeOf('/pools/%zz', ''), { view: 'pool', id: '%zz' });
  for (const path of ['/constructor/x', '/sessions/', '/sessions/a/b', '/nothing']) {
    t.like(routeOf(path, ''), { view: 'unknown' }, path);
  }
});

// Lines that differ.

const texts = fc
  .array(fc.constantFrom('a', 'b', 'c', '', 'rule'), { maxLength: 12 })
  .map((lines) => lines.join('\n'));

test('a difference holds both texts, with their line numbers, and no needless change', (t) => {
  fc.assert(
    fc.property(texts, texts, (before, after) => {
      const lines = diffLines(before, after);
      const side = (left: 'removed' | 'added') =>
        lines.filter(({ kind }) => kind === 'same' || kind === left);
      t.is(
        side('removed')
          .map(({ text }) => text)
          .join('\n'),
        before,
      );
      t.is(
        side('added')
          .map(({ text }) => text)
          .join('\n'),
        after,
      );
      t.true(side('removed').every((line, at) => line.before === at + 1));
      t.true(side('added').every((line, at) => line.after === at + 1));
      const same = lines.filter(({ kind }) => kind === 'same').length;
      t.is(same, longestCommon(before.split('\n'), after.split('\n')));
    }),
    { numRuns: tries(200) },
  );
});

/** Length of the longest common subsequence, by the textbook's table. */
function longestCommon(a: readonly string[], b: readonly string[]): number {
  let row = Array.from({ length: b.length + 1 }, () => 0);
  for (const one of a) {
    const next = [0];
    for (const [at, other] of b.entries()) {
      next.push(one === other ? (row[at] ?? 0) + 1 : Math.max(row[at + 1] ?? 0, next[at] ?? 0));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

test('texts without a line in common are shown as removed and added, also large ones', (t) => {
  const before = Array.from({ length: 6_000 }, (_, at) => `old ${at}`).join('\n');
  const after = Array.from({ length: 6_000 }, (_, at) => `new ${at}`).join('\n');
  const lines = diffLines(before, after);
  t.is(lines.length, 12_000);
});

// What a policy would change.

const session = sessionRecord(sessionId(1));
const records = [
  driverRecord('driver-1', { phase: 'in_use', sessions: { [session.sessionId]: session } }),
];

function candidate(issuer: string, pools = '{ size: 2, maximum: 4 }'): string {
  return `apiVersion: spark-gateway/v1alpha1
kind: RoutingPolicy
issuers: [{ issuer: "${issuer}", audiences: ["api://spark"] }]
access: []
pools: [${pools}]
warm_namespaces: [${NAMESPACE}]
`;
}

const nobodyLeads = () =>
  Promise.reject(new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'Nobody leads.'));

async function ask(
  t: ExecutionContext,
  textFor: (api: AdminApi) => string,
  options: AdminApiOptions = {},
  person: 'reader' | 'nobody' = 'reader',
) {
  const api = await startAdminApi(t, { records, ...options });
  const response = await api.ask('policy/diff', {
    method: 'POST',
    body: textFor(api),
    token: await api.tokenOf(person),
  });
  return { status: response.status, answer: await response.json() };
}

test('the role "read" is told what a policy would change, and of whom it cannot be said', async (t) => {
  const { status, answer } = await ask(t, ({ issuer }) =>
    candidate(issuer.url, '{ size: 3, maximum: 4 }'),
  );
  t.is(status, 200);
  const diff = answer as PolicyDiff;
  t.deepEqual(diff.problems, []);
  t.not(diff.version, diff.candidate);
  t.deepEqual(diff.unknown, [
    { session: session.sessionId, principal: session.principal, namespace: NAMESPACE },
  ]);
  t.deepEqual(diff.namespaces, [
    {
      namespace: NAMESPACE,
      sessions: 1,
      pool: 'kept',
      fields: [{ field: 'pool.size', before: '2', after: '3' }],
    },
  ]);
});

test('a policy that is not good is answered with every mistake and its line', async (t) => {
  const { status, answer } = await ask(t, () => 'kind: RoutingPolicy\naccess: 5\n');
  t.is(status, 200);
  const { problems } = answer as PolicyDiffAnswer;
  t.true(
    problems.some((problem) => /^candidate:2:\d+: /.test(problem)),
    problems.join('\n'),
  );
  t.false('changes' in (answer as object));
});

test('without a role nobody is told, and no more than 1 MiB is read', async (t) => {
  t.is((await ask(t, () => '', {}, 'nobody')).status, 403);
  t.is((await ask(t, () => '#'.repeat(1024 * 1024 + 1))).status, 413);
});

test('while nobody leads, the asker is told to try again', async (t) => {
  t.is(
    (await ask(t, ({ issuer }) => candidate(issuer.url), { diffPolicy: nobodyLeads })).status,
    503,
  );
});

/** Comparisons that end only when their requests do. */
function held() {
  const signals: AbortSignal[] = [];
  const begun = new Signal<void>();
  const diffPolicy = (_text: string, signal: AbortSignal) => {
    signals.push(signal);
    begun.emit();
    return new Promise<never>((_resolve, reject) => {
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- as everywhere with signals
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  };
  return { diffPolicy, signals, begun };
}

test('everyone has one comparison at a time, which ends with its request', async (t) => {
  const { diffPolicy, signals, begun } = held();
  const api = await startAdminApi(t, { records, diffPolicy });
  const token = await api.tokenOf('reader');
  const post = (signal?: AbortSignal) =>
    api.ask('policy/diff', { method: 'POST', body: 'x', token, ...(signal ? { signal } : {}) });
  const leave = new AbortController();
  const first = post(leave.signal);
  while (signals.length < 1) await begun.next();
  const second = await post();
  t.is(second.status, 429);
  t.regex(await second.text(), /POLICY_DIFF_BUSY/);
  // Somebody else is not kept waiting.
  const other = new AbortController();
  const theirs = api.ask('policy/diff', {
    method: 'POST',
    body: 'x',
    token: await api.tokenOf('operator'),
    signal: other.signal,
  });
  while (signals.length < 2) await begun.next();
  const ended = once(signals[0] as AbortSignal, 'abort');
  leave.abort();
  await t.throwsAsync(first, { any: true });
  await ended;
  // It is over for its asker, too.
  const third = new AbortController();
  const again = post(third.signal);
  while (signals.length < 3) await begun.next();
  for (const gone of [other, third]) gone.abort();
  await t.throwsAsync(theirs, { any: true });
  await t.throwsAsync(again, { any: true });
});
