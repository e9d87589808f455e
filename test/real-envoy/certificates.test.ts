/** Who Envoy believes, and what it shows. */
import { X509Certificate } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { GrpcStatus } from '../../src/model/errors.js';
import { encodeResource } from '../../src/xds/resource.js';
import { certificateSecret, trustSecret } from '../../src/envoy/certificates.js';
import { ResourceNames } from '../../src/envoy/settings.js';
import { TestAuthority } from '../support/certificates.js';
import { type FrontOptions, routable, startFront, testSettings } from '../support/front.js';
import { RunningQuery } from '../support/running-query.js';
import { allow } from '../support/scripted-authz.js';
import { answerUid, SparkDriver } from '../support/spark-driver.js';
import { unusedAddress } from '../support/loopback.js';

function pair(authority: TestAuthority, name: string, dnsName: string) {
  const { certificatePem, keyPem } = authority.issue({ commonName: name, dnsNames: [dnsName] });
  const value = certificateSecret(name, { certificate: certificatePem, key: keyPem });
  return encodeResource(SecretSchema, name, value);
}

function trust(name: string, authority: TestAuthority | undefined, dnsSans: string[] = []) {
  const value = trustSecret(name, authority?.certificatePem, { dnsSans });
  return encodeResource(SecretSchema, name, value);
}

const withTls = { ...testSettings, listener: { ...testSettings.listener, tls: true } };

async function setUp(t: ExecutionContext, address: string, options: FrontOptions) {
  const driver = await SparkDriver.start('driver-1', address);
  t.teardown(() => driver.stop());
  const front = await startFront({ ...options, check: () => allow(routable(driver)) });
  t.teardown(() => front.stop());
  await front.publish([routable(driver)]);
  return { driver, front };
}

test('a client certificate is optional, verified, and told to authz', async (t) => {
  const own = new TestAuthority('front');
  const clients = new TestAuthority('clients');
  const { front } = await setUp(t, await unusedAddress(), {
    settings: withTls,
    clientTrust: own.certificatePem,
    resources: [
      pair(own, ResourceNames.frontCertificate, 'localhost'),
      trust(ResourceNames.clientCa, clients),
    ],
  });
  const source = () => front.authz.requests.at(-1)?.attributes?.source;

  t.is((await front.client().ask('Config')).code, GrpcStatus.OK);
  t.is(source()?.certificate, '');

  const uri = 'spiffe://cluster.local/ns/jobs/sa/runner';
  const issued = clients.issue({ commonName: 'runner', uris: [uri] });
  t.is((await front.client(issued).ask('Config')).code, GrpcStatus.OK);
  t.is(source()?.principal, uri);
  const told = new X509Certificate(decodeURIComponent(source()?.certificate ?? ''));
  t.is(told.subjectAltName, `URI:${uri}`);

  const asked = front.authz.requests.length;
  const stranger = new TestAuthority('strangers').issue({ commonName: 'runner', uris: [uri] });
  t.is((await front.client(stranger).ask('Config')).code, GrpcStatus.UNAVAILABLE);
  t.is(front.authz.requests.length, asked);
});

test('without a client authority no certificate is asked for', async (t) => {
  const own = new TestAuthority();
  const { front } = await setUp(t, await unusedAddress(), {
    settings: withTls,
    clientTrust: own.certificatePem,
    resources: [
      pair(own, ResourceNames.frontCertificate, 'localhost'),
      trust(ResourceNames.clientCa, undefined),
    ],
  });
  const offered = new TestAuthority('strangers').issue({ commonName: 'x' });
  t.is((await front.client(offered).ask('Config')).code, GrpcStatus.OK);
  t.is(front.authz.requests.at(-1)?.attributes?.source?.certificate, '');
});

test('Envoy and the control plane speak mutual TLS', async (t) => {
  const { front } = await setUp(t, await unusedAddress(), {
    settings: testSettings,
    controlPlaneAuthority: new TestAuthority('control plane'),
  });
  t.deepEqual((await front.client().ask('Config')).received, ['driver-1']);
  await front.activity.next(({ id }) => id === 'a-session');
});

/** Drivers behind mutual TLS, and a front that is to reach them. */
async function withDriverTls(t: ExecutionContext) {
  const authority = new TestAuthority('drivers');
  const start = async (
    uid: string,
    address: string,
    { dnsName = 'spark-driver.test', signer = authority, handler = answerUid } = {},
  ) => {
    const issued = signer.issue({ commonName: uid, dnsNames: [dnsName] });
    const driver = await SparkDriver.start(uid, address, handler, {
      certificate: issued.certificatePem,
      key: issued.keyPem,
      clientAuthority: authority.certificatePem,
    });
    t.teardown(() => driver.stop());
    return driver;
  };
  const front = await startFront({
    settings: { ...testSettings, drivers: { ...testSettings.drivers, tls: true } },
    resources: [
      pair(authority, ResourceNames.driverClientCertificate, 'gateway.test'),
      trust(ResourceNames.driverCa, authority, ['spark-driver.test']),
    ],
  });
  t.teardown(() => front.stop());
  return { authority, start, front };
}

test('Envoy shows its certificate to drivers and believes only those it was told to', async (t) => {
  const { start, front } = await withDriverTls(t);
  const own = await start('driver-1', await unusedAddress());
  const impostor = await start('driver-2', await unusedAddress(), {
    dnsName: 'somebody-else.test',
  });
  const stranger = await start('driver-3', await unusedAddress(), {
    signer: new TestAuthority('other'),
  });
  await front.publish([routable(own), routable(impostor), routable(stranger)]);
  const client = front.client();
  front.authz.check = () => allow(routable(own));
  t.deepEqual((await client.ask('Config')).received, ['driver-1']);
  for (const refused of [impostor, stranger]) {
    front.authz.check = () => allow(routable(refused));
    t.is((await client.ask('Config')).code, GrpcStatus.UNAVAILABLE);
    t.is(refused.calls.length, 0);
  }
  // The audit line of an RPC is written with its event.
  await front.activity.next(() =>
    front.auditLog.some(({ details }) => /CERTIFICATE_VERIFY_FAILED/.test(details ?? '')),
  );
});

test('a driver that does not know who signed the gateway’s certificate takes nothing', async (t) => {
  const { start, front } = await withDriverTls(t);
  const driver = await start('driver-1', await unusedAddress());
  await front.update([
    pair(new TestAuthority('strangers'), ResourceNames.driverClientCertificate, 'gateway.test'),
  ]);
  await front.publish([routable(driver)]);
  front.authz.check = () => allow(routable(driver));
  t.is((await front.client().ask('Config')).code, GrpcStatus.UNAVAILABLE);
  t.is(driver.calls.length, 0);
});

test('the certificate for drivers is renewed: no stream is cut, new connections show the new one', async (t) => {
  const { authority, start, front } = await withDriverTls(t);
  const driver = await start('driver-1', await unusedAddress(), { handler: () => undefined });
  const late = await start('driver-2', await unusedAddress());
  await front.publish([routable(driver), routable(late)]);
  front.authz.check = () => allow(routable(driver));
  const client = front.client();
  const query = await RunningQuery.start(client, driver);

  await front.update([pair(authority, ResourceNames.driverClientCertificate, 'gateway.test')]);
  front.authz.check = () => allow(routable(late));
  t.is((await client.ask('Config')).code, GrpcStatus.OK);
  const [seen] = late.calls;
  t.truthy(query.call.peerSerial);
  t.truthy(seen?.peerSerial);
  t.not(seen?.peerSerial, query.call.peerSerial);
  await query.endsWell(t);
});
