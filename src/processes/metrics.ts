import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { collectDefaultMetrics, Gauge, type Registry, Histogram, Counter } from 'prom-client';
import type { PoolController } from '../fleet/controller.js';
import type { StartOutcome } from '../fleet/driver-starts.js';
import type { Ledger } from '../model/ledger.js';
import type { PolicySource } from '../policy/sources/last-good.js';
import type { QueryCounts } from '../queries/query-gate.js';
import type { AssignmentKind } from '../sessions/assignment-service.js';
import type { Settings } from '../settings/table.js';
import type { DiscoveryHub } from '../xds/hub.js';
import { shortType } from '../xds/xds-metrics.js';
import { version } from './process.js';

/** What every role tells of its process: memory, CPU, event loop, and which release it is. */
export type MeasuredRole = 'control-plane' | 'authz' | 'runner' | 'playground';

export function processMetrics(registry: Registry, role: MeasuredRole): void {
  // A timer of this interval tells of the event loop's delay: the default, 10 ms, is most of what a process costs at rest.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 50 });
  const info = new Gauge({
    name: 'spark_gateway_build_info',
    help: 'Always 1; the release, and the Node.js that runs it.',
    labelNames: ['role', 'version', 'node'],
    registers: [registry],
  });
  info.set({ role, version: version(), node: process.version }, 1);
}

// For how long the certificates in files are good: an expired one is noticed by its victims only.

interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

interface Certificate {
  /** The setting that names the file. */
  readonly setting: string;
  /** PEM; undefined where the setting is not set. */
  readonly file: string | undefined;
  /** A chain is good for as long as all of it, authorities for as long as one is. */
  readonly kind: 'chain' | 'authorities';
}

interface Found {
  readonly setting: string;
  readonly validity: Validity;
}

/** Files are read when Prometheus asks. One that cannot be read, or holds no certificate, has no series. */
export function certificateMetrics(
  registry: Registry,
  role: MeasuredRole,
  settings: Settings,
  read: (file: string) => Promise<string> = (file) => readFile(file, 'utf8'),
): void {
  const certificates = certificatesOf(role, settings).filter(({ file }) => file !== undefined);
  // A scrape asks for all metrics at once.
  let reading: Promise<readonly Found[]> | undefined;
  const found = () =>
    (reading ??= validities(certificates, read).finally(() => (reading = undefined)));
  const gauge = (name: string, help: string, time: (validity: Validity) => number) =>
    registry.registerMetric(
      new Gauge({
        name,
        help,
        labelNames: ['setting'],
        registers: [],
        async collect() {
          const now = await found();
          this.reset();
          for (const { setting, validity } of now) this.set({ setting }, time(validity) / 1000);
        },
      }),
    );
  gauge(
    'spark_gateway_certificate_not_before_timestamp_seconds',
    'Since when the certificate in the file of a setting is good.',
    ({ notBeforeMs }) => notBeforeMs,
  );
  gauge(
    'spark_gateway_certificate_not_after_timestamp_seconds',
    'Until when the certificate in the file of a setting is good.',
    ({ notAfterMs }) => notAfterMs,
  );
}

function mtls({ mtls: files }: Settings): readonly Certificate[] {
  return [
    { setting: 'mtls.cert_file', file: files.certFile, kind: 'chain' },
    { setting: 'mtls.ca_file', file: files.caFile, kind: 'authorities' },
  ];
}

function certificatesOf(role: MeasuredRole, settings: Settings): readonly Certificate[] {
  const { runner, playground } = settings;
  switch (role) {
    case 'control-plane':
      return all(settings);
    case 'authz':
      return mtls(settings);
    case 'runner':
      return [
        ...mtls(settings),
        { setting: 'runner.cert_file', file: runner.certFile, kind: 'chain' },
        { setting: 'runner.client_ca_file', file: runner.clientCaFile, kind: 'authorities' },
      ];
    case 'playground':
      return [
        ...mtls(settings),
        { setting: 'playground.cert_file', file: playground.certFile, kind: 'chain' },
      ];
  }
}

function all(settings: Settings): readonly Certificate[] {
  const { admin, tlsCertFile, listener, drivers } = settings;
  return [
    ...mtls(settings),
    { setting: 'tls_cert_file', file: tlsCertFile, kind: 'chain' },
    { setting: 'admin.cert_file', file: admin.certFile, kind: 'chain' },
    { setting: 'listener.client_ca_file', file: listener.clientCaFile, kind: 'authorities' },
    { setting: 'drivers.tls.cert_file', file: drivers.tls.certFile, kind: 'chain' },
    { setting: 'drivers.tls.ca_file', file: drivers.tls.caFile, kind: 'authorities' },
  ];
}

async function validities(
  certificates: readonly Certificate[],
  read: (file: string) => Promise<string>,
): Promise<readonly Found[]> {
  const found: Found[] = [];
  for (const { setting, file = '', kind } of certificates) {
    const validity = await validityOf(kind, () => read(file));
    if (validity) found.push({ setting, validity });
  }
  return found;
}

async function validityOf(
  kind: Certificate['kind'],
  read: () => Promise<string>,
): Promise<Validity | undefined> {
  let pem: string;
  try {
    pem = await read();
  } catch {
    return undefined;
  }
  const certificates = [
    ...pem.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g),
  ]
    .flatMap(([text]) => parsed(text))
    .toSorted((a, b) => a.notAfterMs - b.notAfterMs);
  return kind === 'chain' ? certificates[0] : certificates.at(-1);
}

