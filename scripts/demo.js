// npm run demo: two PySpark users through the gateway that runs here, or through one of its own.
// Arguments go to `spark-gateway start`, if it starts one.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { setup } from './setup.js';
import { inRoot } from './setup/paths.js';
import { printFailure, SetupError } from './setup/setup-error.js';

const POLL_MS = 300;
const READY_TIMEOUT_MS = 5 * 60_000;
const STOP_TIMEOUT_MS = 60_000;

/** Where a gateway with these settings, or the default ones, is found. */
const address = (setting, otherwise) => process.env[`SPARK_GATEWAY_${setting}`] || otherwise;
const admin = `http://${address('ADMIN_LISTEN_ADDR', '127.0.0.1:9090')}`;
const issuer = `http://${address('ISSUER_LISTEN_ADDR', '127.0.0.1:18080')}`;
const port = address('LISTEN_ADDR', '0.0.0.0:15002').split(':').at(-1);

let gateway;
let account;
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted = true;
    account?.kill();
  });
}

try {
  const env = await setup({ client: true });
  if ((await readiness()) === undefined) gateway = startGateway({ ...process.env, ...env });
  else console.log(`Using the gateway that runs here (${admin}).`);
  await untilReady();
  console.log('');
  process.exitCode = await run(env.SPARK_GATEWAY_PYTHON, [
    inRoot('scripts/demo/demo.py'),
    `localhost:${port}`,
    issuer,
  ]);
} catch (error) {
  printFailure(error);
  process.exitCode = 1;
} finally {
  if (gateway) await stopGateway();
}

/** undefined: nothing answers; `ok`; or what it still waits for. */
async function readiness() {
  try {
    const response = await fetch(`${admin}/readyz/pools`, { signal: AbortSignal.timeout(2000) });
    const text = (await response.text()).trim();
    return response.ok ? 'ok' : text;
  } catch {
    return undefined;
  }
}

/** Once the control plane is ready and tokens are to be had: PySpark itself waits for the rest. */
async function untilReady() {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    const state = await readiness();
    if (state === 'ok' && (await hasIssuer())) return;
    if (interrupted) throw new SetupError('interrupted');
    if (state === 'ok' && !gateway) {
      throw new SetupError(`The gateway that runs here has no development issuer at ${issuer}.`);
    }
    if (gateway && hasEnded(gateway)) {
      throw new SetupError('The gateway did not start; what it said last is above.');
    }
    if (Date.now() > deadline) {
      throw new SetupError(`The gateway does not become ready: ${state ?? 'no answer'}`);
    }
    await pause(POLL_MS);
  }
}

async function hasIssuer() {
  try {
    const response = await fetch(`${issuer}/.well-known/openid-configuration`);
    return response.ok;
  } catch {
    return false;
  }
}

/** In a process group of its own, so that Ctrl-C reaches it through us and only once. */
function startGateway(env) {
  console.log(`No gateway answers at ${admin}: starting one for the demo.`);
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', inRoot('build/src/main.js'), 'start', ...process.argv.slice(2)],
    { env, stdio: ['ignore', 'pipe', 'inherit'], detached: true },
  );
  let ready = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    // What follows it is for a person who would paste a URL.
    if (!ready && line.trim()) console.log(`  gateway: ${line.trim()}`);
    ready ||= line.includes('is ready');
  });
  return child;
}

async function stopGateway() {
  if (hasEnded(gateway)) return;
  const ended = once(gateway, 'exit');
  gateway.kill('SIGTERM');
  const limit = setTimeout(() => gateway.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(limit);
  console.log('The gateway of the demo is stopped.');
}

function hasEnded(child) {
  return child.exitCode !== null || child.signalCode !== null;
}

async function run(command, args) {
  const env = withoutProxyFor('localhost', new URL(issuer).hostname);
  account = spawn(command, args, { stdio: 'inherit', env });
  const [code] = await once(account, 'exit');
  return code ?? 1;
}

/** The environment, in which a proxy is for other hosts: Python and gRPC would ask it for these, too. */
function withoutProxyFor(...hosts) {
  const { no_grpc_proxy, no_proxy, NO_PROXY } = process.env;
  const excepted = [no_grpc_proxy ?? no_proxy ?? NO_PROXY, ...hosts].filter(Boolean).join(',');
  return { ...process.env, no_grpc_proxy: excepted, no_proxy: excepted };
}
