import test from 'ava';
import { pino } from 'pino';
import type { ApiRequest } from '../../../src/lib/kubernetes/kubernetes-api.js';
import { KubernetesError } from '../../../src/lib/kubernetes/http.js';
import { EventWriter, type ObjectEvent } from '../../../src/lib/kubernetes/event-writer.js';
import { ManualClock } from '../../support/manual-clock.js';

const MINUTE = 60_000;

function event(name: string, note = 'It is bad.'): ObjectEvent {
  const regarding = { apiVersion: 'v1', kind: 'Pod', name, namespace: 'ns', uid: `uid-${name}` };
  return { regarding, reason: 'PodForeign', note };
}

function fixture() {
  const clock = new ManualClock();
  const requests: ApiRequest[] = [];
  const world = {
    leads: true,
    /** undefined: it is carried out. */
    refusal: undefined as number | undefined,
    exists: false,
  };
  const writer = new EventWriter({
    api: {
      async request<T>(request: ApiRequest): Promise<T> {
        requests.push(request);
        if (world.refusal !== undefined) throw new KubernetesError(world.refusal, 'No', 'no');
        if (world.exists && request.method === 'POST') throw new KubernetesError(409, 'E', 'e');
        return { series: { count: 4 } } as T;
      },
    },
    instance: 'pod-1',
    allowed: () => world.leads,
    clock,
    logger: pino({ level: 'silent' }),
  });
  const report = async (...events: ObjectEvent[]) => {
    const before = requests.length;
    writer.report(events);
    await writer.idle();
    return requests.slice(before);
  };
  return { clock, world, report };
}

test('what is said again and again is written once in half an hour', async (t) => {
  const { clock, report } = fixture();
  const [written] = await report(event('a'));
  t.is(written?.path, '/apis/events.k8s.io/v1/namespaces/ns/events');
  t.like(written?.body, {
    reason: 'PodForeign',
    note: 'It is bad.',
    type: 'Warning',
    reportingInstance: 'pod-1',
    regarding: { kind: 'Pod', name: 'a', uid: 'uid-a' },
  });
  await clock.advance(29 * MINUTE);
  t.deepEqual(await report(event('a')), []);
  await clock.advance(2 * MINUTE);
  t.is((await report(event('a'))).length, 1);
});

test('an Event that exists, of this process or of a leader before it, is continued as a series', async (t) => {
  const { world, report } = fixture();
  world.exists = true;
  const [post, get, patch] = await report(event('a'));
  t.is(post?.method, 'POST');
  t.is(get?.path, patch?.path);
  t.like(patch?.body, { series: { count: 5 } });
});

test('a note that changes all the time makes an Event a minute', async (t) => {
  const { clock, report } = fixture();
  await report(event('a', 'try 1'));
  t.deepEqual(await report(event('a', 'try 2')), []);
  await clock.advance(MINUTE);
  t.is((await report(event('a', 'try 3'))).length, 1);
});

test('a flood is written bit by bit, and none of it is forgotten', async (t) => {
  const { clock, report } = fixture();
  const flood = Array.from({ length: 60 }, (_, index) => event(`p${index}`));
  t.is((await report(...flood)).length, 25);
  await clock.advance(10_000);
  t.is((await report(...flood)).length, 10);
  await clock.advance(25_000);
  t.is((await report(...flood)).length, 25);
});

test('only the leader writes', async (t) => {
  const { world, report } = fixture();
  world.leads = false;
  t.deepEqual(await report(event('a')), []);
  world.leads = true;
  t.is((await report(event('a'))).length, 1);
});

for (const { what, status, againMs } of [
  { what: 'an API server that is away', status: 0, againMs: MINUTE },
  { what: 'a missing right', status: 403, againMs: 10 * MINUTE },
]) {
  test(`${what} hurts nobody, and it is tried again later`, async (t) => {
    const { clock, world, report } = fixture();
    world.refusal = status;
    t.is((await report(event('a'))).length, 1);
    await clock.advance(againMs - 1_000);
    t.deepEqual(await report(event('a')), []);
    world.refusal = undefined;
    await clock.advance(1_000);
    t.is((await report(event('a'))).length, 1);
  });
}

test('a note or a name that is too long is cut to what the API server takes', async (t) => {
  const { report } = fixture();
  const [written] = await report(event('n'.repeat(253), 'x'.repeat(5_000)));
  const body = written?.body as { metadata: { name: string }; note: string } | undefined;
  t.is(body?.metadata.name.length, 247);
  t.is(body?.note.length, 1_000);
});
