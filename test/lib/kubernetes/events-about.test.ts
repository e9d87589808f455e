import test from 'ava';
import type { ApiRequest } from '../../../src/lib/kubernetes/kubernetes-api.js';
import { eventsAbout } from '../../../src/lib/kubernetes/events-about.js';

const involvedObject = { kind: 'Pod', name: 'd1-server' };
const event = (name: string, fields: object) => ({ metadata: { name }, involvedObject, ...fields });

/** Answers as the API server does, with what each way of counting leaves in an Event. */
const byName: Readonly<Record<string, readonly object[]>> = {
  'd1-server': [
    event('old', { reason: 'Pulled', type: 'Normal', lastTimestamp: '2026-01-01T00:00:01Z' }),
    event('new', {
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
    event(`e${n}`, { message: 'x'.repeat(9_000) }),
  );
  const api = { request: async <T>() => ({ metadata: {}, items }) as T };
  const found = await eventsAbout(api, 'ns', ['d1']);
  t.is(found.length, 20);
  t.true(found.every(({ message }) => message.length === 500));
});
