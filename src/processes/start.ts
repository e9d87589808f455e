/** `start`: the whole gateway on one machine, as child processes that end with it. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { classArchiveState } from '../discovery/local/class-archive.js';
import { stopLocalBatch } from '../batch/local/attempt-processes.js';
import { stopLocalDrivers } from '../discovery/local/local-drivers.js';
import { envoyArguments } from '../envoy/bootstrap.js';
import { Supervisor } from '../lib/child-processes/supervisor.js';
import { formatAddress, type TcpAddress } from '../model/address.js';
import { systemClock, type Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import { authzAddress } from '../settings/authz-address.js';
import { type Settings, localAdminUrl, localPlaygroundUrl, localUrl } from '../settings/table.js';
import { writeBootstrap } from './envoy-bootstrap.js';
import { localJobsFolder } from './batch-local.js';
import { archivesFolder, driversFolder } from './own-drivers.js';
import { aborted, NODE_OPTIONS, roleLogger, terminationSignal } from './process.js';
import { forgetConfiguration } from './xds.js';

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
  writeBootstrap(settings, bootstrapFile);
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
    args: [...NODE_OPTIONS, launch.mainFile, name, ...launch.settingsArguments],
    env: process.env,
  });
  try {
    const startedAtMs = Date.now();
    if (settings.issuer.enabled) supervisor.run(role('issuer'));
    supervisor.run(role('control-plane'));
    supervisor.run(role('authz'));
    if (settings.runner.enabled) supervisor.run(role('runner'));
    if (settings.playground.enabled) supervisor.run(role('playground'));
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
    await stopLocalBatch(localJobsFolder(settings));
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
  const { admin, assignments, authz, envoy, issuer, playground, runner, xds } = settings;
  const ports: NeededPort[] = [
    { setting: 'listen_addr', address: settings.listenAddr },
    { setting: 'xds.listen_addr', address: xds.listenAddr },
    { setting: 'assignments.listen_addr', address: assignments.listenAddr },
    { setting: 'admin.listen_addr', address: admin.listenAddr },
    { setting: 'authz.metrics_addr', address: authz.metricsAddr },
    { setting: 'envoy.admin_addr', address: envoy.adminAddr },
    { setting: 'envoy.health_addr', address: envoy.healthAddr },
  ];
  const authzAddr = authzAddress(settings);
  if (!('path' in authzAddr)) {
    ports.push({ setting: 'authz.listen_addr', address: authzAddr });
  }
  if (xds.relayAddr && !('path' in xds.relayAddr)) {
    ports.push({ setting: 'xds.relay_addr', address: xds.relayAddr });
  }
  if (runner.enabled) {
    ports.push(
      { setting: 'runner.listen_addr', address: runner.listenAddr },
      { setting: 'runner.metrics_addr', address: runner.metricsAddr },
    );
  }
  if (playground.enabled) {
    ports.push(
      { setting: 'playground.listen_addr', address: playground.listenAddr },
      { setting: 'playground.metrics_addr', address: playground.metricsAddr },
    );
  }
  if (admin.healthAddr) ports.push({ setting: 'admin.health_addr', address: admin.healthAddr });
  if (issuer.enabled) ports.push({ setting: 'issuer.listen_addr', address: issuer.listenAddr });
  return ports;
}

// Lets an Envoy finish what it has begun before it is asked to end, which it does at once.

export interface DrainEnvoyOptions {
  /** Of its administration. */
  readonly adminAddr: TcpAddress;
  /** How long it may take. */
  readonly limitMs: number;
  readonly clock: Clock;
  /** Told once, if there is something to wait for: how many requests run. */
  readonly onWaiting: (requests: number) => void;
}

const LOOK_EVERY_MS = 200;
/** Requests of clients that run now. */
const ACTIVE = 'http.front.downstream_rq_active';

/**
 * Tells connected clients to go elsewhere with their next request (GOAWAY) and resolves when no
 * request runs, when the time is over, or when Envoy does not answer. Never rejects.
 */
export async function drainEnvoy(options: DrainEnvoyOptions): Promise<void> {
  const { adminAddr, limitMs, clock, onWaiting } = options;
  const admin = `http://${formatAddress(adminAddr)}`;
  const giveUpAtMs = clock.now() + limitMs;
  let told = false;
  try {
    await fetch(`${admin}/drain_listeners?graceful&skip_exit`, { method: 'POST' });
    while (clock.now() < giveUpAtMs) {
      const stats = await (await fetch(`${admin}/stats?filter=^${ACTIVE}$`)).text();
      const requests = Number(/: (\d+)/.exec(stats)?.[1] ?? 0);
      if (requests === 0) return;
      if (!told) onWaiting(requests);
      told = true;
      await new Promise<void>((resolve) => {
        clock.setTimer(LOOK_EVERY_MS, resolve);
      });
    }
  } catch {
    // It does not run.
  }
}

// Checks before a start that every port is to be had, so that a clash is one clear line.

