/** The configuration with which an Envoy starts. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Settings } from '../settings/table.js';
import { renderBootstrap } from '../xds/resources/bootstrap.js';

const template = fileURLToPath(new URL('../../../envoy/bootstrap.yaml', import.meta.url));

/** JSON, for a file that ends in `.json`. */
export function bootstrapOf(settings: Settings): string {
  const { envoy, xds, assignments, authz } = settings;
  return renderBootstrap(readFileSync(template, 'utf8'), {
    nodeId: envoy.nodeId ?? hostname(),
    nodeCluster: envoy.nodeCluster,
    admin: envoy.adminAddr,
    xds: [xds.connectAddr],
    adsProtocol: 'incremental',
    accessLog: [assignments.connectAddr],
    controlPlaneTls: undefined,
    authz: 'path' in authz.listenAddr ? { socketPath: authz.listenAddr.path } : authz.listenAddr,
    heapBytes: envoy.maxHeapBytes,
    downstreamConnections: envoy.maxConnections,
  });
}
