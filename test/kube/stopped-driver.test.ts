import test from 'ava';
import { randomUUID } from 'node:crypto';
import { Load } from './load.js';
import { Replicas, startCluster } from './replicas.js';
import { sidecar } from './sidecar.js';

let cluster: Awaited<ReturnType<typeof startCluster>>;

test.before(async () => {
  cluster = await startCluster();
});
test.after.always(() => cluster?.stop());

test.serial('an idle driver that stands still is told and given to nobody', async (t) => {
  const { server, standIns } = cluster;
  const replicas = await Replicas.start(t, { server, pool: { size: 2, maximum: 4 } });
  sidecar(t, replicas.all);
  const { controlPlane } = await replicas.leader();
  const [stopped = ''] = (await replicas.records()).map(({ uid }) => uid);
  standIns.kubelet.standStill(stopped);
  await controlPlane.until('to notice', async () =>
    (await controlPlane.problems()).some(
      ({ kind, message }) => kind === 'driver_silent' && /does not answer within/.test(message),
    ),
  );
  const load = new Load(t, replicas);
  await Promise.all([randomUUID(), randomUUID()].map((id) => load.ask(id)));
  t.deepEqual([...load.faults], []);
  const used = (await replicas.records()).filter(({ tenant }) => tenant !== undefined);
  t.is(used.length, 2);
  t.false(used.some(({ uid }) => uid === stopped));
});

test.serial(
  'one that is given away just before it is noticed is given up, and its client told',
  async (t) => {
    const { server, standIns } = cluster;
    const replicas = await Replicas.start(t, { server, count: 1, pool: { size: 1, maximum: 2 } });
    sidecar(t, replicas.all);
    const { controlPlane } = await replicas.leader();
    const [stopped = ''] = (await replicas.records()).map(({ uid }) => uid);
    standIns.kubelet.standStill(stopped);
    const load = new Load(t, replicas);
    const id = randomUUID();
    await load.ask(id);
    await controlPlane.until('to end the session', async () =>
      (await replicas.records()).some(({ tombstones }) => tombstones[id]?.end === 'driver_gone'),
    );
    await load.ask(id, { mayCreate: false });
    t.regex([...load.faults].join(), /SESSION_ENDED .*its Spark driver is gone/);
  },
);
