import { randomUUID } from 'node:crypto';
import test from 'ava';
import { pino } from 'pino';
import { Reflector } from '../../src/lib/kubernetes/reflector.js';
import { systemClock } from '../../src/model/clock.js';
import { Load } from './load.js';
import { Replicas, startCluster } from './replicas.js';
import { sidecar } from './sidecar.js';

let cluster: Awaited<ReturnType<typeof startCluster>>;

test.before(async () => {
  cluster = await startCluster();
});
test.after.always(() => cluster?.stop());

test.serial(
  'of 50 sessions at once on a pool of exclusive drivers each gets one of its own, and none beyond the maximum is made',
  async (t) => {
    const pool = { size: 10, maximum: 30 };
    // Nothing here is about a change of the leader.
    const leaseMs = 20_000;
    const replicas = await Replicas.start(t, { server: cluster.server, pool, leaseMs });
    const load = new Load(t, replicas);
    const reporter = sidecar(t, replicas.all);
    let most = 0;
    const requested = new Reflector({
      api: cluster.server.admin(),
      path: `/apis/sparkoperator.k8s.io/v1alpha1/namespaces/${replicas.drivers}/sparkconnects`,
      keep: ({ metadata }) => metadata.name,
      clock: systemClock,
      logger: pino({ level: 'silent' }),
      onChange: () => {
        most = Math.max(most, requested.size);
      },
    });
    requested.start();
    t.teardown(() => requested.stop());

    const { controlPlane } = await replicas.leader();
    const full = controlPlane.until('to have given away all drivers', async () => {
      return load.sessions.length === pool.maximum && load.waits.has('POOL_EXHAUSTED');
    });
    await Promise.all(
      Array.from({ length: 50 }, async (_, first) => {
        const sessionId = randomUUID();
        await load.ask(sessionId, { first });
        await full;
        // Its driver is replaced, and whoever waits goes on.
        reporter.activity([{ sessionId, atMs: Date.now(), released: true }]);
      }),
    );
    await controlPlane.until('to refill its pool', () => replicas.hasAvailable(pool.size));
    t.deepEqual([...load.faults], []);
    t.is(load.sessions.length, 50);
    t.is(most, pool.maximum);
    t.log('clients were told to wait:', Object.fromEntries(load.waits));
  },
);
