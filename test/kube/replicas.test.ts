import { randomUUID } from 'node:crypto';
import test from 'ava';
import { Load } from './load.js';
import { Replicas, startCluster } from './replicas.js';

let cluster: Awaited<ReturnType<typeof startCluster>>;

test.before(async () => {
  cluster = await startCluster();
});
test.after.always(() => cluster?.stop());

test.serial('of three replicas two leaders are killed under load: clients only wait', async (t) => {
  const replicas = await Replicas.start(t, { server: cluster.server, count: 3 });
  const load = new Load(t, replicas);
  // Each of them is asked; those that follow pass it on.
  await Promise.all(load.open(6));
  load.begin(20);
  let alive = replicas.all;
  for (const turn of ['first', 'second']) {
    const leader = await replicas.leader(alive);
    alive = alive.filter((one) => one !== leader);
    const opening = load.open(8);
    await Promise.race(opening);
    await leader.controlPlane.kill();
    const killedMs = performance.now();
    await replicas.leader(alive);
    t.log(`the ${turn} leader was replaced after ${Math.round(performance.now() - killedMs)} ms`);
    await Promise.all(opening);
  }
  await load.end();
  const [last] = alive;
  t.is(last, await replicas.leader(alive));
  if (last) await load.askForAll(last);
  load.compare(await replicas.records());
  t.deepEqual([...load.faults], []);
  t.is(load.sessions.length, 22);
  t.log('clients were told to wait:', Object.fromEntries(load.waits));
});

test.serial('a leader that stood still past its lease answers nothing of its own', async (t) => {
  const replicas = await Replicas.start(t, { server: cluster.server });
  const load = new Load(t, replicas);
  await Promise.all(load.open(3));
  load.begin(10);
  const leader = await replicas.leader();
  const { controlPlane: old } = leader;

  // Some are under way when it stops, others are sent to it while it stands still.
  const opening = load.open(8);
  await Promise.race(opening);
  await old.signal('SIGSTOP');
  t.teardown(() => old.signal('SIGCONT'));
  const contested = Array.from({ length: 6 }, () => randomUUID());
  const asked = contested.map((id) => load.askOnly(leader, id));
  const next = await replicas.leader(replicas.others(leader));
  const at = { first: replicas.all.indexOf(next) };
  await Promise.all([...opening, ...contested.map((id) => load.ask(id, at))]);
  const answeredByOld = old.logged('session assigned').length;

  await old.signal('SIGCONT');
  await Promise.all([...asked, ...load.open(4)]);
  await old.until('to follow', async () => {
    const { replica } = await old.status();
    return !replica.leads && replica.leader === (await next.controlPlane.status()).replica.leader;
  });
  await load.end();
  for (const replica of replicas.all) await load.askForAll(replica);
  load.compare(await replicas.records());
  t.deepEqual([...load.faults], []);
  t.is(old.logged('session assigned').length, answeredByOld);
});

test.serial('a leader that cannot reach the API server alone is replaced, twice', async (t) => {
  const replicas = await Replicas.start(t, { server: cluster.server });
  const load = new Load(t, replicas);
  load.begin(10);
  for (const disturb of ['stall', 'cut'] as const) {
    const leader = await replicas.leader();
    const opening = load.open(7);
    await Promise.race(opening);
    leader.proxy[disturb]();
    const next = await replicas.leader(replicas.others(leader));
    await Promise.all([...opening, ...load.open(4)]);
    // What it had sent arrives only now.
    leader.proxy.heal();
    const { replica } = await next.controlPlane.status();
    await leader.controlPlane.until('to follow', async () => {
      return (await leader.controlPlane.status()).replica.leader === replica.leader;
    });
  }
  await load.end();
  for (const replica of replicas.all) await load.askForAll(replica);
  load.compare(await replicas.records());
  t.deepEqual([...load.faults], []);
  t.is(load.sessions.length, 22);
});