interface NeededPort {
  /** The setting that names it. */
  readonly setting: string;
  readonly address: TcpAddress;
}

/** Rejects with SETTINGS_INVALID, one line for each address that cannot be listened on. */
async function checkPorts(needed: readonly NeededPort[]): Promise<void> {
  const problems = (await Promise.all(needed.map(problemOf))).filter(
    (problem) => problem !== undefined,
  );
  if (problems.length > 0) throw new GatewayError('SETTINGS_INVALID', problems.join('\n'));
}

function problemOf({ setting, address }: NeededPort): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      resolve(`${setting}: ${formatAddress(address)} ${reason(error)}`);
    });
    server.listen({ host: address.host, port: address.port, exclusive: true }, () => {
      server.close(() => resolve(undefined));
    });
  });
}

function reason(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return 'is in use by another program: stop that, or choose another port';
    case 'EACCES':
      return 'is not allowed to this user: choose a port above 1023';
    case 'EADDRNOTAVAIL':
      return 'is no address of this machine';
    default:
      return `cannot be listened on: ${error.message}`;
  }
}

// What a person at the terminal is told.

// A terminal or pipe that has gone must not keep a process from ending what it has started.
process.stdout.on('error', () => undefined);

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

// What `start` shows: what it waits for, and how to use what it has started.

const POLL_MS = 150;

/**
 * Resolves with true when the front door is open and a driver waits behind it, with false when
 * `stop` was aborted before. Says what is missing whenever that changes.
 */
async function waitUntilReady(
  settings: Settings,
  stop: AbortSignal,
  tell: (text: string) => void,
): Promise<boolean> {
  const parts = [
    { name: 'control plane', url: `${localAdminUrl(settings)}/readyz/pools` },
    { name: 'authz', url: `${localUrl(settings.authz.metricsAddr)}/readyz/issuers` },
    { name: 'Envoy', url: `${localUrl(settings.envoy.adminAddr)}/ready` },
    ...(settings.runner.enabled
      ? [{ name: 'Runner', url: `${localUrl(settings.runner.metricsAddr)}/readyz` }]
      : []),
    ...(settings.playground.enabled
      ? [{ name: 'Playground', url: `${localUrl(settings.playground.metricsAddr)}/readyz` }]
      : []),
  ];
  let told = '';
  while (!stop.aborted) {
    const missing: string[] = [];
    for (const { name, url } of parts) {
      const problem = await notReady(url);
      if (problem !== undefined) missing.push(`${name}: ${problem}`);
    }
    if (missing.length === 0) return true;
    const waitingFor = missing.join('; ');
    if (waitingFor !== told) tell(`  waiting for ${waitingFor}`);
    told = waitingFor;
    await pause(POLL_MS, undefined, { signal: stop }).catch(() => {});
  }
  return false;
}

async function notReady(url: string): Promise<string | undefined> {
  try {
    const response = await answer(url);
    const said = (await text(response)).trim();
    return response.statusCode === 200 ? undefined : said;
  } catch {
    return 'starting';
  }
}

/** A certificate is for the name that operators use, not for this machine's address; nothing secret is sent. */
function answer(url: string): Promise<IncomingMessage> {
  const options = { signal: AbortSignal.timeout(2_000), agent: false, rejectUnauthorized: false };
  return new Promise((resolve, reject) => {
    const get = url.startsWith('https:') ? getHttps : getHttp;
    get(url, options, resolve).on('error', reject);
  });
}

/** The lines a newcomer needs: a URL to paste, where tokens, metrics and logs are. */
async function firstSteps(settings: Settings, tookMs: number): Promise<string> {
  const lines = [`The Spark Connect gateway is ready after ${(tookMs / 1000).toFixed(1)} s.`, ''];
  const port = settings.listenAddr.port;
  if (settings.issuer.enabled) {
    const issuer = localUrl(settings.issuer.listenAddr);
    const { headers } = settings;
    const response = await fetch(`${issuer}/token?user=alice`);
    const token = (await response.text()).trim();
    lines.push(
      '  Connect as alice (a token of the development issuer, for this machine only):',
      `    sc://localhost:${port}/;token=${token};${headers.team}=data;${headers.environment}=dev`,
      '',
      `  In Python: SparkSession.builder.remote("sc://…").getOrCreate()`,
      `  Others:    curl '${issuer}/token?user=bob'`,
    );
  } else {
    lines.push(`  Connect:   sc://localhost:${port}/;token=…;${settings.headers.team}=…`);
  }
  lines.push(
    `  Console:   ${localAdminUrl(settings)}/`,
    ...(settings.playground.enabled
      ? [`  Playground: ${localPlaygroundUrl(settings)}/ (batch jobs: docs/batch.md)`]
      : []),
    `  Metrics:   ${localAdminUrl(settings)}/metrics`,
    `  Logs:      ${settings.stateDir}/logs`,
    '',
    'Ctrl-C ends it and its drivers.',
  );
  return lines.join('\n');
}