function parsed(pem: string): Validity[] {
  try {
    const { validFrom, validTo } = new X509Certificate(pem);
    return [{ notBeforeMs: Date.parse(validFrom), notAfterMs: Date.parse(validTo) }];
  } catch {
    return [];
  }
}

export interface AssignmentMetrics {
  assigned(kind: AssignmentKind, durationMs: number): void;
  started(outcome: StartOutcome, durationMs: number): void;
}

/** How long sessions wait for their driver, and drivers take to come up. */
export function assignmentMetrics(registry: Registry): AssignmentMetrics {
  const registers = [registry];
  const assignment = new Histogram({
    name: 'spark_gateway_assignment_duration_seconds',
    help: 'Time from a question of a sidecar to its answer. start: warm (the driver was there), cold (it was waited for), refused.',
    labelNames: ['start'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 15, 30, 60, 120, 300],
    registers,
  });
  const starts = new Histogram({
    name: 'spark_gateway_driver_start_duration_seconds',
    help: "Time from a driver's creation until it took sessions (ready) or was given up (failed).",
    labelNames: ['outcome'],
    buckets: [1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600],
    registers,
  });
  for (const start of ['warm', 'cold', 'refused']) assignment.zero({ start });
  for (const outcome of ['ready', 'failed']) starts.zero({ outcome });
  return {
    assigned: (start, durationMs) => assignment.observe({ start }, durationMs / 1000),
    started: (outcome, durationMs) => starts.observe({ outcome }, durationMs / 1000),
  };
}

// What Prometheus is shown of pools, sessions and xDS; read when it asks.

/** Returns what is to be called when a term of this replica as the leader begins. */
export function leaderTerms(registry: Registry): () => void {
  const terms = new Counter({
    name: 'spark_gateway_leader_terms_total',
    help: 'How often this replica became the leader.',
    registers: [registry],
  });
  return () => terms.inc();
}

export interface ControlPlaneSources {
  readonly pools: PoolController;
  readonly xds: DiscoveryHub;
  readonly ledger: Ledger;
  /** undefined while another replica leads. */
  readonly queries: () => QueryCounts | undefined;
  /** What only one of several replicas may tell, so that their numbers can be added. */
  readonly leading: () => boolean;
}

export function controlPlaneMetrics(registry: Registry, sources: ControlPlaneSources): void {
  const { pools, xds, ledger, leading, queries } = sources;
  const gauge = <Labels extends string>(
    name: string,
    help: string,
    labelNames: readonly Labels[],
    read: () => Iterable<readonly [Record<Labels, string>, number]>,
  ) =>
    new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      collect() {
        this.reset();
        for (const [labels, value] of read()) this.inc(labels, value);
      },
    });

  gauge('spark_gateway_leading', 'Whether this replica leads (1).', [], () => [
    [{}, leading() ? 1 : 0],
  ]);
  // `variant` is empty for a pool's own drivers.
  gauge(
    'spark_gateway_drivers',
    'Drivers by phase.',
    ['namespace', 'variant', 'phase'],
    function* read() {
      if (!leading()) return;
      for (const { namespace, variant = '', phase } of pools.report().drivers) {
        yield [{ namespace, variant, phase }, 1];
      }
    },
  );
  gauge('spark_gateway_sessions', 'Live sessions.', ['team', 'environment'], function* read() {
    if (!leading()) return;
    for (const { sessions } of ledger.all()) {
      for (const { team, environment } of Object.values(sessions)) {
        yield [{ team, environment }, 1];
      }
    }
  });
  gauge(
    'spark_gateway_sessions_waiting',
    'Sessions that wait for a driver.',
    ['namespace', 'variant'],
    function* read() {
      if (!leading()) return;
      for (const { namespace, variant = '', waiting } of pools.report().pools) {
        yield [{ namespace, variant }, waiting];
      }
    },
  );
  const countsOf = function* (what: keyof QueryCounts) {
    for (const [namespace, count] of queries()?.[what] ?? []) yield [{ namespace }, count] as const;
  };
  gauge(
    'spark_gateway_queries_running',
    'Queries that run, in namespaces where the policy limits them.',
    ['namespace'],
    () => countsOf('running'),
  );
  gauge(
    'spark_gateway_queries_waiting',
    'Queries that wait because as many run as the policy allows.',
    ['namespace'],
    () => countsOf('waiting'),
  );
  gauge(
    'spark_gateway_xds_streams',
    'Connected Envoys by the state of each type of resource.',
    ['type', 'state'],
    () =>
      xds
        .nodes()
        .flatMap(({ types }) =>
          types.map(({ typeUrl, state }): [{ type: string; state: string }, number] => [
            { type: shortType(typeUrl), state },
            1,
          ]),
        ),
  );
}

/** Which policy this process decides by, and whether the last change was good. */
export function policyMetrics(registry: Registry, policy: Pick<PolicySource, 'status'>): void {
  registry.registerMetric(
    new Gauge({
      name: 'spark_gateway_policy_info',
      help: 'Always 1; the version in force. Only the one series, so that changes do not add up.',
      labelNames: ['version'],
      registers: [],
      collect() {
        this.reset();
        this.set({ version: policy.status.version }, 1);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'spark_gateway_policy_last_reload_success_timestamp_seconds',
      help: 'When the policy in force was read.',
      registers: [],
      collect() {
        this.set(policy.status.loadedAtMs / 1000);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'spark_gateway_policy_bad',
      help: 'Whether the policy as it is written now is not good, so that the last good one decides (1).',
      registers: [],
      collect() {
        this.set(policy.status.error === undefined ? 0 : 1);
      },
    }),
  );
}
