/** `authz`: the ext_authz service beside an Envoy. */
import { hostname } from 'node:os';
import { Registry } from 'prom-client';
import { AssignmentsClient } from '../authz/assignments/client.js';
import { type AuthzServer, startAuthzServer } from '../authz/server.js';
import { ShadowTally } from '../authz/shadow-tally.js';
import { clientCredentials } from '../grpc/tls.js';
import { text } from '../http/answer.js';
import { startAdminServer } from '../metrics/admin-server.js';
import { formatAddress } from '../model/address.js';
import { systemClock } from '../model/clock.js';
import type { PolicySource } from '../policy/last-good.js';
import { policyOptions } from '../settings/for-policy.js';
import type { Settings } from '../settings/table.js';
import { authzMetrics, configurationSource, issuerKeyAges } from './authz-metrics.js';
import { certificateMetrics } from './certificate-metrics.js';
import { mtlsFiles } from './grpc-port.js';
import { roleLogger } from './logger.js';
import { startRelay } from './relay.js';
import { openSidecarPolicy } from './policy.js';
import { policyObserver } from './policy-observer.js';
import { policyMetrics } from './policy-metrics.js';
import { processMetrics } from './process-metrics.js';
import { openShadowPolicy } from './shadow-policy.js';
import { sidecarPolicy } from './sidecar-policy.js';
import { openTracing } from './tracing.js';
import { aborted, terminationSignal } from './termination.js';

/** Runs until a signal ends it; checks that are under way are answered first. */
export async function runAuthz(settings: Settings): Promise<void> {
  const stop = terminationSignal();
  const clock = systemClock;
  const logger = roleLogger('authz', settings.logLevel);
  const registry = new Registry();
  processMetrics(registry, 'authz');
  certificateMetrics(registry, 'authz', settings);
  const metrics = authzMetrics(registry);
  const observer = policyObserver(metrics, logger);
  const compile = policyOptions(settings);
  const tracing = openTracing('authz', settings, { clock, registry });
  const credentials = clientCredentials(mtlsFiles(settings.mtls), {
    clock,
    onError: (error) => logger.error({ err: error }, 'certificates cannot be renewed'),
  });
  const relay = await startRelay(settings, { credentials, clock, logger });
  if (relay) configurationSource(registry, () => relay.source);
  let policySource: PolicySource | undefined;
  let server: AuthzServer | undefined;
  const toStart = () => {
    if (!policySource) return 'a first policy: no control plane has told one, and none is kept';
    return server ? undefined : 'starting';
  };
  const { authz, headers } = settings;
  const admin = await startAdminServer({
    address: authz.metricsAddr,
    registry,
    readiness: toStart,
    routes: {
      // Apart from /readyz: services with certificates are served even if no issuer can be reached.
      'GET /readyz/issuers': () => {
        if (!policySource || !server) return text(toStart() ?? '', 503);
        const missing = server.issuersWithoutKeys();
        const ready = missing.length === 0 || missing.length < policySource.current.issuers.length;
        return ready ? text('ok') : text(`the keys of the token issuer ${missing.join(', ')}`, 503);
      },
    },
    logger,
  });
  const policy = await openSidecarPolicy(
    settings,
    { compile: { ...compile, observer }, credentials, clock, logger },
    stop,
  );
  if (!policy) {
    await admin.close();
    await relay?.close();
    await tracing.close();
    return;
  }
  policySource = policy;
  policyMetrics(registry, policy);
  const shadowPolicy = openShadowPolicy(settings.policyShadowFile, { compile, clock, logger });
  const shadowTally = new ShadowTally(clock);
  const assignments = new AssignmentsClient({
    addresses: [formatAddress(settings.assignments.connectAddr)],
    serverName: settings.mtls.serverName,
    credentials,
    clock,
    logger,
    onCache: (result) => metrics.assignmentCache(result),
    name: hostname(),
    policy: () => sidecarPolicy(policy, shadowPolicy, shadowTally),
  });
  assignments.start();
  server = await startAuthzServer({
    address: authz.listenAddr,
    policy: () => policy.current,
    shadowPolicy: () => shadowPolicy.current(),
    shadowTally,
    assigner: assignments,
    activity: assignments,
    seen: assignments,
    queries: assignments,
    clock,
    logger,
    metrics,
    tracer: tracing.tracer,
    routingHeaders: [headers.team, headers.environment],
    userHeader: headers.user,
    holdMs: authz.holdTimeMs,
    expiredTokenGraceMs: authz.expiredTokenGraceMs,
    tokenCacheSize: authz.tokenCacheSize,
    keyRefreshMs: authz.keysMaxAgeMs,
    keyCooldownMs: authz.keysCooldownMs,
  });
  issuerKeyAges(registry, () => server?.issuerKeys() ?? []);
  logger.info({ target: server.target, metrics: admin.port }, 'authz runs');

  await aborted(stop);
  logger.info('authz ends');
  await server.close(settings.drainTimeMs);
  await admin.close();
  await assignments.close();
  await relay?.close();
  await tracing.close();
  await policy.close();
  shadowPolicy.close();
}
