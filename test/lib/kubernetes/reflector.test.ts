import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import {
  errorOfStatus,
  isLater,
  isOpen,
  KubernetesError,
} from '../../../src/lib/kubernetes/http.js';
import { KubernetesApi, type WatchEvent } from '../../../src/lib/kubernetes/kubernetes-api.js';
import type { KubernetesObject } from '../../../src/lib/kubernetes/objects.js';
import { Reflector } from '../../../src/lib/kubernetes/reflector.js';
import { TestAuthority } from '../../support/certificates.js';
import { ManualClock, settle } from '../../support/manual-clock.js';
import { Signal } from '../../support/signal.js';

// A list that is kept up to date.

const LOST = new KubernetesError(0, 'ECONNRESET', 'connection lost');

function object(name: string, resourceVersion: string): KubernetesObject {
  return { metadata: { name, uid: `uid-${name}`, resourceVersion } };
}

/** A collection whose lists and watches a test answers by hand. */
function setUp() {
  const lists = new Signal<Record<string, unknown>>();
  const answers = new Signal<unknown>();
  const watches = new Signal<Record<string, unknown>>();
  const events = new Signal<WatchEvent | Error | 'end'>();
  const clock = new ManualClock();
  let changes = 0;
  const reflector = new Reflector<string>({
    api: {
      async request<T>({ query }: { query?: object }): Promise<T> {
        lists.emit({ ...query });
        const answer = await answers.next();
        if (answer instanceof Error) throw answer;
        return answer as T;
      },
      async *watch({ query, signal, onOpen }) {
        watches.emit({ ...query });
        onOpen?.();
        const aborted = new Promise<'end'>((resolve) => {
          signal.addEventListener('abort', () => resolve('end'), { once: true });
        });
        for (;;) {
          const event = await Promise.race([events.next(), aborted]);
          if (event === 'end') return;
          if (event instanceof Error) throw event;
          yield event;
        }
      },
    },
    path: '/things',
    labelSelector: 'a=b',
    keep: ({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`,
    clock,
    logger: pino({ level: 'silent' }),
    onChange: () => {
      changes += 1;
    },
    random: () => 0,
  });
  const list = (resourceVersion: string, ...items: KubernetesObject[]) =>
    answers.emit({ metadata: { resourceVersion }, items });
  const values = () => [...reflector.values()];
  return {
    reflector,
    lists,
    answers,
    watches,
    events,
    clock,
    list,
    values,
    changed: () => changes,
  };
}

test('it lists once and follows the watch from there', async (t) => {
  const { reflector, lists, list, watches, events, values } = setUp();
  reflector.start();
  t.like(await lists.next(), { labelSelector: 'a=b', continue: undefined });
  t.truthy(reflector.problem);
  list('10', object('x', '7'));
  t.like(await watches.next(), { resourceVersion: '10', labelSelector: 'a=b' });
  t.is(reflector.problem, undefined);
  events.emit({ type: 'ADDED', object: object('y', '11') });
  events.emit({ type: 'MODIFIED', object: object('x', '12') });
  events.emit({ type: 'DELETED', object: object('y', '13') });
  await settle();
  t.deepEqual(values(), ['x@12']);
  t.is(lists.waiting, 0);
  await reflector.stop();
});

test('a list of several pages is one snapshot', async (t) => {
  const { reflector, lists, answers, watches, list, values } = setUp();
  reflector.start();
  await lists.next();
  answers.emit({
    metadata: { resourceVersion: '10', continue: 'more' },
    items: [object('x', '1')],
  });
  t.like(await lists.next(), { continue: 'more' });
  t.deepEqual(values(), []);
  list('10', object('y', '2'));
  await watches.next();
  t.deepEqual(values(), ['x@1', 'y@2']);
  await reflector.stop();
});

test('a broken watch goes on from the last bookmark after a pause, and nothing is forgotten', async (t) => {
  const { reflector, lists, list, watches, events, clock, values } = setUp();
  reflector.start();
  await lists.next();
  list('10', object('x', '7'));
  await watches.next();
  events.emit({ type: 'BOOKMARK', object: { metadata: { name: '', resourceVersion: '90' } } });
  events.emit(LOST);
  await settle();
  t.regex(reflector.problem ?? '', /connection lost/);
  t.deepEqual(values(), ['x@7']);
  t.is(watches.waiting, 0);
  await clock.advance(250);
  t.like(await watches.next(), { resourceVersion: '90' });
  t.is(reflector.problem, undefined);
  t.is(lists.waiting, 0);
  await reflector.stop();
});

test('attempts against an API server that is down come less and less often', async (t) => {
  const { reflector, lists, answers, list, clock } = setUp();
  reflector.start();
  const times: number[] = [];
  for (let attempt = 0; attempt < 9; attempt += 1) {
    await lists.next();
    times.push(clock.now());
    answers.emit(LOST);
    await clock.advance(attempt < 8 ? Math.min(8_000, 250 * 2 ** attempt) : 0);
  }
  const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  t.deepEqual(pauses, [250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
  await clock.advance(20_000);
  await lists.next();
  list('1');
  await reflector.stop();
});

test('a version that is no longer kept leads to a new list, which drops what was deleted meanwhile', async (t) => {
  const { reflector, lists, list, watches, events, clock, values } = setUp();
  reflector.start();
  await lists.next();
  list('10', object('x', '7'), object('y', '8'));
  await watches.next();
  events.emit(errorOfStatus(410, { code: 410, reason: 'Expired', message: 'too old' }, 'WATCH'));
  await settle();
  t.deepEqual(values(), ['x@7', 'y@8']);
  await lists.next();
  list('500', object('y', '8'));
  t.like(await watches.next(), { resourceVersion: '500' });
  t.deepEqual(values(), ['y@8']);
  events.emit(errorOfStatus(410, { code: 410, reason: 'Expired', message: 'too old' }, 'WATCH'));
  await settle();
  t.is(lists.waiting, 0, 'a second time it pauses first');
  await clock.advance(250);
  t.is(lists.waiting, 1);
  list('600');
  await reflector.stop();
});

test('a refresh lists again at once and says when it could not', async (t) => {
  const { reflector, lists, answers, list, watches, clock, values } = setUp();
  reflector.start();
  await lists.next();
  list('10', object('x', '7'));
  await watches.next();
  const refreshed = reflector.refresh();
  await lists.next();
  list('20', object('z', '9'));
  await refreshed;
  t.deepEqual(values(), ['z@9']);
  t.like(await watches.next(), { resourceVersion: '20' });
  const failed = reflector.refresh();
  await lists.next();
  answers.emit(LOST);
  await t.throwsAsync(failed, { message: 'connection lost' });
  t.deepEqual(values(), ['z@9']);
  t.false(reflector.isFresh);
  await clock.advance(1_000);
  await lists.next();
  list('30', object('z', '9'));
  t.like(await watches.next(), { resourceVersion: '30' });
  t.true(reflector.isFresh, 'the list that was asked for came about in the end');
  await reflector.stop();
});

test('the API server is left alone for as long as it asks', async (t) => {
  const { reflector, lists, answers, list, clock } = setUp();
  reflector.start();
  await lists.next();
  answers.emit(errorOfStatus(429, { code: 429, details: { retryAfterSeconds: 7 } }, 'GET'));
  await clock.advance(6_999);
  t.is(lists.waiting, 0);
  await clock.advance(1);
  t.is(lists.waiting, 1);
  list('1');
  await reflector.stop();
});

// An API server that sheds load.

/** An API server whose flow control puts off as many requests as `putOff` says. */
async function sheddingServer(t: ExecutionContext, retryAfter: string | undefined, putOff: number) {
  const { certificatePem: cert, keyPem: key } = new TestAuthority().issue({ commonName: 'api' });
  const asked: string[] = [];
  const server = createServer({ cert, key }, (request, response) => {
    asked.push(request.method ?? '');
    if (asked.length > putOff) {
      response.end('{"kind":"Pod"}');
      return;
    }
    const headers = retryAfter === undefined ? {} : { 'retry-after': retryAfter };
    response.writeHead(429, { 'content-type': 'text/plain; charset=utf-8', ...headers });
    response.end('Too many requests, please try again later.\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const config = new KubeConfig();
  const { port } = server.address() as AddressInfo;
  config.loadFromClusterAndUser(
    { name: 'c', server: `https://127.0.0.1:${port}`, skipTLSVerify: true },
    { name: 'u', token: 't' },
  );
  const api = new KubernetesApi(config);
  t.teardown(() => {
    api.close();
    server.close();
  });
  return { api, asked };
}

test('a request that flow control puts off is made again after the pause, and answered', async (t) => {
  const { api, asked } = await sheddingServer(t, '0', 2);
  t.deepEqual(await api.request({ method: 'POST', path: '/x', body: {} }), { kind: 'Pod' });
  t.deepEqual(asked, ['POST', 'POST', 'POST']);
});

test('one that is put off for longer than it has time is neither refused nor open: it is for later', async (t) => {
  const { api, asked } = await sheddingServer(t, '30', 1_000);
  const error = await t.throwsAsync<KubernetesError>(
    api.request({ method: 'POST', path: '/x', body: {} }),
    { instanceOf: KubernetesError },
  );
  t.is(error.verdict, 'later');
  t.is(error.retryAfterMs, 30_000);
  t.true(isLater(error));
  t.false(isOpen(error));
  t.is(asked.length, 1, 'the API server is left alone');
});

test('a watch that is put off says for how long', async (t) => {
  const { api } = await sheddingServer(t, '7', 1);
  const signal = new AbortController().signal;
  const watch = api.watch({ path: '/x', query: {}, signal, silenceMs: 60_000 });
  const error = await t.throwsAsync<KubernetesError>(watch.next(), { instanceOf: KubernetesError });
  t.is(error.retryAfterMs, 7_000);
});
