/** authz's decisions and caches for Prometheus. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { AuthzMetrics } from '../authz/metrics.js';
import { type Series, Tally } from '../metrics/tally.js';
import type { IssuerKeyState } from '../authz/token/verifier.js';
import type { ConfigurationSource } from '../xds/relay/relay.js';
import type { PolicyObserver } from '../model/policy.js';

export function authzMetrics(registry: Registry): AuthzMetrics & PolicyObserver {
  const registers = [registry];
  const decisions = new Tally({
    name: 'spark_gateway_authz_decisions_total',
    help: 'Checks by outcome: OK, CANCELLED, or the code of the refusal.',
    labelNames: ['code', 'method'],
    registers,
  });
  const duration = new Histogram({
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
  return {
    shadow: ({ source, would, code }) => shadows.inc({ source, would, code }),
    expressionFailed: ({ code }) => expressions.inc({ code }),
    decided({ code, method, durationMs }) {
      seriesOf(decisions, decisionSeries, code, method).inc();
      duration.observe({ outcome: code === 'OK' ? 'allowed' : 'refused' }, durationMs / 1000);
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
export function issuerKeyAges(registry: Registry, read: () => readonly IssuerKeyState[]): void {
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
export function configurationSource(registry: Registry, read: () => ConfigurationSource): void {
  const live: Gauge = new Gauge({
    name: 'spark_gateway_envoy_configuration_live',
    help: '1 while the Envoy beside it has its configuration from a control plane, 0 while it has a kept one or none.',
    registers: [],
    collect: () => live.set(read() === 'control-plane' ? 1 : 0),
  });
  registry.registerMetric(live);
}
