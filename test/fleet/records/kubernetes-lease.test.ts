import test from 'ava';
import * as fc from 'fast-check';
import { pino } from 'pino';
import type { KubernetesApi } from '../../../src/lib/kubernetes/kubernetes-api.js';
import { KubernetesLease, type LeaseOptions } from '../../../src/fleet/records/kubernetes-lease.js';
import { FakeKubernetes, type Fate } from '../../support/fake-kubernetes.js';
import { ManualClock } from '../../support/manual-clock.js';
import { tries } from '../../support/tries.js';
import { Signal } from '../../support/signal.js';

const DURATION_MS = 10_000;
const PATH = '/apis/coordination.k8s.io/v1/namespaces/gateway/leases/leader';

function candidate(
  kubernetes: Pick<KubernetesApi, 'request'>,
  clock: ManualClock,
  identity: string,
  options: Partial<LeaseOptions> = {},
): KubernetesLease {
  return new KubernetesLease({
    api: kubernetes,
    namespace: 'gateway',
    name: 'leader',
    identity,
    durationMs: DURATION_MS,
    clock,
    logger: pino({ level: 'silent' }),
    ...options,
  });
}

test('one of two leads, and the other takes over soon after the first has died', async (t) => {
  const kubernetes = new FakeKubernetes();
  const clock = new ManualClock();
  let firstIsAlive = true;
  const mortal = {
    request: <T>(request: Parameters<typeof kubernetes.request>[0]) =>
      firstIsAlive ? kubernetes.request<T>(request) : new Promise<T>(() => {}),
  };
  const first = candidate(mortal, clock, 'first');
  const second = candidate(kubernetes, clock, 'second');
  first.start();
  await clock.advance(0);
  second.start();
  await clock.advance(60_000);
  t.is(first.epoch(), 1);
  t.is(second.epoch(), undefined);
  t.is(second.holder, 'first');

  firstIsAlive = false;
  await clock.advance(DURATION_MS * 0.8);
  t.is(first.epoch(), undefined, 'it stops before anyone else may start');
  await clock.advance(DURATION_MS * 0.4);
  t.is(second.epoch(), 2);
});

test('whenever a leader dies, a follower leads when the lease it last saw has run out, and not later', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 60_000 }), async (diesAtMs) => {
      const kubernetes = new FakeKubernetes();
      const clock = new ManualClock();
      let renewedAtMs = clock.now();
      let isAlive = true;
      const mortal = {
        request: async <T>(request: Parameters<typeof kubernetes.request>[0]): Promise<T> => {
          if (!isAlive) return new Promise<T>(() => {});
          if (request.method === 'PUT') renewedAtMs = clock.now();
          return kubernetes.request<T>(request);
        },
      };
      const first = candidate(mortal, clock, 'first');
      const second = candidate(kubernetes, clock, 'second');
      first.start();
      await clock.advance(0);
      second.start();
      await clock.advance(diesAtMs);
      isAlive = false;
      let leadsAtMs: number | undefined;
      second.onChange(() => (leadsAtMs ??= clock.now()));
      await clock.advance(2 * DURATION_MS);
      // It looks once in each fifth of the duration, and from what it sees then the duration runs.
      t.true(leadsAtMs !== undefined && leadsAtMs >= renewedAtMs + DURATION_MS);
      t.true(leadsAtMs !== undefined && leadsAtMs <= renewedAtMs + DURATION_MS * 1.2);
      await second.stop();
    }),
    { numRuns: tries(100) },
  );
});

test('those who follow hear who leads', async (t) => {
  const kubernetes = new FakeKubernetes();
  const clock = new ManualClock();
  const [first, second, third] = ['first', 'second', 'third'].map((identity) =>
    candidate(kubernetes, clock, identity),
  );
  const heard: unknown[] = [];
  third?.onHolderChange((holder) => heard.push(holder));
  for (const lease of [first, second, third]) {
    lease?.start();
    await clock.advance(0);
  }
  t.deepEqual(heard, ['first']);
  await first?.stop();
  await clock.advance(DURATION_MS);
  await second?.stop();
  await clock.advance(DURATION_MS);
  t.deepEqual(heard, ['first', 'second', 'third']);
  await third?.stop();
  t.is(heard.at(-1), undefined);
});

test('a leader that stops hands over at once, with a higher epoch', async (t) => {
  const kubernetes = new FakeKubernetes();
  const clock = new ManualClock();
  const first = candidate(kubernetes, clock, 'first');
  const second = candidate(kubernetes, clock, 'second');
  const changes: unknown[] = [];
  first.onChange((epoch) => changes.push(epoch));
  first.start();
  await clock.advance(0);
  second.start();
  await clock.advance(0);
  await first.stop();
  t.is(first.epoch(), undefined);
  await clock.advance(DURATION_MS / 5);
  t.is(second.epoch(), 2);
  t.deepEqual(changes, [1, undefined]);
});

test('lost answers and a short silence of the API server cost no leadership', async (t) => {
  const kubernetes = new FakeKubernetes();
  const clock = new ManualClock();
  const lease = candidate(kubernetes, clock, 'one');
  const changes: unknown[] = [];
  lease.onChange((epoch) => changes.push(epoch));
  let fates: Fate[] = ['answered', 'answer lost'];
  kubernetes.fate = () => fates.shift() ?? 'answered';
  lease.start();
  await clock.advance(3_000);
  fates = ['answer lost', 'answered', 'lost', 'lost'];
  await clock.advance(20_000);
  t.is(lease.epoch(), 2, 'the claim whose answer was lost was made again');
  t.deepEqual(changes, [2]);
});

