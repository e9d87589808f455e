import test from 'ava';
import { Registry } from 'prom-client';
import { Tally } from '../../src/processes/authz.js';

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

async function lines(registry: Registry): Promise<string> {
  return (await registry.metrics())
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .join('\n');
}
