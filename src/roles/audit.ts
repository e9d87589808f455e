/** Where audit records go, as settings say. */
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { AuditLog, type NamedWriter } from '../audit/audit-log.js';
import { FileWriter } from '../audit/file-writer.js';
import { auditMetrics } from '../audit/metrics.js';
import { OtlpWriter } from '../audit/otlp-writer.js';
import { StreamWriter } from '../audit/stream-writer.js';
import { OtlpClient, serviceResource } from '../grpc/otlp.js';
import type { AuditSink } from '../model/audit.js';
import type { Clock } from '../model/clock.js';
import { GatewayError, reasonOf } from '../model/errors.js';
import type { Settings } from '../settings/table.js';

const STANDARD_OUTPUT = 1;
/** A request to a collector is worth waiting for company. */
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
    writers.push({ name: 'stdout', writer: new StreamWriter(STANDARD_OUTPUT, clock) });
  }
  if (audit.file !== undefined) {
    writers.push({ name: 'file', writer: await openFile(audit.file, audit, { clock, logger }) });
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
