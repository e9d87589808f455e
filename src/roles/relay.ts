/** The xDS relay beside an Envoy: its last configuration outlives every control plane. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ChannelCredentials } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { formatAddress } from '../model/address.js';
import type { Clock } from '../model/clock.js';
import type { Settings } from '../settings/table.js';
import { XdsRelay } from '../xds/relay/relay.js';

/** Undefined when Envoy asks the control plane itself. */
export async function startRelay(
  settings: Settings,
  context: {
    readonly credentials: ChannelCredentials;
    readonly clock: Clock;
    readonly logger: Logger;
  },
): Promise<XdsRelay | undefined> {
  const { mtls, stateDir, xds } = settings;
  if (!xds.relayAddr) return undefined;
  const { credentials, clock, logger } = context;
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  return XdsRelay.start({
    address: xds.relayAddr,
    controlPlane: {
      address: formatAddress(xds.connectAddr),
      credentials,
      serverName: mtls.serverName,
    },
    file: keptConfiguration(settings),
    clock,
    logger,
  });
}

/** Makes Envoy start with what the control plane says only. */
export function forgetConfiguration(settings: Settings): void {
  rmSync(keptConfiguration(settings), { force: true });
}

function keptConfiguration({ stateDir }: Settings): string {
  return join(stateDir, 'envoy-configuration');
}
