import test from 'ava';
import type { ShadowView, SidecarView } from '../../src/model/admin-api.js';
import type { ShadowReport, SidecarStatus } from '../../src/model/reports.js';
import { startAdminApi } from '../support/admin-api.js';
import { alice, bob, START_MS } from '../support/driver-records.js';

const at = (ms: number) => new Date(START_MS + ms).toISOString();
const refused = { source: 'policy', would: 'refuse', code: 'NAMESPACE_REFUSED' } as const;
const same = { source: 'policy', would: 'same', code: 'OK' } as const;

function sidecar(name: string, shadow: ShadowReport | undefined): SidecarStatus {
  return {
    sidecarId: `id-of-${name}`,
    name,
    connected: true,
    leaseEndsMs: START_MS + 600_000,
    lastSeenMs: START_MS + 1_000,
    pendingNotices: 0,
    policy: { version: 'v1', problem: undefined, shadow },
  };
}

function example(principal: typeof alice, atMs: number) {
  return { ...refused, by: 'c1', principal, method: 'Config', message: 'may not', atMs };
}

const sidecars = [
  sidecar('envoy-a', {
    version: 'c1',
    problem: undefined,
    counts: [
      { ...refused, count: 2 },
      { ...same, count: 10 },
    ],
    examples: [example(alice, START_MS)],
  }),
  sidecar('envoy-b', {
    version: 'c1',
    problem: undefined,
    counts: [{ ...refused, count: 3 }],
    examples: [example(bob, START_MS + 500)],
  }),
  sidecar('envoy-c', { version: undefined, problem: 'x:1:1: bad', counts: [], examples: [] }),
  { ...sidecar('envoy-d', undefined), policy: undefined, connected: false },
];

test('each sidecar is shown with the policy by which it decides and the one that it tries out', async (t) => {
  const api = await startAdminApi(t, { sidecars });
  const shown = await api.read<readonly SidecarView[]>('sidecars');
  t.deepEqual(shown[0], {
    id: 'id-of-envoy-a',
    name: 'envoy-a',
    connected: true,
    leaseEnds: at(600_000),
    lastSeen: at(1_000),
    pendingNotices: 0,
    policy: { version: 'v1' },
    shadow: { version: 'c1' },
  });
  t.deepEqual(shown[2]?.shadow, { problem: 'x:1:1: bad' });
  t.false('policy' in (shown[3] ?? {}));
});

test('what is tried out is counted over all sidecars, with the newest examples and every mistake', async (t) => {
  const api = await startAdminApi(t, { sidecars });
  const { candidates, counts, examples } = await api.read<ShadowView>('policy/shadow');
  t.deepEqual(candidates, [
    { version: 'c1', sidecars: 2 },
    { version: '', sidecars: 1, problem: 'x:1:1: bad' },
  ]);
  t.deepEqual(counts, [
    { ...same, count: 10 },
    { ...refused, count: 5 },
  ]);
  t.deepEqual(
    examples.map((one) => [one.principal.subject, one.at]),
    [
      [bob.subject, at(500)],
      [alice.subject, at(0)],
    ],
  );
});

test('who has no role is shown neither', async (t) => {
  const api = await startAdminApi(t, { sidecars });
  const token = await api.tokenOf('nobody');
  for (const path of ['sidecars', 'policy/shadow']) {
    t.is((await api.ask(path, { token })).status, 403);
  }
});
