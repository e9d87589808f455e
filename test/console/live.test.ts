import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import test from 'ava';
import * as fc from 'fast-check';
import { Events, HEARTBEAT_MS, REFRESH_MS } from '../../src/console/live/events.js';
import { LiveTable } from '../../src/console/live/live-state.js';
import { RequestTally } from '../../src/console/live/requests.js';
import { API_ROOT } from '../../src/console/read-routes.js';
import type { Exchange } from '../../src/lib/http/router.js';
import type { ShadowView, SidecarView } from '../../src/model/admin-api.js';
import { GatewayError } from '../../src/model/errors.js';
import type { ShadowReport, SidecarStatus } from '../../src/model/reports.js';
import { startAdminApi } from '../support/admin-api.js';
import { startTestConsole, type TestConsole } from '../support/console.js';
import {
  alice,
  bob,
  driverRecord,
  sessionId,
  sessionRecord,
  START_MS,
} from '../support/driver-records.js';
import { unusedAddress } from '../support/loopback.js';
import { ManualClock } from '../support/manual-clock.js';

// Numbers as they change.

interface Row {
  readonly key: string;
  readonly value: number;
}

interface Change {
  readonly all?: readonly Row[];
  readonly changed?: readonly Row[];
  readonly removed?: readonly string[];
}

const states = fc.array(
  fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 0, max: 2 })),
  { minLength: 1, maxLength: 8 },
);

test('a reader who missed any number of changes has the newest rows after one message', (t) => {
  fc.assert(
    fc.property(states, fc.array(fc.nat(3), { maxLength: 8 }), (versions, readsAfter) => {
      const table = new LiveTable<Row>(({ key }) => key);
      let known = new Map<string, number>();
      let seen = 0;
      const read = (revision: number) => {
        const json = table.since(seen);
        seen = revision;
        if (json === undefined) return;
        const change = JSON.parse(json) as Change;
        if (change.all) known = new Map();
        for (const key of change.removed ?? []) known.delete(key);
        for (const { key, value } of change.all ?? change.changed ?? []) known.set(key, value);
      };
      for (const [at, version] of versions.entries()) {
        const revision = at + 1;
        table.replace(
          Object.entries(version).map(([key, value]) => ({ key, value })),
          revision,
        );
        if (readsAfter.includes(at)) read(revision);
      }
      read(versions.length);
      t.deepEqual(Object.fromEntries(known), { ...versions.at(-1) });
      t.is(table.since(versions.length), undefined);
    }),
  );
});

test('how the RPCs of an interval went: quantiles, failures, and refusals by known reasons', (t) => {
  const tally = new RequestTally(() => 0);
  for (let ms = 1; ms <= 100; ms += 1) {
    tally.add({ method: 'Config', durationMs: ms, refusal: undefined, grpcStatus: 0 });
  }
  tally.add({ method: 'ExecutePlan', durationMs: 60_000, refusal: undefined, grpcStatus: 13 });
  tally.add({ method: 'Config', durationMs: 1, refusal: 'QUOTA_EXCEEDED', grpcStatus: 8 });
  tally.add({ method: 'Config', durationMs: 1, refusal: 'INVENTED', grpcStatus: 8 });
  t.deepEqual(tally.take(), {
    ended: 103,
    failed: 1,
    refused: { QUOTA_EXCEEDED: 1, other: 1 },
    latency: { p50: 50, p95: 95, p99: 99 },
  });
  t.deepEqual(tally.take(), { ended: 0, failed: 0, refused: {} });
});

interface Event {
  readonly name: string;
  readonly data: unknown;
}

async function follow(console: TestConsole, user: string) {
  const abort = new AbortController();
  const token = await console.issuer.mintToken(user);
  const response = await fetch(`${console.url}/api/v1/events`, {
    headers: { authorization: `Bearer ${token}` },
    signal: abort.signal,
  });
  async function* events(): AsyncGenerator<Event> {
    let text = '';
    const decoder = new TextDecoder();
    for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(bytes, { stream: true });
      for (;;) {
        const end = text.indexOf('\n\n');
        if (end < 0) break;
        const [, name = '', data = ''] = /event: (.*)\ndata: (.*)/.exec(text.slice(0, end)) ?? [];
        text = text.slice(end + 2);
        if (name !== '') yield { name, data: JSON.parse(data) };
      }
    }
  }
  return { response, events: events(), stop: () => abort.abort() };
}

