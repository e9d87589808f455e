/** An Envoy beside a relay starts with its last configuration while no control plane answers. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChannelCredentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { systemClock } from '../../src/model/clock.js';
import { ResourceCache } from '../../src/xds/resource-cache.js';
import { XdsRelay } from '../../src/xds/relay/relay.js';
import { encodeResource, TypeUrl } from '../../src/xds/resource.js';
import { XdsFleet } from '../../src/envoy/fleet.js';
import { frontResources } from '../../src/envoy/listener.js';
import { certificateSecret, trustSecret } from '../../src/envoy/certificates.js';
import { ResourceNames } from '../../src/envoy/settings.js';
import { startXdsServer, type XdsServer } from '../../src/xds/xds-server.js';
import { TestAuthority } from '../support/certificates.js';
import { EnvoyProcess } from '../support/envoy.js';
import { LOOPBACK, routable, testSettings } from '../support/front.js';
import { RunningQuery } from '../support/running-query.js';
import { allow, ScriptedAuthz } from '../support/scripted-authz.js';
import { SparkClient } from '../support/spark-client.js';
import { SparkDriver } from '../support/spark-driver.js';
import { XdsTally } from '../support/xds-tally.js';
import { unusedPort } from '../support/unused-port.js';
import { unusedAddress } from '../support/loopback.js';

const VIEW = 'front';
const logger = pino({ level: 'silent' });
const authority = new TestAuthority();

/** A control plane that may come and go, a relay, and what an Envoy beside it needs. */
class Site {
  readonly cache = new ResourceCache();
  /** Of every control plane so far. */
  readonly tally = new XdsTally();
  readonly authz: ScriptedAuthz;
  readonly folder: string;
  readonly #xdsPort: number;
  #fleet: XdsFleet | undefined;
  #xds: XdsServer | undefined;
  #relay: XdsRelay | undefined;

  private constructor(authz: ScriptedAuthz, folder: string, xdsPort: number) {
    this.authz = authz;
    this.folder = folder;
    this.#xdsPort = xdsPort;
    const { certificatePem, keyPem } = authority.issue({
      commonName: 'front',
      dnsNames: ['localhost'],
    });
    const pair = certificateSecret(ResourceNames.frontCertificate, {
      certificate: certificatePem,
      key: keyPem,
    });
    const trust = trustSecret(ResourceNames.clientCa, undefined);
    const settings = { ...testSettings, listener: { ...testSettings.listener, tls: true } };
    this.cache.update(VIEW, {
      upserts: [
        ...frontResources(settings),
        encodeResource(SecretSchema, ResourceNames.frontCertificate, pair),
        encodeResource(SecretSchema, ResourceNames.clientCa, trust),
      ],
    });
  }

  static async start(t: ExecutionContext, driver: SparkDriver): Promise<Site> {
    const folder = mkdtempSync(join(tmpdir(), 'last-'));
    const authz = await ScriptedAuthz.start(join(folder, 'authz.sock'), () =>
      allow(routable(driver)),
    );
    const site = new Site(authz, folder, await unusedPort());
    t.teardown(async () => {
      await site.#relay?.close();
      await site.stopControlPlane();
      authz.stop();
      rmSync(folder, { recursive: true });
    });
    return site;
  }

  get file(): string {
    return join(this.folder, 'kept');
  }

