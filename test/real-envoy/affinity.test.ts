/** A request reaches the driver that authz stamped, or none. */
import anyTest, { type TestFn } from 'ava';
import { GrpcStatus } from '../../src/model/errors.js';
import { type Front, LOOPBACK, routable, startFront } from '../support/front.js';
import { allow } from '../support/scripted-authz.js';
import { SparkDriver } from '../support/spark-driver.js';
import { unusedAddress } from '../support/loopback.js';

const test = anyTest as TestFn<{ front: Front; drivers: readonly SparkDriver[] }>;

test.before(async (t) => {
  const uids = Array.from({ length: 8 }, (_, i) => `driver-${i}`);
  t.context.drivers = await Promise.all(
    uids.map(async (uid) => SparkDriver.start(uid, await unusedAddress())),
  );
  t.context.front = await startFront();
});

test.after.always(async (t) => {
  await t.context.front?.stop();
  await Promise.all((t.context.drivers ?? []).map((driver) => driver.stop()));
});

/** The header that names the driver to send a request to. */
const WANTED = 'x-doordash-user';

function stampAsAsked(front: Front, drivers: readonly SparkDriver[]): void {
  front.authz.check = ({ attributes }) => {
    const uid = attributes?.request?.http?.headers[WANTED];
    const driver = drivers.find((candidate) => candidate.uid === uid);
    if (!driver) throw new Error(`no driver ${uid}`);
    return allow(routable(driver));
  };
}

test.serial('40 of 40 requests reach exactly the driver they were stamped for', async (t) => {
  const { front, drivers } = t.context;
  await front.publish(drivers.map((driver) => routable(driver)));
  stampAsAsked(front, drivers);
  const client = front.client();
  const wanted = Array.from({ length: 40 }, (_, i) => drivers[(i * 3) % drivers.length]?.uid ?? '');
  const answers = await Promise.all(wanted.map((uid) => client.ask('Config', { [WANTED]: uid })));
  t.deepEqual(
    answers.map(({ code, received }) => [code, received[0]]),
    wanted.map((uid) => [GrpcStatus.OK, uid]),
  );
});

test.serial(
  'when the driver has left, the client is told UNAVAILABLE and no other driver is asked',
  async (t) => {
    const { front, drivers } = t.context;
    const [left, ...others] = drivers;
    if (!left) throw new Error('no driver');
    await front.publish(others.map((driver) => routable(driver)));
    stampAsAsked(front, drivers);
    const before = others.map(({ calls }) => calls.length);
    const { code, details } = await front.client().ask('Config', { [WANTED]: left.uid });
    t.is(code, GrpcStatus.UNAVAILABLE);
    t.regex(details, /retry/);
    t.deepEqual(
      others.map(({ calls }) => calls.length),
      before,
    );
  },
);

test.serial('a session reaches its draining driver', async (t) => {
  const { front, drivers } = t.context;
  await front.publish(drivers.map((driver, i) => routable(driver, i < 4)));
  stampAsAsked(front, drivers);
  const client = front.client();
  for (const { uid } of drivers) {
    t.deepEqual((await client.ask('Config', { [WANTED]: uid })).received, [uid]);
  }
});

test.serial(
  'a session reaches its driver when every driver of the namespace is draining',
  async (t) => {
    const { front, drivers } = t.context;
    await front.publish(drivers.map((driver) => routable(driver, true)));
    stampAsAsked(front, drivers);
    const uid = drivers[2]?.uid ?? '';
    t.deepEqual((await front.client().ask('Config', { [WANTED]: uid })).received, [uid]);
  },
);

test.serial('an allowed request without a pin goes to no driver', async (t) => {
  const { front, drivers } = t.context;
  await front.publish(drivers.map((driver) => routable(driver)));
  front.authz.check = () => {
    const response = allow(routable(drivers[0] as SparkDriver));
    if (response.httpResponse.case !== 'okResponse') throw new Error('not allowed');
    response.httpResponse.value.headers.length = 2;
    return response;
  };
  t.is((await front.client().ask('Config')).code, GrpcStatus.UNAVAILABLE);
});

test.serial('forged internal headers reach neither authz nor the driver', async (t) => {
  const { front, drivers } = t.context;
  const [own, victim] = drivers;
  if (!own || !victim) throw new Error('no driver');
  await front.publish(drivers.map((driver) => routable(driver)));
  front.authz.check = () => allow(routable(own));
  const forged = {
    'x-spark-cluster': 'spark/sjns-search-prod',
    'x-spark-driver': `${victim.uid}_0`,
    'x-spark-pin': Buffer.from(`${LOOPBACK}:${victim.address.port}`).toString('base64'),
    'x-spark-principal': 'somebody-else',
    'X-Spark-Anything': 'x',
    'x-envoy-upstream-rq-timeout-ms': '1',
    'x-envoy-retry-on': '5xx',
    'x-request-id': 'chosen-by-the-client',
  };
  const { code, received } = await front.client().ask('Config', forged);
  t.is(code, GrpcStatus.OK);
  t.deepEqual(received, [own.uid]);
  const asked = front.authz.requests.at(-1)?.attributes?.request?.http?.headers ?? {};
  t.deepEqual(
    Object.keys(asked).filter((name) => name.startsWith('x-spark-')),
    [],
  );
  const { headers } = own.calls.at(-1) ?? {};
  t.is(headers?.['x-spark-driver'], `${own.uid}_0`);
  for (const name of ['x-spark-principal', 'x-spark-anything', 'x-envoy-retry-on']) {
    t.is(headers?.[name], undefined, name);
  }
  t.not(headers?.['x-request-id'], forged['x-request-id']);
});

test.serial('nothing that Envoy was sent is deprecated or refused', (t) => {
  const { front } = t.context;
  t.deepEqual(front.envoy.complaints(), []);
});

test.serial('authz gets the first bytes of the body and few headers', async (t) => {
  const { front, drivers } = t.context;
  await front.publish(drivers.map((driver) => routable(driver)));
  stampAsAsked(front, drivers);
  const [{ uid } = { uid: '' }] = drivers;
  const message = 'm'.repeat(9000);
  const { code } = await front
    .client()
    .ask('ExecutePlan', { [WANTED]: uid, authorization: 'Bearer t', 'x-other': 'o' }, message);
  t.is(code, GrpcStatus.OK);
  const http = front.authz.requests.at(-1)?.attributes?.request?.http;
  t.is(http?.rawBody.length, 4096);
  t.is(http?.headers['authorization'], 'Bearer t');
  t.is(http?.headers['x-other'], undefined);
  t.is(drivers[0]?.calls.at(-1)?.messages[0]?.length, message.length);
});

test('an Envoy that asks for the state of the world is served just the same', async (t) => {
  const driver = await SparkDriver.start('driver-sotw', await unusedAddress());
  t.teardown(() => driver.stop());
  const front = await startFront({
    adsProtocol: 'state-of-the-world',
    check: () => allow(routable(driver)),
  });
  t.teardown(() => front.stop());
  await front.publish([routable(driver)]);
  t.deepEqual((await front.client().ask('Config')).received, [driver.uid]);
  t.deepEqual(front.envoy.complaints(), []);
});
