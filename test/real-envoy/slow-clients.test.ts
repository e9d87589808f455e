/** Clients that connect and say nothing, or say it slowly, keep nobody else out. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { GrpcStatus } from '../../src/model/errors.js';
import { SPARK_CONNECT_SERVICE } from '../../src/model/names.js';
import { encodeResource } from '../../src/xds/resource.js';
import { certificateSecret, trustSecret } from '../../src/envoy/certificates.js';
import { type ListenerSettings, ResourceNames } from '../../src/envoy/settings.js';
import { TestAuthority } from '../support/certificates.js';
import {
  type Front,
  type FrontOptions,
  LOOPBACK,
  routable,
  startFront,
  testSettings,
} from '../support/front.js';
import { allow } from '../support/scripted-authz.js';
import { answerUid, SparkDriver } from '../support/spark-driver.js';
import { unusedPort } from '../support/unused-port.js';
import { unusedAddress } from '../support/loopback.js';

/** Whose sockets say nothing; and whoever else comes. */
const SILENT = await unusedAddress();
const ANOTHER = await unusedAddress();

/** RFC 9113 section 3.4, with empty SETTINGS. */
const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

async function setUp(
  t: ExecutionContext,
  listener: Partial<ListenerSettings>,
  options: Pick<FrontOptions, 'bootstrap' | 'resources'> = {},
) {
  const driver = await SparkDriver.start('driver-1', await unusedAddress(), (call, self) => {
    if (call.method !== 'ExecutePlan') answerUid(call, self);
  });
  t.teardown(() => driver.stop());
  const front = await startFront({
    settings: {
      ...testSettings,
      listener: { ...testSettings.listener, handshakeMs: 1_500, ...listener },
      authz: { ...testSettings.authz, longestHoldMs: 300, marginMs: 300, firstMessageMs: 500 },
    },
    ...options,
  });
  t.teardown(() => front.stop());
  await front.publish([routable(driver)]);
  front.authz.check = () => allow(routable(driver));
  return { front, driver };
}

interface Peer {
  readonly socket: Socket;
  /** Resolves when Envoy has closed it. */
  readonly ended: Promise<unknown>;
}

async function openSocket(t: ExecutionContext, front: Front, localAddress: string): Promise<Peer> {
  const [host, port] = front.address.split(':');
  const socket = connect({ host, port: Number(port), localAddress });
  t.teardown(() => socket.destroy());
  const ended = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'connect');
  return { socket, ended };
}

function openSockets(t: ExecutionContext, front: Front, count: number, from: string) {
  return Promise.all(Array.from({ length: count }, () => openSocket(t, front, from)));
}

