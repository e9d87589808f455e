import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import test from 'ava';
import type { AssignmentsClient } from '../../src/authz/assignments/assignments-client.js';
import type { Assignment } from '../../src/model/assignment.js';
import { type ErrorCode, toGatewayError } from '../../src/model/errors.js';
import { CuttableProxy } from '../support/cuttable-proxy.js';
import { requestOf } from './load.js';
import { Replicas, startCluster } from './replicas.js';
import { sidecar, untilFollowed } from './sidecar.js';

const SIDECARS = 20;
const CUT_OFF = 2;
const RETRY_MS = 50;
let cluster: Awaited<ReturnType<typeof startCluster>>;

test.before(async () => {
  cluster = await startCluster();
});
test.after.always(() => cluster?.stop());

test.serial(
  '20 sidecars agree about sessions opened and ended anywhere, across a change of the leader',
  async (t) => {
    const replicas = await Replicas.start(t, {
      server: cluster.server,
      pool: { size: 6, maximum: 40 },
      cacheTtl: '15s',
    });
    const leader = await replicas.leader();
    const [next] = replicas.others(leader);
    if (!next) throw new Error('there is one replica only');
    const proxies = await Promise.all(
      replicas.all.map(({ controlPlane }) =>
        CuttableProxy.start(`http://${controlPlane.assignments}`),
      ),
    );
    t.teardown(() => proxies.forEach((proxy) => proxy.stop()));
    // Half of them begin at the follower.
    const near = Array.from({ length: SIDECARS - CUT_OFF }, (_, n) =>
      sidecar(t, n % 2 === 0 ? replicas.all : replicas.all.toReversed()),
    );
    const far = Array.from({ length: CUT_OFF }, () =>
      sidecar(
        t,
        replicas.all,
        proxies.map(({ address }) => address),
      ),
    );
    const all = [...near, ...far];
    await untilFollowed(leader, SIDECARS);

    const request = (id: string, mayCreate = false) => ({
      ...requestOf(id, replicas.drivers),
      mayCreate,
      holdMs: 30_000,
    });
    const opened = await Promise.all(
      all.map((one) => one.assign(request(randomUUID(), true), never())),
    );
    t.is(new Set(opened.map(({ driverUid }) => driverUid)).size, SIDECARS);
    const agreeOn = async ({ sessionId, driverUid }: Assignment) => {
      const answers = await Promise.all(all.map((one) => one.assign(request(sessionId), never())));
      t.deepEqual([...new Set(answers.map((answer) => answer.driverUid))], [driverUid]);
    };
    for (const assignment of opened) await agreeOn(assignment);

    await leader.controlPlane.kill();
    await replicas.leader([next]);
    await untilFollowed(next, SIDECARS);
    for (const assignment of opened) await agreeOn(assignment);

    const [ended, kept] = opened;
    if (!ended || !kept) throw new Error('no session was opened');
    for (const proxy of proxies) proxy.stall();
    near[0]?.activity([{ sessionId: ended.sessionId, atMs: Date.now(), released: true }]);
    const refuses = async (one: AssignmentsClient, id: string, code: ErrorCode) => {
      while ((await refusalOf(one.assign({ ...request(id), holdMs: 0 }, never()))) !== code) {
        await pause(RETRY_MS);
      }
    };
    await Promise.all(near.map((one) => refuses(one, ended.sessionId, 'SESSION_ENDED')));
    await Promise.all(near.map((one) => one.assign(request(kept.sessionId), never())));
    // What those that are cut off remember ends by time.
    await Promise.all(far.map((one) => refuses(one, kept.sessionId, 'CONTROL_PLANE_UNAVAILABLE')));
    for (const proxy of proxies) proxy.heal();
    await Promise.all(far.map((one) => refuses(one, ended.sessionId, 'SESSION_ENDED')));
    await agreeOn(kept);
  },
);

test.serial('sidecars of both replicas are told of an interrupt, whichever is asked', async (t) => {
  const replicas = await Replicas.start(t, {
    server: cluster.server,
    pool: { size: 1, maximum: 2 },
  });
  const leader = await replicas.leader();
  const heard: string[] = [];
  // Each asks and follows one replica: the one that leads, and the one that passes on.
  const sidecars = replicas.all.map((replica, index) => {
    const one = sidecar(t, [replica]);
    one.onInterrupt(({ tag }) => heard.push(`${index} heard ${tag}`));
    return one;
  });
  await untilFollowed(leader, sidecars.length);
  const principal = { issuer: 'https://idp.test', subject: 'ann' };
  for (const [index, one] of sidecars.entries()) {
    // A sidecar whose stream is younger than the count of it is told with the next.
    while (heard.length < sidecars.length) {
      heard.splice(0);
      await one.interrupt({ sessionId: randomUUID(), principal, tag: `from ${index}` });
    }
    t.deepEqual(heard.splice(0).toSorted(), [`0 heard from ${index}`, `1 heard from ${index}`]);
  }
});

function refusalOf(answer: Promise<Assignment>): Promise<ErrorCode | undefined> {
  return answer.then(
    () => undefined,
    (error: unknown) => toGatewayError(error).code,
  );
}

function never(): AbortSignal {
  return new AbortController().signal;
}
