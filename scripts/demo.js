// npm run demo: two PySpark users through the gateway that runs here, or through one of its own.
// Arguments go to `spark-gateway start`, if it starts one.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { DemoGateway } from './demo/gateway.js';
import { setup } from './setup.js';
import { inRoot } from './setup/paths.js';
import { printFailure } from './setup/setup-error.js';

const gateway = new DemoGateway(process.argv.slice(2));
const port = gateway.address('LISTEN_ADDR', '0.0.0.0:15002').split(':').at(-1);

try {
  const env = await setup({ client: true });
  await gateway.ready({ ...process.env, ...env });
  console.log('');
  process.exitCode = await run(env.SPARK_GATEWAY_PYTHON, [
    inRoot('scripts/demo/demo.py'),
    `localhost:${port}`,
    gateway.issuer,
  ]);
} catch (error) {
  printFailure(error);
  process.exitCode = 1;
} finally {
  await gateway.stop();
}

/** Ctrl-C ends it, and what follows it is the end of the gateway. */
async function run(command, args) {
  const env = withoutProxyFor('localhost', new URL(gateway.issuer).hostname);
  const account = spawn(command, args, { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => account.kill());
  const [code] = await once(account, 'exit');
  return code ?? 1;
}

/** The environment, in which a proxy is for other hosts: Python and gRPC would ask it for these, too. */
function withoutProxyFor(...hosts) {
  const { no_grpc_proxy, no_proxy, NO_PROXY } = process.env;
  const excepted = [no_grpc_proxy ?? no_proxy ?? NO_PROXY, ...hosts].filter(Boolean).join(',');
  return { ...process.env, no_grpc_proxy: excepted, no_proxy: excepted };
}
