import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type BootstrapValues, renderBootstrap } from '../../src/envoy/bootstrap.js';
import { TestAuthority } from '../support/certificates.js';
import { bootstrapTemplate, validateBootstrap } from '../support/envoy.js';
import { envoyTls } from '../support/envoy-tls.js';

const oneMachine: BootstrapValues = {
  nodeId: 'envoy-1',
  nodeCluster: 'front',
  admin: { host: '127.0.0.1', port: 0 },
  health: { host: '127.0.0.1', port: 0 },
  xds: [{ host: '127.0.0.1', port: 18000 }],
  adsProtocol: 'incremental',
  accessLog: [{ host: '127.0.0.1', port: 18001 }],
  controlPlaneTls: undefined,
  authz: { socketPath: '/run/spark-gateway/authz.sock' },
  heapBytes: 2 ** 30,
  downstreamConnections: 10_000,
};

test('Envoy takes the bootstrap of one machine without a complaint', (t) => {
  const result = validateBootstrap(renderBootstrap(bootstrapTemplate(), oneMachine));
  t.deepEqual(result, { ok: true, complaints: [] });
});

test('Envoy takes the bootstrap of a cluster, with mutual TLS and names, without a complaint', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'bootstrap-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const serverName = 'control-plane.spark-gateway.svc';
  const result = validateBootstrap(
    renderBootstrap(bootstrapTemplate(), {
      ...oneMachine,
      adsProtocol: 'state-of-the-world',
      xds: [{ host: serverName, port: 18000 }],
      accessLog: [{ host: serverName, port: 18001 }],
      controlPlaneTls: envoyTls(directory, new TestAuthority(), serverName),
      authz: { host: '127.0.0.1', port: 9191 },
    }),
  );
  t.deepEqual(result, { ok: true, complaints: [] });
});