/** Whether a client at this address gets an answer. */
async function isServed(front: Front, localAddress: string): Promise<boolean> {
  const [host, port] = front.address.split(':');
  const session = connectHttp2(`http://${front.address}`, {
    createConnection: () => connect({ host, port: Number(port), localAddress }),
  });
  const failed = new Promise<false>((resolve) => {
    session.once('error', () => resolve(false));
    session.once('close', () => resolve(false));
  });
  const request = session.request({
    ':method': 'POST',
    ':path': `/${SPARK_CONNECT_SERVICE}/Config`,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  request.on('error', () => undefined);
  request.resume();
  request.end(Buffer.from([0, 0, 0, 0, 0]));
  const answered = once(request, 'response').then(
    () => true,
    () => false,
  );
  const served = await Promise.race([answered, failed]);
  session.destroy();
  return served;
}

test('hundreds of connections that say nothing are closed, and clients are served meanwhile', async (t) => {
  const { front } = await setUp(t, {});
  const silent = await openSockets(t, front, 300, SILENT);
  t.is((await front.client().ask('Config')).code, GrpcStatus.OK);
  await Promise.all(silent.map(({ ended }) => ended));
  t.is(await front.envoy.stat('http.front.downstream_cx_active'), 1);
});

test('a beginning of what HTTP/2 begins with is not enough', async (t) => {
  const { front } = await setUp(t, {});
  const { socket, ended } = await openSocket(t, front, SILENT);
  socket.write(PREFACE.subarray(0, 10));
  await ended;
  t.pass();
});

test('a connection that is begun and has no request ends; one with a request does not', async (t) => {
  const { front, driver } = await setUp(t, { idleMs: 1_000 });
  const arrived = driver.nextCall();
  const rpc = front.client().open('ExecutePlan');
  rpc.send('plan');
  rpc.halfClose();
  const call = await arrived;
  const { socket, ended } = await openSocket(t, front, SILENT);
  socket.write(PREFACE);
  await ended;
  // The client's connection had no more to say than the other, but for its request.
  call.send('still here');
  t.deepEqual(await rpc.messages(1), ['still here']);
  rpc.cancel();
});

test('as many silent connections as there may be keep others out for a moment only, and never the probes', async (t) => {
  const [admin, health] = [await unusedPort(LOOPBACK), await unusedPort(LOOPBACK)];
  const limit = 20;
  const { front } = await setUp(
    t,
    {},
    {
      bootstrap: {
        admin: { host: LOOPBACK, port: admin },
        health: { host: LOOPBACK, port: health },
        downstreamConnections: limit,
      },
    },
  );
  const probe = async (path: string, method = 'GET') => {
    const response = await fetch(`http://${LOOPBACK}:${health}${path}`, { method });
    return { status: response.status, text: await response.text() };
  };
  const silent = await openSockets(t, front, limit, SILENT);
  t.false(await isServed(front, ANOTHER));
  t.like(await probe('/healthz'), { status: 200, text: 'ok\n' });
  t.is((await probe('/readyz')).status, 200);
  t.regex((await probe('/metrics')).text, /envoy_http_downstream_cx_active/);
  await Promise.all(silent.map(({ ended }) => ended));
  while (!(await isServed(front, ANOTHER)));

  await front.envoy.admin('/healthcheck/fail', 'POST');
  t.is((await probe('/readyz')).status, 503);
  t.is((await probe('/healthz')).status, 200);
  await front.envoy.admin('/healthcheck/ok', 'POST');
  for (const path of ['/', '/quitquitquit', '/config_dump', '/stats', '/metrics?filter=.*']) {
    t.is((await probe(path)).status, 404, path);
    t.is((await probe(path, 'POST')).status, 404, path);
  }
  t.is((await probe('/metrics', 'POST')).status, 404);
});

test('one address cannot take the room of all', async (t) => {
  const { front } = await setUp(t, { maxConnectionsPerAddress: 5 });
  const greedy = await openSockets(t, front, 20, SILENT);
  for (const { socket } of greedy) socket.write(PREFACE);
  // Those that are over the limit are closed.
  const closed = greedy.map(({ ended }, at) => ended.then(() => at));
  await Promise.race(closed);
  while ((await front.envoy.stat('connection_limit.per_address.limited_connections')) < 15);
  t.false(await isServed(front, SILENT));
  const others = await Promise.all(Array.from({ length: 16 }, () => unusedAddress()));
  const served = await Promise.all(others.map((address) => isServed(front, address)));
  // Some share the group of the greedy one.
  t.true(served.filter(Boolean).length >= 12);
});

test('a first message that comes byte by byte is ended by a limit that no byte moves', async (t) => {
  const { front } = await setUp(t, {});
  const asked = front.authz.requests.length;
  const session = connectHttp2(`http://${front.address}`);
  t.teardown(() => session.destroy());
  const request = session.request({
    ':method': 'POST',
    ':path': `/${SPARK_CONNECT_SERVICE}/AddArtifacts`,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const trickle = setInterval(() => request.write(Buffer.from([0])), 50);
  t.teardown(() => clearInterval(trickle));
  request.resume();
  const [headers] = (await once(request, 'response')) as [Record<string, string>];
  t.is(Number(headers['grpc-status']), GrpcStatus.DEADLINE_EXCEEDED);
  t.regex(headers['grpc-message'] ?? '', /first message .* did not come in time/);
  t.is(front.authz.requests.length, asked);
});

test('the limit is over for a request that has a driver', async (t) => {
  const { front, driver } = await setUp(t, {});
  const arrived = driver.nextCall();
  const rpc = front.client().open('ExecutePlan');
  rpc.send('plan');
  rpc.halfClose();
  const call = await arrived;
  // Envoy tells of a running request each 200 ms, and the limit is 1.4 s.
  while ((await front.envoy.stat('access_logs.grpc_access_log.logs_written')) < 12);
  call.send('later');
  t.deepEqual(await rpc.messages(1), ['later']);
  rpc.cancel();
});

test('TLS: who does not finish the handshake, or says nothing after it, is closed', async (t) => {
  const authority = new TestAuthority();
  const { certificatePem, keyPem } = authority.issue({
    commonName: 'localhost',
    dnsNames: ['localhost'],
  });
  const certificate = certificateSecret(ResourceNames.frontCertificate, {
    certificate: certificatePem,
    key: keyPem,
  });
  const { front } = await setUp(
    t,
    { tls: true, idleMs: 1_000 },
    {
      resources: [
        encodeResource(SecretSchema, ResourceNames.frontCertificate, certificate),
        encodeResource(
          SecretSchema,
          ResourceNames.clientCa,
          trustSecret(ResourceNames.clientCa, undefined),
        ),
      ],
    },
  );
  const silent = await openSocket(t, front, SILENT);
  const halfWay = await openSocket(t, front, SILENT);
  // The head of a record that holds a ClientHello, and nothing of it (RFC 8446 section 5.1).
  halfWay.socket.write(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]));
  await Promise.all([silent.ended, halfWay.ended]);

  const [host, port] = front.address.split(':');
  const options = { host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ['h2'] };
  const secured = connectTls(options);
  t.teardown(() => secured.destroy());
  secured.on('error', () => undefined);
  secured.resume();
  await once(secured, 'secureConnect');
  await once(secured, 'close');
  t.pass();
});
