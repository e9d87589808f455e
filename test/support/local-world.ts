import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { pino } from 'pino';
import type { DriverSource, ObservedDriver } from '../../src/model/driver.js';
import { systemClock } from '../../src/model/clock.js';
import type { MakeDriverCommand } from '../../src/discovery/local/local-driver.js';
import {
  LocalProcesses,
  stopLocalDrivers,
  type LocalProcessesOptions,
} from '../../src/discovery/local/local-drivers.js';
import { reserveNetwork } from './loopback.js';

/** Of the drivers of this test file, for processes one after the other. */
export const NETWORK = await reserveNetwork();

const standIn = fileURLToPath(new URL('stand-in-driver.js', import.meta.url));

export type Behaviour = 'listen' | 'fail' | 'mute' | 'stubborn' | 'with-worker';

export function standInCommand(behaviour: Behaviour): MakeDriverCommand {
  return ({ request, marker }) => ({
    file: process.execPath,
    args: [standIn, marker, behaviour, request.address, String(request.port)],
    env: {},
  });
}

export async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'gateway-test-')));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A port that is free on the given address now. */
export function freePort(address = '127.0.0.1'): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, address, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Opens local drivers that leave nothing behind when the test ends. */
export async function openLocal(
  t: ExecutionContext,
  options: Partial<LocalProcessesOptions> & { readonly stateFolder: string },
): Promise<LocalProcesses> {
  const drivers = await LocalProcesses.open({
    makeCommand: standInCommand('listen'),
    clock: systemClock,
    log: pino({ enabled: false }),
    addressRange: `${NETWORK}.0/26`,
    port: await freePort(),
    ...options,
  });
  t.teardown(async () => {
    drivers.close();
    await stopLocalDrivers(options.stateFolder, 100);
  });
  return drivers;
}

/** Waits until discovery shows what the test wants, looking again at each event. */
export async function untilSeen(
  { source }: Pick<LocalProcesses, 'source'>,
  wanted: (drivers: readonly ObservedDriver[]) => boolean,
): Promise<readonly ObservedDriver[]> {
  // What is waited for may come by timers that do not keep a process alive.
  const alive = setInterval(() => undefined, 60_000);
  try {
    for (;;) {
      const changed = nextChange(source);
      const drivers = await source.list();
      if (wanted(drivers)) return drivers;
      await changed;
    }
  } finally {
    clearInterval(alive);
  }
}

function nextChange(source: DriverSource): Promise<void> {
  return new Promise((resolve) => {
    const stop = source.watch(() => {
      stop();
      resolve();
    });
  });
}

export async function untilReady(drivers: LocalProcesses, count = 1): Promise<ObservedDriver> {
  const seen = await untilSeen(
    drivers,
    (all) => all.filter(({ condition }) => condition === 'ready').length >= count,
  );
  return seen.find(({ condition }) => condition === 'ready') as ObservedDriver;
}

export function pidOf(driver: ObservedDriver): number {
  return Number(driver.instance.split('@')[0]);
}