test('a leader that the API server puts off obeys, and not at the price of its lease', async (t) => {
  const kubernetes = new FakeKubernetes();
  const clock = new ManualClock();
  const leader = candidate(kubernetes, clock, 'first');
  leader.start();
  await clock.advance(0);
  kubernetes.retryAfterSeconds = 3;
  let asked = 0;
  for (const putOff of [1, 2, 1]) {
    let left = putOff;
    kubernetes.fate = () => {
      asked += 1;
      left -= 1;
      return left >= 0 ? 'put off' : 'answered';
    };
    for (let waited = 0; waited < DURATION_MS; waited += 100) {
      await clock.advance(100);
      t.is(leader.epoch(), 1);
    }
  }
  t.true(asked < 25, `asked ${asked} times`);
  kubernetes.retryAfterSeconds = 60;
  kubernetes.fate = () => (clock.now() % 2 === 0 ? 'put off' : 'answered');
  await clock.advance(4_001);
  kubernetes.fate = () => 'answered';
  await clock.advance(5_000);
  t.is(leader.epoch(), 1, 'half of the time that is left is waited at most');
  await leader.stop();
});

test('a leader whose time has passed leads again under a higher epoch only', async (t) => {
  const kubernetes = new FakeKubernetes();
  const clock = new ManualClock();
  const lease = candidate(kubernetes, clock, 'one');
  const changes: unknown[] = [];
  lease.onChange((epoch) => changes.push(epoch));
  lease.start();
  await clock.advance(0);
  kubernetes.fate = () => 'lost';
  await clock.advance(DURATION_MS);
  kubernetes.fate = () => 'answered';
  await clock.advance(DURATION_MS);
  t.deepEqual(changes, [1, undefined, 2]);
});

test('a renewal whose answer comes when the time has passed does not prolong the epoch', async (t) => {
  const kubernetes = new FakeKubernetes();
  const clock = new ManualClock();
  let answer = Promise.resolve();
  const slow = {
    request: async <T>(request: Parameters<typeof kubernetes.request>[0]): Promise<T> => {
      const answered = await kubernetes.request<T>(request);
      await answer;
      return answered;
    },
  };
  const lease = candidate(slow, clock, 'one');
  const changes: unknown[] = [];
  lease.onChange((epoch) => changes.push(epoch));
  lease.start();
  await clock.advance(0);
  const arrived = new Signal<void>();
  answer = arrived.next();
  await clock.advance(DURATION_MS);
  t.deepEqual(changes, [1, undefined]);
  arrived.emit();
  await clock.advance(0);
  t.deepEqual(changes, [1, undefined, 2]);
});

test('a jump of the wall clock ends leadership rather than prolonging it', async (t) => {
  const kubernetes = new FakeKubernetes();
  const clock = new ManualClock();
  const lease = candidate(kubernetes, clock, 'one');
  lease.start();
  await clock.advance(0);
  t.is(lease.epoch(), 1);
  kubernetes.fate = () => 'lost';
  clock.jump(-10 * DURATION_MS);
  await clock.advance(DURATION_MS);
  t.is(lease.epoch(), undefined);

  kubernetes.fate = () => 'answered';
  await clock.advance(2 * DURATION_MS);
  t.not(lease.epoch(), undefined);
  clock.jump(DURATION_MS);
  t.is(lease.epoch(), undefined);
});

test('a Lease that was deleted is made anew above every epoch that a record carries', async (t) => {
  const kubernetes = new FakeKubernetes();
  const clock = new ManualClock();
  const lease = candidate(kubernetes, clock, 'one', { highestEpoch: async () => 41 });
  lease.start();
  await clock.advance(0);
  t.is(lease.epoch(), 42);
  kubernetes.objects.delete(PATH);
  await clock.advance(DURATION_MS / 5);
  t.true((lease.epoch() ?? 0) >= 42);
});

const step = fc.record({
  /** What happens to the requests of each candidate in this step. */
  fates: fc.array(fc.constantFrom<Fate>('answered', 'answered', 'answer lost', 'lost'), {
    minLength: 3,
    maxLength: 3,
  }),
  advanceMs: fc.integer({ min: 1, max: 6_000 }),
});

test('whatever is lost, no two lead at once and epochs only grow', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const kubernetes = new FakeKubernetes();
      const clock = new ManualClock();
      let fates: Fate[] = ['answered', 'answered', 'answered'];
      const candidates = ['a', 'b', 'c'].map((identity, index) => {
        const api = {
          request: async <T>(request: Parameters<typeof kubernetes.request>[0]): Promise<T> => {
            kubernetes.fate = () => fates[index] ?? 'answered';
            return kubernetes.request<T>(request);
          },
        };
        return candidate(api, clock, identity);
      });
      const ledBy = new Map<number, number>();
      let highest = 0;
      const check = () => {
        const leading = candidates.flatMap((lease, index) => {
          const epoch = lease.epoch();
          return epoch === undefined ? [] : [{ epoch, index }];
        });
        t.true(leading.length <= 1, 'two lead at once');
        for (const { epoch, index } of leading) {
          t.true(epoch >= highest, 'an epoch came back');
          t.is(ledBy.get(epoch) ?? index, index, 'one epoch had two leaders');
          ledBy.set(epoch, index);
          highest = epoch;
        }
      };
      const over = new Set<number>();
      for (const lease of candidates) {
        let last: number | undefined;
        lease.onChange((epoch) => {
          check();
          if (last !== undefined) over.add(last);
          t.false(epoch !== undefined && over.has(epoch), 'an epoch that was over began again');
          last = epoch;
        });
        lease.start();
      }
      for (const { fates: next, advanceMs } of steps) {
        fates = next;
        await clock.advance(advanceMs);
        check();
      }
    }),
    { numRuns: tries(60) },
  );
});
