/**
 * What of a control plane takes access logs, a process of its own with the audit of the settings that
 * it is given. It says over IPC how much it took; standard output belongs to the audit.
 */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { requestMetrics } from '../../src/telemetry/access-log/request-metrics.js';
import { AccessLogReceiver } from '../../src/telemetry/access-log/receiver.js';
import { systemClock } from '../../src/model/clock.js';
import { openAudit } from '../../src/processes/telemetry.js';
import { compileSettings } from '../../src/settings/compile-settings.js';

/** Since the start, or for the last one when all has been written or given up. */
export interface Taken {
  readonly entries: number;
  readonly cpuMicros: number;
  readonly written: number;
  readonly dropped: number;
}

const overrides = JSON.parse(process.argv[2] ?? '[]') as readonly (readonly [string, string])[];
const settings = compileSettings({ env: {}, overrides, cwd: process.cwd() });
const clock = systemClock;
const logger = pino({ level: 'silent' });
const registry = new Registry();
const audit = await openAudit(settings, { clock, logger, registry });

let entries = 0;
const accessLog = new AccessLogReceiver({
  clock,
  logger,
  audit,
  metrics: requestMetrics(registry),
  onRecord: () => (entries += 1),
  intervalMs: 30_000,
  isPassedOn: () => false,
});
const nothing = () => undefined;
accessLog.setTarget({
  sink: {
    activity: nothing,
    streamOpened: nothing,
    connectionUsed: nothing,
    connectionEnded: nothing,
    connectionsMissed: nothing,
    streamClosed: nothing,
    released: nothing,
    reporterConnected: nothing,
    reporterDisconnected: nothing,
  },
  queries: { running: nothing, ended: nothing, lost: nothing },
});

async function total(name: string): Promise<number> {
  const metric = await registry.getSingleMetric(name)?.get();
  return metric?.values.reduce((sum, { value }) => sum + value, 0) ?? 0;
}

async function taken(): Promise<Taken> {
  const { user, system } = process.cpuUsage();
  return {
    entries,
    cpuMicros: user + system,
    written: await total('spark_gateway_audit_records_total'),
    dropped: await total('spark_gateway_audit_dropped_total'),
  };
}

const server = new Server();
accessLog.addTo(server);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.send?.({ port });
});

process.on('message', (message: 'tell' | 'end') => void answer(message));

async function answer(message: 'tell' | 'end'): Promise<void> {
  if (message === 'end') {
    server.forceShutdown();
    await audit.close();
  }
  process.send?.(await taken(), () => {
    if (message === 'end') process.exit();
  });
}
