/** What Envoy's access log tells of the RPCs that run through it. */
import anyTest, { type TestFn } from 'ava';
import { setImmediate as turn } from 'node:timers/promises';
import { GrpcStatus } from '../../src/model/errors.js';
import { type Front, routable, startFront, testSettings } from '../support/front.js';
import { allow, refuse } from '../support/scripted-authz.js';
import { SparkDriver } from '../support/spark-driver.js';
import { unusedAddress } from '../support/loopback.js';

const test = anyTest as TestFn<{ front: Front; driver: SparkDriver; quiet: SparkDriver }>;

test.before(async (t) => {
  t.context.driver = await SparkDriver.start('driver-1', await unusedAddress());
  t.context.quiet = await SparkDriver.start('driver-2', await unusedAddress(), () => undefined);
  t.context.front = await startFront();
  await t.context.front.publish([routable(t.context.driver), routable(t.context.quiet)]);
});

test.after.always(async (t) => {
  await t.context.front?.stop();
  await t.context.driver?.stop();
  await t.context.quiet?.stop();
});

test.serial('a released session is told once the driver has answered with OK', async (t) => {
  const { front, driver } = t.context;
  front.authz.check = () => allow(routable(driver), 'to-release');
  await front.client().ask('ReleaseSession');
  await front.activity.next(({ kind, id }) => kind === 'released' && id === 'to-release');
  t.true(front.activity.events.some(({ kind }) => kind === 'connected'));
});

test.serial(
  'a running stream is told before it ends, and its end, with an audit line',
  async (t) => {
    const { front, quiet } = t.context;
    front.authz.check = () => allow(routable(quiet), 'long');
    const rpc = front.client().open('ExecutePlan');
    const arrived = quiet.nextCall();
    rpc.send('plan');
    rpc.halfClose();
    const call = await arrived;
    const opened = await front.activity.next(({ kind, id }) => kind === 'opened' && id === 'long');
    t.regex(opened.streamId ?? '', /^envoy-1\//);
    t.false(front.activity.events.some(({ kind }) => kind === 'closed'));
    call.send('row');
    call.end();
    t.is((await rpc.status).code, GrpcStatus.OK);
    const closed = await front.activity.next(({ kind, id }) => kind === 'closed' && id === 'long');
    t.is(closed.streamId, opened.streamId);
    t.like(
      front.auditLog.find(({ session }) => session === 'long'),
      {
        method: 'ExecutePlan',
        principal: 'ada@example.com',
        team: 'search',
        environment: 'test',
        driver: 'driver-2',
        grpcStatus: 0,
      },
    );
  },
);

test.serial(
  'a query is seen to run within two seconds, however rarely it is told of',
  async (t) => {
    const { quiet } = t.context;
    const { listener } = testSettings;
    const front = await startFront({
      settings: { ...testSettings, listener: { ...listener, accessLogIntervalMs: 600_000 } },
      check: () => allow(routable(quiet), 'long'),
    });
    t.teardown(() => front.stop());
    await front.publish([routable(quiet)]);
    const arrived = quiet.nextCall();
    const rpc = front.client().open('ExecutePlan');
    rpc.send('plan');
    rpc.halfClose();
    const call = await arrived;
    const arrivedMs = performance.now();
    const opened = await front.activity.next(({ kind }) => kind === 'opened');
    t.is(opened.id, 'long');
    t.true(performance.now() - arrivedMs < 2_000);
    call.send('row');
    call.end();
    const closed = await front.activity.next(({ kind }) => kind === 'closed');
    t.is(closed.streamId, opened.streamId);
    t.is(front.auditLog.length, 1);
  },
);

test.serial('a refused request is audited with its reason and is no activity', async (t) => {
  const { front, driver } = t.context;
  front.authz.check = () => refuse(GrpcStatus.PERMISSION_DENIED, 'not yours', 'SESSION_OF_ANOTHER');
  const client = front.client();
  await client.ask('AnalyzePlan');
  front.authz.check = () => allow(routable(driver), 'after');
  await client.ask('Config');
  await front.activity.next(({ id }) => id === 'after');
  t.like(
    front.auditLog.find(({ method }) => method === 'AnalyzePlan'),
    { refusal: 'SESSION_OF_ANOTHER', grpcStatus: GrpcStatus.PERMISSION_DENIED },
  );
});

test.serial(
  'a query is known by the id that authz was told, which no client chooses',
  async (t) => {
    const { front, driver, quiet } = t.context;
    const idOf = () => {
      const { attributes } = front.authz.requests.at(-1) ?? {};
      return attributes?.request?.http?.headers['x-request-id'] ?? '';
    };
    const told = async (kind: 'running' | 'ended', requestId: string) => {
      const isSo = () =>
        front.queries.events.some(([what, of]) =>
          what === 'running'
            ? kind === what && of.requestId === requestId
            : kind === what && of === requestId,
        );
      while (!isSo()) await turn();
    };
    front.authz.check = () => allow(routable(quiet), 'counted');
    const arrived = quiet.nextCall();
    const rpc = front.client().open('ExecutePlan', { 'x-request-id': 'chosen' });
    rpc.send('plan');
    rpc.halfClose();
    const call = await arrived;
    const running = idOf();
    t.not(running, 'chosen');
    await told('running', running);
    call.send('row');
    call.end();
    await told('ended', running);

    // One that goes away while authz holds it back: nobody knew whose it was.
    const held = new Promise<void>((resolve) => {
      front.authz.check = () => {
        resolve();
        return new Promise(() => undefined);
      };
    });
    const given = front.client().open('ExecutePlan');
    given.send('plan');
    given.halfClose();
    await held;
    given.cancel();
    await told('ended', idOf());
    front.authz.check = () => allow(routable(driver));
  },
);

test.serial('the end of a connection is told, by the name that its requests had', async (t) => {
  const { front, driver } = t.context;
  front.authz.check = () => allow(routable(driver), 'leaves');
  const client = front.client();
  await client.ask('Config');
  const used = await front.activity.connection((told) => told.startsWith('leaves used '));
  const name = used.slice('leaves used '.length);
  t.regex(name, /^envoy-1\/127\.\d+\.\d+\.\d+ \d+$/);
  client.close();
  t.is(await front.activity.connection((told) => told === `ended ${name}`), `ended ${name}`);
});
