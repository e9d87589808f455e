import test from 'ava';
import { Load, requestOf } from './load.js';
import { Replicas, startCluster } from './replicas.js';
import { RoutedDrivers } from './routed-drivers.js';
import { sidecar, untilFollowed } from './sidecar.js';

let cluster: Awaited<ReturnType<typeof startCluster>>;

test.before(async () => {
  cluster = await startCluster(undefined, { isOwn: true });
});
test.after.always(() => cluster?.stop());

test.serial(
  'while the API server is away and its history is lost running sessions go on, and new ones wait',
  async (t) => {
    const { server } = cluster;
    const replicas = await Replicas.start(t, { server });
    const load = new Load(t, replicas);
    await Promise.all(load.open(3));
    const leader = await replicas.leader();
    const [follower] = replicas.others(leader);
    if (!follower) throw new Error('there is one replica only');
    const before = await replicas.records();
    const envoys = replicas.all.map((one) => new RoutedDrivers(one.controlPlane, replicas.drivers));
    t.teardown(() => envoys.forEach((envoy) => envoy.close()));
    const inUse = before.filter(({ phase }) => phase === 'in_use');
    await Promise.all(envoys.map((envoy) => envoy.shows(inUse.map(({ address }) => address))));
    const authz = sidecar(t, [leader, follower]);
    const [known = ''] = load.sessions;
    const request = requestOf(known, replicas.drivers);
    const { signal } = new AbortController();
    await untilFollowed(leader, 1);
    const assigned = await authz.assign(request, signal);

    // The follower misses what happens, and cannot be told of it later.
    follower.proxy.cut();
    await Promise.all(load.open(2));
    await server.compact();
    await server.killApiServer();
    const opening = load.open(3);
    await leader.controlPlane.until('not to lead', async () => {
      return !(await leader.controlPlane.isLeading());
    });
    t.deepEqual(await authz.assign({ ...request, holdMs: 0 }, signal), assigned);
    t.is(load.sessions.length, 5);

    await server.startApiServer();
    follower.proxy.heal();
    await Promise.all(opening);
    await follower.controlPlane.until('to know every session', async () => {
      const sessions = new Set((await follower.controlPlane.sessions()).map(({ id }) => id));
      return load.sessions.every((id) => sessions.has(id));
    });
    for (const replica of replicas.all) await load.askForAll(replica);
    const after = await replicas.records();
    load.compare(after);
    t.deepEqual([...load.faults], []);
    for (const { uid } of inUse) {
      t.is(after.find((record) => record.uid === uid)?.phase, 'in_use');
    }
    t.deepEqual(
      envoys.flatMap(({ withdrawn }) => withdrawn),
      [],
    );
  },
);
