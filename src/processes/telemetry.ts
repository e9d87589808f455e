/** Where audit records go, as settings say. */
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { type Registry, Gauge } from 'prom-client';
import { OtlpClient, serviceResource } from '../lib/grpc/otlp.js';
import { EventWriter } from '../lib/kubernetes/event-writer.js';
import { type AuditSink, noTracer, type Tracer } from '../model/audit.js';
import type { Clock } from '../model/clock.js';
import { GatewayError, reasonOf } from '../model/errors.js';
import {
  type KnownProblem,
  problemKey,
  problemKinds,
  type ProblemKind,
  type ProblemSource,
} from '../model/fleet-problem.js';
import type { Leadership } from '../model/ledger.js';
import type { Settings } from '../settings/table.js';
import { AuditLog, type NamedWriter } from '../telemetry/audit/audit-log.js';
import { auditMetrics } from '../telemetry/audit/destination.js';
import { FileWriter } from '../telemetry/audit/file-writer.js';
import { OtlpWriter } from '../telemetry/audit/otlp-writer.js';
import { StreamWriter } from '../telemetry/audit/stream-writer.js';
import { SpanExporter } from '../telemetry/tracing/exporter.js';
import { SamplingTracer } from '../telemetry/tracing/tracer.js';
import type { KubernetesAccess } from './kubernetes.js';

const STANDARD_OUTPUT = 1;
/** A write is worth waiting for company: Envoys send entries a few times a second, busy ones many times. */
const WRITE_LINGER_MS = 100;
/** So is a request to a collector, which costs more. */
const OTLP_LINGER_MS = 1_000;
const CLOSE_LIMIT_MS = 3_000;

export interface Audit extends AuditSink {
  /** Writes what waits, if its destinations take it within a few seconds. */
  close(): Promise<void>;
}

interface Context {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly registry: Registry;
}

/** Rejects with SETTINGS_INVALID when a destination cannot be used. */
export async function openAudit(settings: Settings, context: Context): Promise<Audit> {
  const { clock, logger, registry } = context;
  const log = new AuditLog({
    writers: await openWriters(settings, context),
    queueBytes: settings.audit.queueSizeBytes,
    clock,
    logger,
    metrics: auditMetrics(registry),
  });
  return {
    rpc: (rpc) => log.rpc(rpc),
    adminAction: (action) => log.adminAction(action),
    close: () => log.close(CLOSE_LIMIT_MS),
  };
}

async function openWriters(
  { audit, otlp }: Settings,
  { clock, logger }: Context,
): Promise<readonly NamedWriter[]> {
  const writers: NamedWriter[] = [];
  if (audit.stdout) {
    const writer = new StreamWriter(STANDARD_OUTPUT, clock);
    writers.push({ name: 'stdout', writer, lingerMs: WRITE_LINGER_MS });
  }
  if (audit.file !== undefined) {
    const writer = await openFile(audit.file, audit, { clock, logger });
    writers.push({ name: 'file', writer, lingerMs: WRITE_LINGER_MS });
  }
  if (audit.otlp && otlp.endpoint) {
    const client = new OtlpClient({ endpoint: otlp.endpoint, caFile: otlp.caFile });
    const resource = serviceResource('control-plane', process.env['POD_NAME'] ?? hostname());
    writers.push({
      name: 'otlp',
      writer: new OtlpWriter({ client, resource, clock }),
      lingerMs: OTLP_LINGER_MS,
    });
  }
  return writers;
}

async function openFile(
  path: string,
  audit: Settings['audit'],
  context: Pick<Context, 'clock' | 'logger'>,
): Promise<FileWriter> {
  try {
    return await FileWriter.open({
      path,
      limits: { sizeBytes: audit.fileSizeBytes, ageMs: audit.fileAgeMs, keep: audit.fileCount },
      sync: audit.fileSync,
      ...context,
    });
  } catch (error) {
    const reason = reasonOf(error);
    throw new GatewayError('SETTINGS_INVALID', `audit.file: ${reason}`, { cause: error });
  }
}

