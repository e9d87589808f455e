/** Nothing that the control plane changes while a stream runs cuts it. */
import { create } from '@bufbuild/protobuf';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { TypedExtensionConfigSchema } from '#gen/envoy/config/core/v3/extension_pb.js';
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js';
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { clusterName } from '../../src/model/names.js';
import { encodeResource } from '../../src/xds/resource.js';
import { cluster } from '../../src/envoy/clusters.js';
import { extAuthz } from '../../src/envoy/http-filters.js';
import { routes } from '../../src/envoy/routes.js';
import { certificateSecret, trustSecret } from '../../src/envoy/certificates.js';
import { ResourceNames } from '../../src/envoy/settings.js';
import { TestAuthority } from '../support/certificates.js';
import { type Front, routable, startFront, testSettings } from '../support/front.js';
import { RunningQuery } from '../support/running-query.js';
import { allow } from '../support/scripted-authz.js';
import { SparkDriver } from '../support/spark-driver.js';
import { unusedAddress } from '../support/loopback.js';

const test = anyTest as TestFn<{ front: Front; driver: SparkDriver; other: SparkDriver }>;

const authority = new TestAuthority();

function secret(name: string) {
  const { certificatePem, keyPem } = authority.issue({ commonName: name, dnsNames: ['localhost'] });
  const value = certificateSecret(name, { certificate: certificatePem, key: keyPem });
  return encodeResource(SecretSchema, name, value);
}

test.before(async (t) => {
  t.context.driver = await SparkDriver.start('driver-1', await unusedAddress(), () => undefined);
  t.context.other = await SparkDriver.start('driver-2', await unusedAddress());
  t.context.front = await startFront({
    settings: { ...testSettings, listener: { ...testSettings.listener, tls: true } },
    resources: [
      secret(ResourceNames.frontCertificate),
      encodeResource(
        SecretSchema,
        ResourceNames.clientCa,
        trustSecret(ResourceNames.clientCa, undefined),
      ),
    ],
    clientTrust: authority.certificatePem,
    check: () => allow(routable(t.context.driver)),
  });
  await t.context.front.publish([routable(t.context.driver)]);
});

test.after.always(async (t) => {
  await t.context.front?.stop();
  await t.context.driver?.stop();
  await t.context.other?.stop();
});

/** A running query does not notice `change`. */
async function survives(
  t: ExecutionContext<{ front: Front; driver: SparkDriver }>,
  change: () => Promise<void>,
): Promise<void> {
  const { front, driver } = t.context;
  const query = await RunningQuery.start(front.client(), driver);
  await change();
  await query.endsWell(t);
}

test.serial('drivers come, drain and go, even the stream’s own', async (t) => {
  const { front, driver, other } = t.context;
  await survives(t, async () => {
    await front.publish([routable(driver), routable(other)]);
    await front.publish([routable(driver, true), routable(other)]);
    await front.publish([routable(other)]);
  });
  await front.publish([routable(driver)]);
});

test.serial('routes', async (t) => {
  const { front } = t.context;
  const changed = create(RouteConfigurationSchema, {
    ...routes({ ...testSettings, authz: { ...testSettings.authz, longestHoldMs: 1000 } }),
  });
  await survives(t, () =>
    front.update([encodeResource(RouteConfigurationSchema, ResourceNames.routes, changed)]),
  );
});

test.serial('the authz filter, and the change is in force on open connections', async (t) => {
  const { front, driver } = t.context;
  const client = front.client();
  const asked = async (): Promise<string | undefined> => {
    const arrived = driver.nextCall();
    const answered = client.ask('Config', { 'x-tenant': 'seen' });
    const call = await arrived;
    await call.halfClosed;
    call.end();
    await answered;
    return front.authz.requests.at(-1)?.attributes?.request?.http?.headers['x-tenant'];
  };
  t.is(await asked(), undefined);
  const changed = extAuthz({ ...testSettings.authz, headers: ['x-tenant'] });
  await survives(t, () =>
    front.update([encodeResource(TypedExtensionConfigSchema, ResourceNames.extAuthz, changed)]),
  );
  t.is(await asked(), 'seen');
});

test.serial('the settings of the stream’s own cluster', async (t) => {
  const { front, driver } = t.context;
  const { namespace } = routable(driver);
  const changed = cluster(namespace, { ...testSettings.drivers, connectTimeoutMs: 777 });
  await survives(t, () =>
    front.update([encodeResource(ClusterSchema, clusterName(namespace), changed)]),
  );
});

test.serial('the front’s certificate, and new connections get the new one', async (t) => {
  const { front } = t.context;
  const renewed = secret(ResourceNames.frontCertificate);
  const before = await front.servedCertificate();
  await survives(t, () => front.update([renewed]));
  t.not(await front.servedCertificate(), before);
});
