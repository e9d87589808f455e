/**
 * What a new session waits for on a warm pool: the first RPC of sessions one after the other, and of many
 * at once, beside an RPC of a known session, through the whole gateway (Envoy, authz, control plane) to
 * stand-in drivers that answer at once. Usage: npm run bench:first-rpc [-- rounds]
 */
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ClientHttp2Session } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { Gateway } from '../../test/support/gateway.js';
import { reserveNetwork } from '../../test/support/loopback.js';
import { teamPolicy } from '../../test/support/team-policy.js';
import { unusedPort } from '../../test/support/unused-port.js';
import { cpuMicros } from '../cpu.js';
import { connectTo, headersFor, rpc } from '../proxy/rpc.js';
import { request } from '../proxy/wire.js';

/** Sessions that begin at the same time, each on a connection of its own. */
const AT_ONCE = 50;
/** Sessions that begin one after the other, in each round. */
const IN_TURN = 10;
/** RPCs of a known session, in each round. */
const KNOWN = 50;
/** So that code is compiled, as it is in a gateway that has run for some minutes. */
const WARM_UP_ROUNDS = 10;
/** Drivers have addresses of so many networks, each with so many. */
const NETWORKS = 4;
const ADDRESSES = 250;
const DRIVERS = NETWORKS * ADDRESSES;
const PAUSE_MS = 500;
const servers = ['envoy', 'authz', 'control-plane'] as const;
const rounds = Math.min(
  Number(process.argv[2] ?? 3),
  Math.floor(DRIVERS / (AT_ONCE + IN_TURN)) - WARM_UP_ROUNDS,
);

const folder = mkdtempSync(join(tmpdir(), 'bench-first-rpc-'));
const networks: string[] = [];
for (let i = 0; i < NETWORKS; i += 1) networks.push(await reserveNetwork());
const port = await unusedPort('0.0.0.0');
// One process answers on all addresses.
const driver = fork(
  fileURLToPath(new URL('../proxy/driver.js', import.meta.url)),
  [String(port), '0.0.0.0'],
  { execArgv: [] },
);
let gateway: Gateway | undefined;
const connections: ClientHttp2Session[] = [];
try {
  await once(driver, 'message');
  const drivers = Array.from({ length: DRIVERS }, (_, i) => ({
    name: `bench-${i + 1}`,
    namespace: 'sjns-data-dev',
    address: `${networks[Math.floor(i / ADDRESSES)]}.${(i % ADDRESSES) + 1}`,
    port,
  }));
  const driversFile = join(folder, 'drivers.yaml');
  writeFileSync(driversFile, stringify({ drivers }));
  gateway = await Gateway.start({
    policy: teamPolicy({ size: 0, maximum: DRIVERS, sessionsPerDriver: 1 }),
    settings: { drivers: { source: 'static', static_file: driversFile } },
  });
  const running = gateway;
  await running.until(
    () => running.drivers(),
    (all) => all.filter(({ phase }) => phase === 'available').length === DRIVERS,
  );
  const headers = await headersFor(running);
  const target = `http://127.0.0.1:${running.port}`;
  for (let i = 0; i < AT_ONCE; i += 1) connections.push(await connectTo(target));
  /** How long it took, milliseconds. */
  const config = async (connection: ClientHttp2Session, sessionId: string): Promise<number> => {
    const startedAt = performance.now();
    await rpc(connection, 'assign', headers, request(sessionId, 'alice', 'assign'));
    return performance.now() - startedAt;
  };
  const [one] = connections;
  if (!one) throw new Error('no connection');
  const knownSession = randomUUID();
  for (const connection of connections) await config(connection, knownSession);

  const known: number[] = [];
  const inTurn: number[] = [];
  const atOnce: number[] = [];
  const programs: readonly { readonly name: string; readonly pid: number }[] = [
    ...servers.map((name) => ({ name, pid: running.pid(name) })),
    { name: 'stand-in drivers', pid: driver.pid ?? 0 },
    { name: 'clients', pid: process.pid },
  ];
  const spentMicros = programs.map(() => 0);
  const now = () => programs.map(({ pid }) => cpuMicros(pid));
  /** What they cost since, without what they cost at rest in that time. */
  const since = (before: readonly number[], atRest: readonly number[]) =>
    now().map((micros, index) => micros - (before[index] ?? 0) - (atRest[index] ?? 0));
  for (let round = 0; round < WARM_UP_ROUNDS + rounds; round += 1) {
    if (round === WARM_UP_ROUNDS) {
      for (const warmUp of [known, inTurn, atOnce]) warmUp.length = 0;
      spentMicros.fill(0);
    }
    for (let i = 0; i < KNOWN; i += 1) known.push(await config(one, knownSession));
    for (let i = 0; i < IN_TURN; i += 1) inTurn.push(await config(one, randomUUID()));
    await pause(PAUSE_MS);
    const rested = now();
    await pause(PAUSE_MS);
    const atRest = since(rested, []);
    const before = now();
    const begun = connections.map((connection) => config(connection, randomUUID()));
    const [latencies] = await Promise.all([Promise.all(begun), pause(PAUSE_MS)]);
    atOnce.push(...latencies);
    for (const [index, spent] of since(before, atRest).entries()) {
      spentMicros[index] = (spentMicros[index] ?? 0) + spent;
    }
  }
  console.log(`${DRIVERS} drivers that stand ready, ${rounds} rounds; milliseconds\n`);
  console.log('| Config | p50 | p99 | longest |\n|---|---|---|---|');
  console.log(row('a known session', known));
  console.log(row('new sessions, one after the other', inTurn));
  console.log(row(`${AT_ONCE} new sessions at once`, atOnce));
  const each = programs.map(({ name }, index) => {
    const ms = (spentMicros[index] ?? 0) / 1000 / (rounds * AT_ONCE);
    return `${name} ${ms.toFixed(1)}`;
  });
  console.log(`\nCPU for each of those at once, ms: ${each.join(', ')}`);
} finally {
  for (const connection of connections) connection.destroy();
  driver.kill('SIGKILL');
  await gateway?.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exit();

function row(title: string, latenciesMs: readonly number[]): string {
  const ascending = latenciesMs.toSorted((a, b) => a - b);
  const at = (share: number) =>
    ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? NaN;
  return `| ${title} | ${[at(0.5), at(0.99), at(1)].map((ms) => ms.toFixed(1)).join(' | ')} |`;
}
