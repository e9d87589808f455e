/** `runner`: batch jobs by gRPC, in front of the control plane. Nothing is kept: any replica answers for any job. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { mtlsFiles } from '../lib/grpc/port.js';
import { clientCredentials, serverCredentials, type TlsFiles } from '../lib/grpc/tls.js';
import { parseOptions } from '../manifest/options.js';
import { readManifest } from '../manifest/parse.js';
import { formatAddress } from '../model/address.js';
import { systemClock } from '../model/clock.js';
import { ControlPlane } from '../runner/control-plane-client.js';
import type { CallEnd } from '../runner/handlers.js';
import { startRunner } from '../runner/server.js';
import type { Validate } from '../runner/services.js';
import type { Settings } from '../settings/table.js';
import { startAdminServer } from './admin.js';
import { batchResults, takesLocalPaths } from './batch-output.js';
import { certificateMetrics, processMetrics } from './metrics.js';
import { aborted, type Closing, roleLogger, runProcess } from './process.js';

/** Runs until a signal ends it. */
export function runRunner(settings: Settings): Promise<void> {
  return runProcess((closing, stop) => serve(settings, closing, stop));
}

async function serve(settings: Settings, closing: Closing, stop: AbortSignal): Promise<void> {
  const { assignments, headers, mtls, runner } = settings;
  const clock = systemClock;
  const logger = roleLogger('runner', settings.logLevel);
  const registry = new Registry();
  processMetrics(registry, 'runner');
  certificateMetrics(registry, 'runner', settings);
  const tls = {
    clock,
    onError: (error: unknown) => logger.error({ err: error }, 'certificates cannot be renewed'),
  };
  const controlPlane = new ControlPlane({
    addresses: [formatAddress(assignments.connectAddr)],
    credentials: clientCredentials(mtlsFiles(mtls), tls),
    serverName: mtls.serverName,
    clock,
  });
  closing.add(() => controlPlane.close());
  const server = await startRunner({
    address: runner.listenAddr,
    credentials: serverCredentials(certificatesOf(settings), tls),
    controlPlane,
    storage: batchResults(settings),
    validate: validation(takesLocalPaths(settings)),
    rules: { allowedSans: runner.allowedSans, userHeader: headers.user },
    clock,
    logger,
    onEnd: runnerMetrics(registry, () => controlPlane.isConnected()),
  });
  closing.add(() => server.close());
  const admin = await startAdminServer({
    address: runner.metricsAddr,
    registry,
    readiness: () => (server.serving ? undefined : 'no control plane answers'),
    logger,
  });
  closing.add(() => admin.close());
  logger.info({ port: server.port, metrics: admin.port }, 'the Runner runs');
  await aborted(stop);
  logger.info('the Runner ends');
}

/** By which callers are known; undefined: they are not, on this machine alone. */
function certificatesOf({ mtls, runner }: Settings): TlsFiles | undefined {
  const { certFile, keyFile, clientCaFile: caFile } = runner;
  return mtlsFiles({ certFile, keyFile, caFile }) ?? mtlsFiles(mtls);
}

function validation(localPaths: boolean): Validate {
  return ({ manifest, options, team }) => {
    parseOptions(options);
    readManifest(manifest, { localPaths, ...(team === '' ? {} : { team }) });
  };
}

export function runnerMetrics(
  registry: Registry,
  isConnected: () => boolean,
): (end: CallEnd) => void {
  const registers = [registry];
  const calls = new Counter({
    name: 'spark_gateway_runner_calls_total',
    help: 'Calls of the Runner by outcome: OK, CANCELLED, or the code of the refusal.',
    labelNames: ['method', 'code'],
    registers,
  });
  const duration = new Histogram({
    name: 'spark_gateway_runner_call_duration_seconds',
    help: 'Time of a call of the Runner, but for log streams.',
    labelNames: ['method'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60],
    registers,
  });
  const connected: Gauge = new Gauge({
    name: 'spark_gateway_runner_control_plane_connected',
    help: '1 while the Runner has a connection to a control plane.',
    registers: [],
    collect: () => connected.set(isConnected() ? 1 : 0),
  });
  registry.registerMetric(connected);
  return ({ code, durationMs, method }) => {
    calls.inc({ method, code });
    if (method !== 'StreamLogs') duration.observe({ method }, durationMs / 1000);
  };
}
