/** `authz`: the ext_authz service beside an Envoy. */
import { hostname } from 'node:os';
import { Registry, Counter, Gauge } from 'prom-client';
import { AssignmentsClient } from '../authz/assignments/assignments-client.js';
import { type AuthzServer, startAuthzServer } from '../authz/authz-server.js';
import { type AuthzMetrics } from '../authz/authz-metrics.js';
import { EnvoyCountsReader } from '../authz/envoy-counts-reader.js';
import { ShadowTally } from '../authz/shadow.js';
import type { IssuerKeyState } from '../authz/token/verifier.js';
import { mtlsFiles } from '../lib/grpc/port.js';
import { clientCredentials } from '../lib/grpc/tls.js';
import { text } from '../lib/http/answer.js';
import { type Series, Tally, TimeTally } from '../lib/metrics/tally.js';
import { formatAddress } from '../model/address.js';
import { systemClock } from '../model/clock.js';
import { issuerNote } from '../model/issuer-note.js';
import type { PolicyObserver } from '../model/policy.js';
import type { PolicySource } from '../policy/sources/last-good.js';
import { authzAddress } from '../settings/authz-address.js';
import { policyOptions } from '../settings/policy-options.js';
import { localUrl, type Settings } from '../settings/table.js';
import type { ConfigurationSource } from '../xds/relay/relay.js';
import { startAdminServer } from './admin.js';
import { certificateMetrics, policyMetrics, processMetrics } from './metrics.js';
import {
  openSidecarPolicy,
  policyObserver,
  openShadowPolicy,
  sidecarPolicy,
} from './role-policy.js';
import { aborted, type Closing, roleLogger, runProcess } from './process.js';
import { openTracing } from './telemetry.js';
import { startRelay } from './xds.js';

/** Runs until a signal ends it; checks that are under way are answered first. */
export function runAuthz(settings: Settings): Promise<void> {
  return runProcess((closing, stop) => serve(settings, closing, stop));
}

async function serve(settings: Settings, closing: Closing, stop: AbortSignal): Promise<void> {
  const clock = systemClock;
  const logger = roleLogger('authz', settings.logLevel);
  const registry = new Registry();
  processMetrics(registry, 'authz');
  certificateMetrics(registry, 'authz', settings);
  const metrics = authzMetrics(registry);
  const observer = policyObserver(metrics, logger);
  const compile = policyOptions(settings);
  const tracing = openTracing('authz', settings, { clock, registry });
  closing.add(() => tracing.close());
  const credentials = clientCredentials(mtlsFiles(settings.mtls), {
    clock,
    onError: (error) => logger.error({ err: error }, 'certificates cannot be renewed'),
  });
  const relay = await startRelay(settings, { credentials, clock, logger });
  closing.add(() => relay?.close());
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
  closing.add(() => admin.close());
  const policy = await openSidecarPolicy(
    settings,
    { compile: { ...compile, observer }, credentials, clock, logger },
    stop,
  );
  if (!policy) return;
  closing.add(() => policy.close());
  policySource = policy;
  for (const { issuer } of policy.current.issuers) {
    const note = issuerNote(issuer, issuer === settings.oktaIssuer);
    if (note !== undefined) logger.warn({ issuer }, note);
  }
  policyMetrics(registry, policy);
  const shadowPolicy = openShadowPolicy(settings.policyShadowFile, { compile, clock, logger });
  closing.add(() => shadowPolicy.close());
  const shadowTally = new ShadowTally(clock);
  const counts = new EnvoyCountsReader({
    adminUrl: localUrl(settings.envoy.adminAddr),
    clock,
    logger,
  });
  closing.add(() => counts.close());
  const assignments = new AssignmentsClient({
    addresses: [formatAddress(settings.assignments.connectAddr)],
    serverName: settings.mtls.serverName,
    credentials,
    clock,
    logger,
    onCache: (result) => metrics.assignmentCache(result),
    name: hostname(),
    counts: () => counts.current(),
    policy: () => sidecarPolicy(policy, shadowPolicy, shadowTally, server?.issuerKeys() ?? []),
  });
  closing.add(() => assignments.close());
  assignments.start();
  const checks = await startAuthzServer({
    address: authzAddress(settings),
    policy: () => policy.current,
    shadowPolicy: () => shadowPolicy.current(),
    shadowTally,
    assigner: assignments,
    activity: assignments,
    seen: assignments,
    queries: assignments,
    interrupts: assignments,
    clock,
    logger,
    metrics,
    tracer: tracing.tracer,
    routingHeaders: [headers.team, headers.environment],
    userHeader: headers.user,
    holdMs: authz.holdTimeMs,
    leaseMs: authz.leaseTimeMs,
    afterExpiry: {
      queryMs: authz.queryFinishTimeMs,
      sessionMs: authz.expiredTokenGraceMs,
    },
    tokenCacheSize: authz.tokenCacheSize,
    keyRefreshMs: authz.keysMaxAgeMs,
    keyCooldownMs: authz.keysCooldownMs,
    keyGreatestAgeMs: authz.keysExpireAfterMs,
  });
  server = checks;
  closing.add(() => checks.close(settings.drainTimeMs));
  issuerKeyAges(registry, () => checks.issuerKeys());
  logger.info({ target: checks.target, metrics: admin.port }, 'authz runs');

  await aborted(stop);
  logger.info('authz ends');
}

