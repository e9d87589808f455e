import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import { GatewayError } from '../../src/model/errors.js';
import type { PolicyDiff, PolicyDiffAnswer } from '../../src/model/policy-diff.js';
import { type AdminApi, type AdminApiOptions, startAdminApi } from '../support/admin-api.js';
import { Signal } from '../support/signal.js';
import { driverRecord, NAMESPACE, sessionId, sessionRecord } from '../support/driver-records.js';

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
