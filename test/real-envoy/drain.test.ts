/** An Envoy that is told to drain, as a pod's preStop and `start` do. */
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../src/model/clock.js';
import { drainEnvoy } from '../../src/processes/start.js';
import { routable, startFront } from '../support/front.js';
import { RunningQuery } from '../support/running-query.js';
import { allow } from '../support/scripted-authz.js';
import { SparkDriver } from '../support/spark-driver.js';
import { unusedAddress } from '../support/loopback.js';

/** A request on this connection is answered, and no further one is wanted. */
async function servedAndSentAway(t: ExecutionContext, session: ClientHttp2Session) {
  const goaway = once(session, 'goaway');
  const request = session.request({ ':path': '/unknown' });
  const [headers] = (await once(request, 'response')) as [{ ':status': number }];
  t.is(headers[':status'], 404);
  await goaway;
  request.resume();
}

test('an Envoy that drains: running streams go on, clients are told to go elsewhere with their next request', async (t) => {
  const driver = await SparkDriver.start('driver-1', await unusedAddress(), () => undefined);
  t.teardown(() => driver.stop());
  const front = await startFront({ check: () => allow(routable(driver)) });
  t.teardown(() => front.stop());
  await front.publish([routable(driver)]);
  const client = front.client();
  const query = await RunningQuery.start(client, driver);
  const idle = connect(`http://${front.address}`);
  await once(idle, 'remoteSettings');

  let ended = false;
  let drained: Promise<void> | undefined;
  const waitingFor = await new Promise<number>((onWaiting) => {
    drained = drainEnvoy({
      adminAddr: front.envoy.adminAddress,
      limitMs: 60_000,
      clock: systemClock,
      onWaiting,
    }).then(() => {
      ended = true;
    });
  });
  t.is(waitingFor, 1);
  await servedAndSentAway(t, idle);
  await servedAndSentAway(t, connect(`http://${front.address}`));
  t.false(ended, 'the drain waits for the stream');
  await query.endsWell(t);
  await drained;
});

test('an Envoy that is not there is not waited for', async (t) => {
  await drainEnvoy({
    adminAddr: { host: await unusedAddress(), port: 1 },
    limitMs: 60_000,
    clock: systemClock,
    onWaiting: () => t.fail(),
  });
  t.pass();
});
