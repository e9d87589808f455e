import test from 'ava';
import * as fc from 'fast-check';
import { LiveTable } from '../../src/console/live/live-state.js';
import { RequestTally } from '../../src/console/live/requests.js';
import { startTestConsole, type TestConsole } from '../support/console.js';
import { driverRecord, sessionId, sessionRecord } from '../support/driver-records.js';
import { unusedAddress } from '../support/loopback.js';

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
