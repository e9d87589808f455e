import test from 'ava';
import { pino } from 'pino';
import { EventWriter, type ObjectEvent } from '../../../src/lib/kubernetes/event-writer.js';
import { eventsAbout } from '../../../src/lib/kubernetes/events-about.js';
import { KubernetesError } from '../../../src/lib/kubernetes/http.js';
import type { ApiRequest } from '../../../src/lib/kubernetes/kubernetes-api.js';
import {
  GatewayKey,
  isOurs,
  signature,
  SIGNATURE_ANNOTATION,
  VARIANT_ANNOTATION,
} from '../../../src/lib/kubernetes/ownership.js';
import { ManualClock } from '../../support/manual-clock.js';

// Events that are written.

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

// Events that are read.

const involvedObject = { kind: 'Pod', name: 'd1-server' };
const listed = (name: string, fields: object) => ({
  metadata: { name },
  involvedObject,
  ...fields,
});

/** Answers as the API server does, with what each way of counting leaves in an Event. */
const byName: Readonly<Record<string, readonly object[]>> = {
  'd1-server': [
    listed('old', { reason: 'Pulled', type: 'Normal', lastTimestamp: '2026-01-01T00:00:01Z' }),
    listed('new', {
      reason: 'BackOff',
      type: 'Warning',
      message: 'Back-off pulling\n image\t"x"',
      lastTimestamp: null,
      eventTime: '2026-01-01T00:00:02.000000Z',
      series: { count: 7, lastObservedTime: '2026-01-01T00:00:09.000000Z' },
    }),
  ],
  d1: [
    {
      metadata: { name: 'e', creationTimestamp: '2026-01-01T00:00:05Z' },
      involvedObject: { kind: 'SparkConnect', name: 'd1' },
      count: 2,
    },
  ],
};

test("what is said of a driver's pod and resource, the newest first, each in one line", async (t) => {
  const asked: ApiRequest[] = [];
  const api = {
    request: async <T>(request: ApiRequest) => {
      asked.push(request);
      const name = String(request.query?.['fieldSelector']).replace('involvedObject.name=', '');
      return { metadata: {}, items: byName[name] ?? [] } as T;
    },
  };
  const found = await eventsAbout(api, 'sjns-a-dev', ['d1-server', 'd1', 'd1']);
  t.deepEqual(
    found.map(({ reason, object, count, message }) => [reason, object, count, message]),
    [
      ['BackOff', 'Pod d1-server', 7, 'Back-off pulling image "x"'],
      ['', 'SparkConnect d1', 2, ''],
      ['Pulled', 'Pod d1-server', 1, ''],
    ],
  );
  t.is(asked.length, 2);
  t.is(asked[0]?.path, '/api/v1/namespaces/sjns-a-dev/events');
});

test('an endless story is cut', async (t) => {
  const items = Array.from({ length: 90 }, (_, n) =>
    listed(`e${n}`, { message: 'x'.repeat(9_000) }),
  );
  const api = { request: async <T>() => ({ metadata: {}, items }) as T };
  const found = await eventsAbout(api, 'ns', ['d1']);
  t.is(found.length, 20);
  t.true(found.every(({ message }) => message.length === 500));
});

// Whose objects they are.

const key = new GatewayKey(Buffer.alloc(32, 7));

function resource(variant: string | undefined, signed: string) {
  return {
    metadata: {
      name: 'driver-1',
      namespace: 'sjns-data-dev',
      annotations: {
        [SIGNATURE_ANNOTATION]: signed,
        ...(variant === undefined ? {} : { [VARIANT_ANNOTATION]: variant }),
      },
    },
  };
}

const sign = (variant?: string) =>
  signature(key, 'SparkConnect', 'sjns-data-dev', 'driver-1', variant);

const isOursAs = (kind: string, variant: string | undefined, signed: string) =>
  isOurs(key, kind, resource(variant, signed));

test('a resource is the gateway’s under its name and for its variant only', (t) => {
  t.true(isOursAs('SparkConnect', undefined, sign()));
  t.true(isOursAs('SparkConnect', 'canary', sign('canary')));
  t.false(isOursAs('SparkConnect', 'canary', sign()));
  t.false(isOursAs('SparkConnect', undefined, sign('canary')));
  t.false(isOursAs('SparkConnect', 'other', sign('canary')));
  t.false(isOursAs('SparkApplication', undefined, sign()));
  t.false(isOursAs('SparkConnect', undefined, ''));
});
