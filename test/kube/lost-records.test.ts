import test from 'ava';
import { randomUUID } from 'node:crypto';
import type { DriverRecord } from '../../src/model/driver.js';
import { Load } from './load.js';
import { Replicas, startCluster } from './replicas.js';
import { sidecar } from './sidecar.js';

let cluster: Awaited<ReturnType<typeof startCluster>>;

test.before(async () => {
  cluster = await startCluster();
});
test.after.always(() => cluster?.stop());

function inOrder(records: readonly DriverRecord[]): readonly DriverRecord[] {
  return records.toSorted((a, b) => a.uid.localeCompare(b.uid));
}

test.serial('records that somebody deletes come back as they were', async (t) => {
  const { server } = cluster;
  const replicas = await Replicas.start(t, { server, pool: { size: 2, maximum: 6 } });
  sidecar(t, replicas.all);
  const load = new Load(t, replicas);
  const id = randomUUID();
  await load.ask(id, { first: 0 });
  const { controlPlane } = await replicas.leader();
  await controlPlane.until('to refill its pool', () => replicas.hasAvailable(2));
  const before = await replicas.records();
  const used = before.find(({ sessions }) => sessions[id] !== undefined);

  await server.admin().request({ method: 'DELETE', path: replicas.recordsPath });
  await controlPlane.until('to have written them again', async () => {
    const uids = new Set((await replicas.records()).map(({ uid }) => uid));
    return before.every(({ uid }) => uids.has(uid));
  });
  const after = await replicas.records();
  t.deepEqual(
    inOrder(after).map(({ uid, phase, tenant, sessions }) => [uid, phase, tenant, sessions]),
    inOrder(before).map(({ uid, phase, tenant, sessions }) => [uid, phase, tenant, sessions]),
  );
  t.truthy(after.find(({ uid }) => uid === used?.uid)?.sessions[id]);
  await load.ask(id, { first: 0 });
  t.deepEqual([...load.faults], []);
});