  get relay(): XdsRelay {
    if (!this.#relay) throw new Error('no relay');
    return this.#relay;
  }

  async startRelay(): Promise<void> {
    await this.#relay?.close();
    this.#relay = await XdsRelay.start({
      address: { path: join(this.folder, 'xds.sock') },
      controlPlane: {
        address: `127.0.0.1:${this.#xdsPort}`,
        credentials: ChannelCredentials.createInsecure(),
      },
      file: this.file,
      clock: systemClock,
      logger,
    });
  }

  async startControlPlane(): Promise<XdsServer> {
    this.#xds = await startXdsServer({
      cache: this.cache,
      viewOf: () => ({ view: VIEW }),
      logger,
      address: { host: '127.0.0.1', port: this.#xdsPort },
      metrics: this.tally,
    });
    this.#fleet = new XdsFleet({
      cache: this.cache,
      revisions: this.#xds.hub,
      views: [{ name: VIEW, serves: () => true }],
      connections: testSettings.drivers,
      clock: systemClock,
      logger,
    });
    return this.#xds;
  }

  async stopControlPlane(): Promise<void> {
    this.#fleet?.close();
    await this.#xds?.close();
    this.#xds = undefined;
  }

  /** Resolves when Envoy has acknowledged the drivers. */
  async publish(...drivers: readonly SparkDriver[]): Promise<void> {
    const fleet = this.#fleet;
    const hub = this.#xds?.hub;
    if (!fleet || !hub) throw new Error('no control plane');
    fleet.publish(drivers.map((driver) => routable(driver)));
    await new Promise<void>((resolve) => {
      const look = () => {
        const subscribed = hub
          .nodes()
          .some(({ types }) =>
            types.some(({ typeUrl, names }) => typeUrl === TypeUrl.ENDPOINTS && names > 0),
          );
        if (subscribed && drivers.every(({ uid }) => fleet.knows(uid))) resolve();
      };
      hub.onAck(look);
      look();
    });
  }

  envoy(): Promise<EnvoyProcess> {
    const relay = { socketPath: join(this.folder, 'xds.sock') };
    return EnvoyProcess.start({
      nodeId: 'envoy-1',
      nodeCluster: 'test',
      admin: { host: LOOPBACK, port: 0 },
      health: { host: LOOPBACK, port: 0 },
      xds: { relay },
      adsProtocol: 'incremental',
      accessLog: [{ host: LOOPBACK, port: 1 }],
      controlPlaneTls: undefined,
      authz: { socketPath: join(this.folder, 'authz.sock') },
      heapBytes: 2 ** 30,
      downstreamConnections: 1000,
    });
  }

  async client(envoy: EnvoyProcess): Promise<SparkClient> {
    return new SparkClient(await envoy.listenerAddress(), {
      authority: authority.certificatePem,
    });
  }
}

test('Envoy and relay restart while every control plane is away; when one is back, no stream is cut', async (t) => {
  const driver = await SparkDriver.start('driver-1', await unusedAddress(), () => undefined);
  const late = await SparkDriver.start('driver-2', await unusedAddress());
  t.teardown(() => Promise.all([driver.stop(), late.stop()]));
  const site = await Site.start(t, driver);
  await site.startControlPlane();
  await site.startRelay();
  const first = await site.envoy();
  t.teardown(() => first.stop());
  await site.publish(driver);
  t.is(site.relay.source, 'control-plane');

  await site.stopControlPlane();
  await first.stop();
  await site.startRelay();
  t.is(statSync(site.file).mode & 0o777, 0o600);
  const envoy = await site.envoy();
  t.teardown(() => envoy.stop());
  t.is(site.relay.source, 'kept');
  const client = await site.client(envoy);
  t.teardown(() => client.close());
  const query = await RunningQuery.start(client, driver);

  const listenersBefore = site.tally.of(TypeUrl.LISTENER).pushes;
  const { hub } = await site.startControlPlane();
  await site.publish(driver, late);
  t.is(site.relay.source, 'control-plane');
  t.true((await envoy.admin('/clusters')).includes(late.address.address));
  for (const status of hub.nodes()[0]?.types ?? []) t.is(status.error, undefined, status.typeUrl);
  t.is(
    site.tally.of(TypeUrl.LISTENER).pushes,
    listenersBefore,
    'the listener that Envoy has is not sent again',
  );
  await query.endsWell(t);
  t.is(await envoy.stat('listener_manager.listener_modified'), 0);
});