test('events begin with everything, and go on with what has changed', async (t) => {
  const console = await startTestConsole(t, { host: await unusedAddress() });
  console.world.records.set('d1', driverRecord('d1'));
  const { response, events, stop } = await follow(console, 'bob');
  t.regex(response.headers.get('content-type') ?? '', /^text\/event-stream/);
  const { value: first } = (await events.next()) as { value: Event };
  t.like(first, { name: 'snapshot', data: { sessions: [], drivers: [{ uid: 'd1' }] } });

  const id = sessionId(1);
  console.world.records.set(
    'd1',
    driverRecord('d1', { phase: 'in_use', sessions: { [id]: sessionRecord(id) } }),
  );
  for await (const { name, data } of events) {
    if (name !== 'sessions') continue;
    t.like(data, { changed: [{ id }], removed: [] });
    break;
  }
  stop();
});

test('who has no role gets no events', async (t) => {
  const console = await startTestConsole(t, { host: await unusedAddress() });
  const { response, stop } = await follow(console, 'dave');
  t.is(response.status, 403);
  stop();
});

test('the last hour is told to who opens the page later', async (t) => {
  const console = await startTestConsole(t, { host: await unusedAddress() });
  const token = await console.issuer.mintToken('bob');
  const answer = await fetch(`${console.url}/api/v1/history`, {
    headers: { authorization: `Bearer ${token}` },
  });
  t.like(await answer.json(), {
    intervalMs: 10_000,
    kept: 360,
    samples: [{ sessions: 0, envoys: { connected: 0, synced: 0 } }],
  });
});

// Events.

/** A response whose client reads when the test says so. */
class SlowResponse extends EventEmitter {
  readonly written: string[] = [];
  writableNeedDrain = false;
  writableEnded = false;

  write(text: string): boolean {
    this.written.push(text);
    return !this.writableNeedDrain;
  }

  end(): void {
    this.writableEnded = true;
    this.emit('close');
  }
}

/** A state that counts how often it was looked at, and says from where to where it changed. */
class CountedState {
  revision = 0;
  changes = true;

  refresh(): void {
    if (this.changes) this.revision += 1;
  }

  snapshot() {
    return { name: 'snapshot', data: `${this.revision}` };
  }

  since(revision: number) {
    return revision === this.revision
      ? []
      : [{ name: 'status', data: `${revision}-${this.revision}` }];
  }
}

function world() {
  const clock = new ManualClock();
  const state = new CountedState();
  const access = { refused: false };
  const events = new Events({
    state,
    clock,
    gatekeeper: {
      async admit() {
        if (access.refused) throw new GatewayError('TOKEN_EXPIRED', 'over');
        return {
          caller: { principal: { issuer: 'i', subject: 's' }, groups: [], claims: {} },
          role: 'read',
          goodUntilMs: Infinity,
        };
      },
    },
  });
  const open = async () => {
    const response = new SlowResponse();
    const answer = await events.routes()[`GET ${API_ROOT}/events`]?.({} as Exchange);
    if (typeof answer?.body === 'function') answer.body(response as unknown as ServerResponse);
    return response;
  };
  return { clock, state, access, events, open };
}

test('changes are sent at most once in an interval', async (t) => {
  const { clock, open } = world();
  const { written } = await open();
  t.is(written[0], 'retry: 1000\n\nevent: snapshot\ndata: 1\n\n');
  await clock.advance(REFRESH_MS - 1);
  t.is(written.length, 1);
  await clock.advance(1);
  t.deepEqual(written.slice(1), ['event: status\ndata: 1-2\n\n']);
});

test('a reader that is slow gets the newest state when it can take more, and nothing waits for it', async (t) => {
  const { clock, open } = world();
  const slow = await open();
  const other = await open();
  slow.writableNeedDrain = true;
  await clock.advance(5 * REFRESH_MS);
  t.is(slow.written.length, 1);
  t.is(other.written.length, 6);
  slow.writableNeedDrain = false;
  slow.emit('drain');
  t.deepEqual(slow.written.slice(1), ['event: status\ndata: 1-6\n\n']);
});

test('while nothing changes, a heartbeat shows that the connection lives', async (t) => {
  const { clock, state, open } = world();
  const { written } = await open();
  state.changes = false;
  await clock.advance(HEARTBEAT_MS);
  t.deepEqual(written.slice(1), ['event: heartbeat\ndata: {}\n\n']);
});

test('nothing is looked at while nobody reads', async (t) => {
  const { clock, state, open } = world();
  const response = await open();
  response.end();
  await clock.advance(10 * REFRESH_MS);
  t.is(state.revision, 1);
});

test('who may no longer read is cut off', async (t) => {
  const { clock, access, open } = world();
  const response = await open();
  access.refused = true;
  await clock.advance(HEARTBEAT_MS + REFRESH_MS);
  t.true(response.writableEnded);
});

test('more pages than it can feed are refused', async (t) => {
  const { open } = world();
  for (let at = 0; at < 200; at += 1) await open();
  await t.throwsAsync(open(), { code: 'QUOTA_EXCEEDED' });
});

// Sidecars.

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
