/** Who Envoy believes, and what it shows. */
import { X509Certificate } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { GrpcStatus } from '../../src/model/errors.js';
import { encodeResource } from '../../src/xds/resource.js';
import { certificateSecret, trustSecret } from '../../src/xds/resources/secrets.js';
import { ResourceNames } from '../../src/xds/resources/settings.js';
import { TestAuthority } from '../support/certificates.js';
import { type FrontOptions, routable, startFront, testSettings } from '../support/front.js';
import { allow } from '../support/scripted-authz.js';
import { answerUid, SparkDriver } from '../support/spark-driver.js';

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
  const { front } = await setUp(t, '127.1.2.40', {
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
  const { front } = await setUp(t, '127.1.2.41', {
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
  const { front } = await setUp(t, '127.1.2.42', {
    settings: testSettings,
    controlPlaneAuthority: new TestAuthority('control plane'),
  });
  t.deepEqual((await front.client().ask('Config')).received, ['driver-1']);
  await front.activity.next(({ id }) => id === 'a-session');
});

test('Envoy shows its certificate to drivers and believes only those it was told to', async (t) => {
  const authority = new TestAuthority('drivers');
  const start = async (uid: string, address: string, dnsName: string) => {
    const issued = authority.issue({ commonName: uid, dnsNames: [dnsName] });
    const driver = await SparkDriver.start(uid, address, answerUid, {
      certificate: issued.certificatePem,
      key: issued.keyPem,
      clientAuthority: authority.certificatePem,
    });
    t.teardown(() => driver.stop());
    return driver;
  };
  const own = await start('driver-1', '127.1.2.43', 'spark-driver.test');
  const impostor = await start('driver-2', '127.1.2.44', 'somebody-else.test');
  const front = await startFront({
    settings: { ...testSettings, drivers: { ...testSettings.drivers, tls: true } },
    resources: [
      pair(authority, ResourceNames.driverClientCertificate, 'gateway.test'),
      trust(ResourceNames.driverCa, authority, ['spark-driver.test']),
    ],
  });
  t.teardown(() => front.stop());
  await front.publish([routable(own), routable(impostor)]);
  const client = front.client();
  front.authz.check = () => allow(routable(own));
  t.deepEqual((await client.ask('Config')).received, ['driver-1']);
  front.authz.check = () => allow(routable(impostor));
  t.is((await client.ask('Config')).code, GrpcStatus.UNAVAILABLE);
  t.is(impostor.calls.length, 0);
});