// A role's part in traces, as settings say.

export interface Tracing {
  readonly tracer: Tracer;
  close(): Promise<void>;
}

/** Envoy decides which requests are traced; a role adds its spans to those. */
export function openTracing(
  role: string,
  { otlp, tracing }: Settings,
  { clock, registry }: { readonly clock: Clock; readonly registry: Registry },
): Tracing {
  if (!tracing.enabled || !otlp.endpoint) {
    return { tracer: noTracer, close: () => Promise.resolve() };
  }
  const exporter = new SpanExporter({
    client: new OtlpClient({ endpoint: otlp.endpoint, caFile: otlp.caFile, timeoutMs: 3_000 }),
    resource: serviceResource(role, process.env['POD_NAME'] ?? hostname()),
    clock,
    registry,
  });
  return {
    tracer: new SamplingTracer(clock, (span) => exporter.add(span)),
    close: () => exporter.close(),
  };
}

// Every problem of now, from all who know of one, with the time since when it is there.

/** More are counted by kind and not listed. */
const LONGEST_LIST = 1_000;

export class ProblemBoard {
  readonly #sources: ProblemSource[] = [];
  readonly #clock: Clock;
  #since = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(source: ProblemSource): void {
    this.#sources.push(source);
  }

  /** Looks now. The oldest first. */
  list(): readonly KnownProblem[] {
    const nowMs = this.#clock.now();
    const since = new Map<string, number>();
    const found: KnownProblem[] = [];
    for (const source of this.#sources) {
      for (const problem of source.problems()) {
        const key = problemKey(problem);
        if (since.has(key) || since.size >= LONGEST_LIST) continue;
        const sinceMs = this.#since.get(key) ?? nowMs;
        since.set(key, sinceMs);
        found.push({ ...problem, sinceMs });
      }
    }
    this.#since = since;
    return found.toSorted((a, b) => a.sinceMs - b.sinceMs);
  }

  /** How many there are now of each kind, zeros included. */
  counts(): ReadonlyMap<ProblemKind, number> {
    const counts = new Map<ProblemKind, number>(problemKinds.map((kind) => [kind, 0]));
    for (const source of this.#sources) {
      for (const { kind } of source.problems()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    return counts;
  }
}

// Brings together what is wrong: for the console, as a metric, and as Events on Kubernetes' objects.

export function problemMetrics(registry: Registry, board: ProblemBoard): void {
  const gauge: Gauge<'kind'> = new Gauge({
    name: 'spark_gateway_problems',
    help: 'What is wrong now with what the gateway was given, by kind; of several replicas the largest counts.',
    labelNames: ['kind'],
    registers: [registry],
    collect() {
      for (const [kind, count] of board.counts()) gauge.set({ kind }, count);
    },
  });
}

/** Returns what tells Kubernetes of the problems of now; to be called whenever it was looked. */
export function problemEvents(
  board: ProblemBoard,
  { clusters, home }: Pick<KubernetesAccess, 'clusters' | 'home'>,
  context: {
    readonly leadership: Leadership;
    readonly clock: Clock;
    readonly logger: Logger;
  },
): () => void {
  const { leadership, ...rest } = context;
  const writers = [...new Set([...clusters, home])].map(({ name, api }) => ({
    cluster: name,
    writer: new EventWriter({
      api,
      instance: process.env['POD_NAME'] ?? hostname(),
      allowed: () => leadership.epoch() !== undefined,
      ...rest,
    }),
  }));
  return () => {
    if (leadership.epoch() === undefined) return;
    const problems = board.list();
    for (const { cluster, writer } of writers) {
      writer.report(
        problems.flatMap(({ kind, object, message }) =>
          object && (object.cluster ?? home.name) === cluster
            ? [{ regarding: object, reason: upperCamelCase(kind), note: message }]
            : [],
        ),
      );
    }
  };
}

function upperCamelCase(kind: string): string {
  return kind.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
