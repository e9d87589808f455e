/**
 * What a request costs Envoy in its own instructions, as Valgrind counts them: the same on a busy machine,
 * so that a filter or a route is seen that no measure of time shows. What the kernel does for its sockets is
 * not in it, and instructions do not all take as long. Needs `valgrind` on the PATH.
 * Usage: npm run bench:envoy [-- RPCs]
 */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { findEnvoy } from '../../test/support/envoy.js';
import { Gateway } from '../../test/support/gateway.js';
import { unusedAddress } from '../../test/support/loopback.js';
import { routingPolicy } from '../../test/support/routing-policy.js';
import { answerUid, SparkDriver } from '../../test/support/spark-driver.js';
import { unusedPort } from '../../test/support/unused-port.js';
import { plainEnvoy } from '../proxy/plain-envoy.js';
import { connectTo, headersFor, rpc } from '../proxy/rpc.js';
import { idOfSession, type METHODS, request } from '../proxy/wire.js';

type Kind = keyof typeof METHODS;
type Headers = Readonly<Record<string, string>>;

const [given = '200'] = process.argv.slice(2);
const count = Number(given);
/** A lease is asked for, and code that runs for the first time runs. */
const WARM_UP = 20;

const folder = mkdtempSync(join(tmpdir(), 'bench-envoy-'));
const counted = join(folder, 'envoy');
writeFileSync(
  counted,
  `#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file=${folder}/%p ${findEnvoy()} "$@"\n`,
);
chmodSync(counted, 0o755);
process.env['ENVOY_BIN'] = counted;

const driver = await SparkDriver.start('driver-1', await unusedAddress(), answerUid);
const ends: (() => unknown)[] = [() => driver.stop()];
try {
  const bootstrap = join(folder, 'plain.json');
  const port = await unusedPort();
  writeFileSync(bootstrap, plainEnvoy(port, [driver.address]));
  const plain = spawn(counted, ['--config-path', bootstrap, '--disable-hot-restart', '-l', 'off']);
  ends.push(() => plain.kill('SIGKILL'));
  const driversFile = join(folder, 'drivers.yaml');
  const { address, port: driverPort } = driver.address;
  const drivers = [{ name: 'bench', namespace: 'sjns-data-dev', address, port: driverPort }];
  writeFileSync(driversFile, stringify({ drivers }));
  const gateway = await Gateway.start({
    policy: routingPolicy({}),
    settings: {
      drivers: { source: 'static', static_file: driversFile },
      authz: { lease_time: '30s' },
    },
  });
  ends.push(() => gateway.stop());
  const headers = await headersFor(gateway);
  // Nothing tells when a driver is known, or a plain Envoy listens.
  for (const one of [port, gateway.port]) {
    await gateway.until(
      () => call(one, 'assign', 1, headers).then(() => true),
      (answered) => answered,
    );
  }

  console.log(`thousands of instructions for each RPC, of ${count}; in brackets the ratio\n`);
  console.log('| | plain Envoy | the gateway’s Envoy |\n|---|---|---|');
  for (const [title, kind] of [
    ['ReleaseExecute, by a lease', 'small'],
    ['Config, by a lease', 'assign'],
    ['AnalyzePlan', 'asked'],
  ] as const) {
    const alone = await instructions(plain.pid ?? 0, port, kind, headers);
    const own = await instructions(gateway.pid('envoy'), gateway.port, kind, headers);
    const ratio = (own / alone).toFixed(2);
    console.log(
      `| ${title} | ${Math.round(alone / 1000)} | ${Math.round(own / 1000)} (${ratio}) |`,
    );
  }
} finally {
  for (const end of ends.toReversed()) await end();
  rmSync(folder, { recursive: true, force: true });
}
process.exit();

/** Without what the process does besides: the difference of so many RPCs and twice as many. */
async function instructions(
  pid: number,
  port: number,
  kind: Kind,
  headers: Headers,
): Promise<number> {
  await call(port, kind, WARM_UP, headers);
  total(pid);
  await call(port, kind, count, headers);
  const single = total(pid);
  await call(port, kind, 2 * count, headers);
  return (total(pid) - single) / count;
}

/** Of a process since it was asked last. */
function total(pid: number): number {
  execFileSync('callgrind_control', ['-d', String(pid)], { stdio: 'ignore' });
  const dumps = readdirSync(folder).filter((name) => name.startsWith(`${pid}.`));
  const last = Math.max(...dumps.map((name) => Number(name.split('.')[1])));
  const text = readFileSync(join(folder, `${pid}.${last}`), 'utf8');
  return Number(/^(?:summary|totals): (\d+)/m.exec(text)?.[1]);
}

/** Makes RPCs one after the other on a connection of their own. */
async function call(port: number, kind: Kind, calls: number, headers: Headers): Promise<void> {
  const session = await connectTo(`http://127.0.0.1:${port}`);
  const body = request(idOfSession(0), 'bench', kind);
  try {
    for (let n = 0; n < calls; n += 1) await rpc(session, kind, headers, body);
  } finally {
    session.destroy();
  }
}