// authz's decisions and caches for Prometheus.

export function authzMetrics(registry: Registry): AuthzMetrics & PolicyObserver {
  const registers = [registry];
  const decisions = new Tally({
    name: 'spark_gateway_authz_decisions_total',
    help: 'Checks by outcome: OK, CANCELLED, or the code of the refusal.',
    labelNames: ['code', 'method'],
    registers,
  });
  const durations = new TimeTally({
    name: 'spark_gateway_authz_decision_duration_seconds',
    help: 'Time of a check, holding for a driver included.',
    labelNames: ['outcome'],
    buckets: [0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5, 15, 60],
    registers,
  });
  const tokens = new Tally({
    name: 'spark_gateway_authz_token_cache_total',
    help: 'Tokens that were found among the verified ones (hit), or had to be verified (miss).',
    labelNames: ['result'],
    registers,
  });
  const assignments = new Tally({
    name: 'spark_gateway_authz_assignment_cache_total',
    help: 'Sessions whose driver was remembered (hit), or had to be asked for (miss).',
    labelNames: ['result'],
    registers,
  });
  const keys = new Counter({
    name: 'spark_gateway_authz_key_fetches_total',
    help: "Fetches of an issuer's keys.",
    labelNames: ['issuer', 'result'],
    registers,
  });
  const shadows = new Counter({
    name: 'spark_gateway_policy_shadow_total',
    help: 'Requests by what the shadow policy, or a rule in shadow mode, would do: same, allow, refuse (with the code) or move (to another namespace).',
    labelNames: ['source', 'would', 'code'],
    registers,
  });
  const unlimited = new Counter({
    name: 'spark_gateway_authz_queries_let_through_total',
    help: 'Queries that began without being counted for the limits of the policy, as the control plane gave no answer.',
    labelNames: ['code'],
    registers,
  });
  const expressions = new Counter({
    name: 'spark_gateway_policy_expression_failures_total',
    help: 'Expressions (when) of access rules that gave no answer, so that their rule did not match.',
    labelNames: ['code'],
    registers,
  });
  const tokenSeries = hitAndMiss(tokens);
  const assignmentSeries = hitAndMiss(assignments);
  const decisionSeries: DecisionSeries = new Map();
  const allowed = durations.series({ outcome: 'allowed' });
  const refused = durations.series({ outcome: 'refused' });
  return {
    shadow: ({ source, would, code }) => shadows.inc({ source, would, code }),
    expressionFailed: ({ code }) => expressions.inc({ code }),
    decided({ code, method, durationMs }) {
      seriesOf(decisions, decisionSeries, code, method).inc();
      (code === 'OK' ? allowed : refused).observe(durationMs / 1000);
    },
    queryLetThrough: (code) => unlimited.inc({ code }),
    tokenCache: (result) => tokenSeries[result].inc(),
    assignmentCache: (result) => assignmentSeries[result].inc(),
    keyFetch(issuer, ok) {
      // Both are there from the first attempt on: a rate cannot be had of a series that begins.
      keys.inc({ issuer, result: 'ok' }, ok ? 1 : 0);
      keys.inc({ issuer, result: 'failed' }, ok ? 0 : 1);
    },
  };
}

function hitAndMiss(tally: Tally<'result'>) {
  return { hit: tally.series({ result: 'hit' }), miss: tally.series({ result: 'miss' }) };
}

/** By code, then by method. */
type DecisionSeries = Map<string, Map<string, Series<'code' | 'method'>>>;

function seriesOf(
  tally: Tally<'code' | 'method'>,
  known: DecisionSeries,
  code: string,
  method: string,
): Series<'code' | 'method'> {
  let series = known.get(code)?.get(method);
  if (!series) {
    series = tally.series({ code, method });
    known.set(code, new Map(known.get(code)).set(method, series));
  }
  return series;
}

/** @param read the issuers of the policy in force, and when each one's keys were last fetched. */
function issuerKeyAges(registry: Registry, read: () => readonly IssuerKeyState[]): void {
  registry.registerMetric(
    new Gauge({
      name: 'spark_gateway_authz_keys_last_success_timestamp_seconds',
      help: "When an issuer's keys were last fetched; 0: never.",
      labelNames: ['issuer'],
      registers: [],
      collect() {
        this.reset();
        for (const { issuer, fetchedAtMs = 0 } of read()) this.set({ issuer }, fetchedAtMs / 1000);
      },
    }),
  );
}

/** @param read where the Envoy beside this process has its configuration from. */
function configurationSource(registry: Registry, read: () => ConfigurationSource): void {
  const live: Gauge = new Gauge({
    name: 'spark_gateway_envoy_configuration_live',
    help: '1 while the Envoy beside it has its configuration from a control plane, 0 while it has a kept one or none.',
    registers: [],
    collect: () => live.set(read() === 'control-plane' ? 1 : 0),
  });
  registry.registerMetric(live);
}
