/** However many names refused callers invent, Prometheus is not given more series. */
import test from 'ava';
import { Registry } from 'prom-client';
import type { AccessRecord } from '../../src/telemetry/access-log/access-record.js';
import { requestMetrics } from '../../src/telemetry/access-log/request-metrics.js';
import { authzMetrics } from '../../src/processes/authz.js';
import { AuthzGateway } from '../support/authz-gateway.js';

const CALLERS = 20;

/** Series without their values. */
async function series(registry: Registry): Promise<string[]> {
  const lines = (await registry.metrics()).split('\n').filter((line) => !line.startsWith('#'));
  return lines.map((line) => line.slice(0, line.lastIndexOf(' '))).toSorted();
}

test('authz: teams, environments, principals, issuers and methods of callers that are refused', async (t) => {
  const registry = new Registry();
  const gateway = await AuthzGateway.start({}, { metrics: authzMetrics(registry) });
  t.teardown(() => gateway.close());
  const refuseEach = async (name: string) => {
    const token = await gateway.token({ sub: name, email: `${name}@example.com` });
    const target = { 'x-doordash-team': name, 'x-doordash-environment': name };
    const [head = '', , signature = ''] = token.split('.');
    const claims = Buffer.from(JSON.stringify({ iss: `https://${name}.example.com` }));
    const checks = [
      gateway.client.check({ token, headers: target }),
      gateway.client.check({
        token: [head, claims.toString('base64url'), signature].join('.'),
        headers: target,
      }),
      gateway.client.check({ token, headers: target, method: name }),
    ];
    for (const { status } of await Promise.all(checks)) t.not(status?.code, 0);
  };
  await refuseEach('first');
  const before = await series(registry);
  t.true(before.length > 0);
  for (let caller = 0; caller < CALLERS; caller += 1) await refuseEach(`caller-${caller}`);
  t.deepEqual(await series(registry), before);
});

function refused(name: string): AccessRecord {
  return {
    kind: 'ended',
    requestId: name,
    envoy: 'envoy-1',
    startedAtMs: 0,
    durationMs: 3,
    method: 'other',
    session: name,
    principal: name,
    issuer: name,
    team: name,
    environment: name,
    namespace: name,
    driver: undefined,
    claimedUser: name,
    comesBack: undefined,
    sessionClosed: undefined,
    refusal: 'NAMESPACE_REFUSED',
    grpcStatus: 7,
    details: 'ext_authz_denied',
    bytesReceived: 1,
    bytesSent: 1,
    client: undefined,
    traceId: undefined,
    connection: undefined,
  };
}

test('control plane: whatever the access log of refused requests names', async (t) => {
  const registry = new Registry();
  const metrics = requestMetrics(registry);
  metrics.observe(refused('first'));
  const before = await series(registry);
  for (let caller = 0; caller < CALLERS; caller += 1) metrics.observe(refused(`caller-${caller}`));
  t.deepEqual(await series(registry), before);
});
