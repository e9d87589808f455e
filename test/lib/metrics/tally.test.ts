import test from 'ava';
import { Histogram, Registry } from 'prom-client';
import { Tally, TimeTally } from '../../../src/lib/metrics/tally.js';

test('a registry tells of all that was counted, however often it is read', async (t) => {
  const registry = new Registry();
  const tally = new Tally({
    name: 'checks_total',
    help: 'Checks.',
    labelNames: ['code', 'method'],
    registers: [registry],
  });
  const ok = tally.series({ code: 'OK', method: 'Config' });
  tally.series({ code: 'INTERNAL', method: 'Config' });
  ok.inc();
  ok.inc();
  t.is(await lines(registry), 'checks_total{code="OK",method="Config"} 2');
  t.is(await lines(registry), 'checks_total{code="OK",method="Config"} 2');
  ok.inc();
  t.is(await lines(registry), 'checks_total{code="OK",method="Config"} 3');
});

test('a histogram shows what prom-client shows of the same observations', async (t) => {
  const options = {
    name: 'check_seconds',
    help: 'Checks.',
    labelNames: ['outcome'],
    buckets: [0.1, 1],
  };
  const [own, theirs] = [new Registry(), new Registry()];
  const tally = new TimeTally({ ...options, registers: [own] });
  const histogram = new Histogram({ ...options, registers: [theirs] });
  const series = tally.series({ outcome: 'allowed' });
  tally.series({ outcome: 'refused' });
  t.is(await lines(own), '');
  for (const value of [0.05, 0.1, 0.5, 3]) {
    series.observe(value);
    histogram.observe({ outcome: 'allowed' }, value);
  }
  t.is(await own.metrics(), await theirs.metrics());
  series.add([1, 0, 2], 7);
  for (const value of [0.1, 3.4, 3.5]) histogram.observe({ outcome: 'allowed' }, value);
  t.is(await lines(own), await lines(theirs));
});

async function lines(registry: Registry): Promise<string> {
  return (await registry.metrics())
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .join('\n');
}
