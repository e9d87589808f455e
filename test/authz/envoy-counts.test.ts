import test from 'ava';
import pino from 'pino';
import { EnvoyCountsReader, parseEnvoyCounts } from '../../src/authz/envoy-counts.js';
import { DURATION_BUCKETS_MS } from '../../src/model/envoy-counts.js';
import { ManualClock } from '../support/manual-clock.js';

const METRIC = 'envoy_cluster_grpc_SparkConnectService_ReleaseExecute';
const labels = (cluster: string) =>
  `envoy_grpc_bridge_method="connect",envoy_grpc_bridge_service="spark",envoy_cluster_name="${cluster}"`;

function said(cluster: string, success: number, upTo: Record<string, number>): string {
  const of = labels(cluster);
  return [
    `# TYPE ${METRIC}_success counter`,
    `${METRIC}_success{${of}} ${success}`,
    ...Object.entries(upTo).map(
      ([le, count]) => `${METRIC}_upstream_rq_time_bucket{${of},le="${le}"} ${count}`,
    ),
    `${METRIC}_upstream_rq_time_sum{${of}} 12.5`,
    `${METRIC}_upstream_rq_time_count{${of}} 9`,
  ].join('\n');
}

test('counts are by namespace; buckets of Envoy end where ours do, or in the next', (t) => {
  const text = [
    said('spark/sjns-a-dev', 7, {
      '0.5': 1,
      '1': 2,
      '5': 3,
      '10': 3,
      '60000': 4,
      '300000': 8,
      '+Inf': 9,
    }),
    said('spark/sjns-b-dev', 1, { '+Inf': 0 }),
    said('other', 5, {}),
    'no metric at all',
  ].join('\n');
  const [a, b, ...more] = parseEnvoyCounts(text);
  t.deepEqual(more, []);
  t.like(a, { namespace: 'sjns-a-dev', method: 'ReleaseExecute', succeeded: 7, totalMs: 12.5 });
  const at = (ms: number) => a?.buckets[(DURATION_BUCKETS_MS as readonly number[]).indexOf(ms)];
  t.is(at(5), 3);
  t.is(at(10), 0);
  t.is(at(60_000), 1);
  t.is(at(120_000), 0, 'Envoy has no such bucket');
  t.is(at(300_000), 4);
  t.is(a?.buckets.at(-1), 1);
  t.like(b, { namespace: 'sjns-b-dev', succeeded: 1 });
});

test('an Envoy that does not answer is asked again, and what it said last is what is known', async (t) => {
  const clock = new ManualClock();
  const answers: (string | Error)[] = [
    said('spark/a', 1, {}),
    new Error('gone'),
    said('spark/a', 5, {}),
  ];
  const asked: (() => void)[] = [];
  const reader = new EnvoyCountsReader({
    adminUrl: 'http://127.0.0.1:9901',
    clock,
    logger: pino({ level: 'silent' }),
    read: () => {
      const answer = answers.shift();
      for (const tell of asked.splice(0)) tell();
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer ?? '');
    },
  });
  const look = async () => {
    const looked = new Promise<void>((resolve) => void asked.push(resolve));
    await clock.advance(5_000);
    await looked;
    await new Promise(setImmediate);
  };
  await new Promise(setImmediate);
  t.is(reader.current()[0]?.succeeded, 1);
  await look();
  t.is(reader.current()[0]?.succeeded, 1);
  await look();
  t.is(reader.current()[0]?.succeeded, 5);
  reader.close();
});
