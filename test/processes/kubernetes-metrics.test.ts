import test from 'ava';
import { Registry } from 'prom-client';
import { kubernetesMetrics } from '../../src/processes/kubernetes.js';
import { ManualClock } from '../support/manual-clock.js';

const watch = (namespace: string) => ({
  server: 'https://kubernetes',
  path: `/api/v1/namespaces/${namespace}/pods`,
  query: {},
});

function setUp() {
  const registry = new Registry();
  const clock = new ManualClock();
  const { onWatch } = kubernetesMetrics(registry, clock);
  const value = async (series: string) =>
    Number(
      (await registry.metrics())
        .split('\n')
        .find((line) => line.startsWith(`spark_gateway_kubernetes_watch_${series} `))
        ?.split(' ')
        .at(-1),
    );
  return { clock, onWatch, value };
}

const LAST_EVENT = 'last_event_timestamp_seconds{resource="pods"}';

test('one silent watch shows among others of its kind that tell something', async (t) => {
  const { clock, onWatch, value } = setUp();
  onWatch('opened', watch('quiet'));
  onWatch('opened', watch('busy'));
  const openedAtMs = clock.now();
  await clock.advance(200_000);
  onWatch('event', watch('busy'));
  t.is(await value(LAST_EVENT), openedAtMs / 1000);
  onWatch('event', watch('quiet'));
  t.is(await value(LAST_EVENT), clock.now() / 1000);
});

test('a watch that cannot be opened again is not taken for one that tells something', async (t) => {
  const { clock, onWatch, value } = setUp();
  onWatch('opened', watch('a'));
  const openedAtMs = clock.now();
  t.is(await value('failures_total{resource="pods",reason="expired"}'), 0);
  await clock.advance(200_000);
  onWatch('broken', watch('a'));
  onWatch('expired', watch('a'));
  t.is(await value(LAST_EVENT), openedAtMs / 1000);
  t.is(await value('failures_total{resource="pods",reason="broken"}'), 1);
  t.is(await value('failures_total{resource="pods",reason="expired"}'), 1);
  t.is(await value('starts_total{resource="pods"}'), 1);
});
