/** `start`: the whole gateway on one machine, as child processes that end with it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { classArchiveState } from '../discovery/class-archive.js';
import { stopLocalDrivers } from '../discovery/local-processes.js';
import { systemClock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import type { Settings } from '../settings/table.js';
import { Supervisor } from '../supervisor/supervisor.js';
import { envoyArguments } from '../xds/resources/bootstrap.js';
import { bootstrapOf } from './bootstrap.js';
import { drainEnvoy } from './drain-envoy.js';
import { archivesFolder, driversFolder } from './drivers.js';
import { forgetConfiguration } from './relay.js';
import { roleLogger } from './logger.js';
import { checkPorts, type NeededPort } from './ports.js';
import { say } from './say.js';
import { aborted, terminationSignal } from './termination.js';
import { firstSteps, waitUntilReady } from './welcome.js';

export interface Launch {
  /** src/main.js, which the children run, too. */
  readonly mainFile: string;
  /** Command line arguments that name the settings: `--config`, `--set`. */
  readonly settingsArguments: readonly string[];
}

/** Runs until a signal ends it; leaves no process behind. */
export async function runStart(settings: Settings, launch: Launch): Promise<void> {
  const envoyBin = findEnvoy(settings.envoy.bin);
  await checkPorts(neededPorts(settings));
  const stop = terminationSignal();
  const { stateDir } = settings;
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const bootstrapFile = join(stateDir, 'envoy.json');
  writeFileSync(bootstrapFile, bootstrapOf(settings), { mode: 0o600 });
  // One of a former run may name other ports, and authz knows no session before the control plane answers.
  forgetConfiguration(settings);

  const supervisor: Supervisor = new Supervisor({
    stateDir,
    clock: systemClock,
    logger: roleLogger('start', 'silent'),
    stopTimeoutMs: settings.drainTimeMs + 5_000,
    onUnexpectedEnd: (name, exitStatus) => {
      say(`${name} ended with ${exitStatus} and is started again; see ${supervisor.logFile(name)}`);
      const lastLine = readFileSync(supervisor.logFile(name), 'utf8').trimEnd().split('\n').at(-1);
      if (lastLine) say(`  ${lastLine}`);
    },
  });
  const role = (name: string) => ({
    name,
    command: process.execPath,
    args: ['--enable-source-maps', launch.mainFile, name, ...launch.settingsArguments],
    env: process.env,
  });
  try {
    const startedAtMs = Date.now();
    if (settings.issuer.enabled) supervisor.run(role('issuer'));
    supervisor.run(role('control-plane'));
    supervisor.run(role('authz'));
    supervisor.run({
      name: 'envoy',
      command: envoyBin,
      args: envoyArguments({
        bootstrapFile,
        concurrency: settings.envoy.concurrency || undefined,
        logLevel: settings.envoy.logLevel,
        drainSeconds: Math.ceil(settings.drainTimeMs / 1000),
      }),
      env: process.env,
    });
    say('Starting the gateway (Ctrl-C ends it):');
    if (await waitUntilReady(settings, stop, say)) {
      say(await firstSteps(settings, Date.now() - startedAtMs));
      await aborted(stop);
    }
    say('Stopping.');
    await drainEnvoy({
      adminAddr: settings.envoy.adminAddr,
      limitMs: settings.drainTimeMs,
      clock: systemClock,
      onWaiting: (requests) =>
        say(`Waiting for ${requests} running requests; Ctrl-C again does not wait.`),
    });
  } finally {
    await supervisor.stop();
    await stopLocalDrivers(driversFolder(settings));
    await stopLocalDrivers(classArchiveState(archivesFolder(settings)));
  }
}

function findEnvoy(configured: string | undefined): string {
  const candidates = configured
    ? [configured]
    : (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'envoy'));
  const found = candidates.find((candidate) => existsSync(candidate));
  if (found) return found;
  throw new GatewayError(
    'SETTINGS_INVALID',
    configured
      ? `envoy.bin: there is no program ${configured}`
      : 'envoy.bin: no Envoy is on the PATH: use "npm start", which installs one, or set ENVOY_BIN',
  );
}

function neededPorts(settings: Settings): readonly NeededPort[] {
  const { admin, assignments, authz, envoy, issuer, xds } = settings;
  const ports: NeededPort[] = [
    { setting: 'listen_addr', address: settings.listenAddr },
    { setting: 'xds.listen_addr', address: xds.listenAddr },
    { setting: 'assignments.listen_addr', address: assignments.listenAddr },
    { setting: 'admin.listen_addr', address: admin.listenAddr },
    { setting: 'authz.metrics_addr', address: authz.metricsAddr },
    { setting: 'envoy.admin_addr', address: envoy.adminAddr },
  ];
  if (!('path' in authz.listenAddr)) {
    ports.push({ setting: 'authz.listen_addr', address: authz.listenAddr });
  }
  if (xds.relayAddr && !('path' in xds.relayAddr)) {
    ports.push({ setting: 'xds.relay_addr', address: xds.relayAddr });
  }
  if (issuer.enabled) ports.push({ setting: 'issuer.listen_addr', address: issuer.listenAddr });
  return ports;
}
