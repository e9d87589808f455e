/** The configuration with which an Envoy starts. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SocketAddress } from '../model/address.js';
import { authzAddress } from '../settings/authz-address.js';
import type { Settings } from '../settings/table.js';
import {
  type ControlPlaneTls,
  controlPlaneSecrets,
  type LocalServer,
  renderBootstrap,
} from '../envoy/bootstrap.js';
import { mtlsFiles } from '../lib/grpc/port.js';

const template = fileURLToPath(new URL('../../../envoy/bootstrap.yaml', import.meta.url));

/**
 * JSON, for a file that ends in `.json`. Where `mtls` is set, it refers to two further files that
 * this writes into `state_dir`; Envoy watches the certificates that they name.
 */
export function bootstrapOf(settings: Settings): string {
  const { envoy, xds, assignments } = settings;
  return renderBootstrap(readFileSync(template, 'utf8'), {
    nodeId: envoy.nodeId ?? hostname(),
    nodeCluster: envoy.nodeCluster,
    admin: envoy.adminAddr,
    health: envoy.healthAddr,
    xds: xds.relayAddr ? { relay: localServer(xds.relayAddr) } : [xds.connectAddr],
    adsProtocol: 'incremental',
    accessLog: [assignments.connectAddr],
    controlPlaneTls: writeControlPlaneTls(settings),
    authz: localServer(authzAddress(settings)),
    heapBytes: envoy.maxHeapBytes,
    downstreamConnections: envoy.maxConnections,
  });
}

/** Writes it into a file that only its owner reads. */
export function writeBootstrap(settings: Settings, file: string): void {
  writeFileSync(file, bootstrapOf(settings), { mode: 0o600 });
}

function localServer(address: SocketAddress): LocalServer {
  return 'path' in address ? { socketPath: address.path } : address;
}

function writeControlPlaneTls(settings: Settings): ControlPlaneTls | undefined {
  const files = mtlsFiles(settings.mtls);
  if (!files) return undefined;
  const serverName = settings.mtls.serverName ?? settings.xds.connectAddr.host;
  const { identity, trust } = controlPlaneSecrets(
    {
      directory: dirname(files.certFile),
      certificateFile: files.certFile,
      keyFile: files.keyFile,
      authorityFile: files.caFile,
    },
    serverName,
  );
  mkdirSync(settings.stateDir, { recursive: true, mode: 0o700 });
  const identitySecretFile = join(settings.stateDir, 'envoy-identity.json');
  const trustSecretFile = join(settings.stateDir, 'envoy-trust.json');
  writeFileSync(identitySecretFile, identity, { mode: 0o600 });
  writeFileSync(trustSecretFile, trust, { mode: 0o600 });
  return { serverName, identitySecretFile, trustSecretFile };
}
