/**
 * Stands in for a Spark driver: a process that listens on an address and port, or behaves badly.
 * Arguments: the marker, the behaviour, address, port.
 */
import { spawn } from 'node:child_process';
import { createServer } from 'node:http2';

const [behaviour = '', address = '', port = ''] = process.argv.slice(3);

switch (behaviour) {
  case 'fail':
    process.stderr.write('starting\njava.net.BindException: Address already in use\n');
    process.exit(1);
    break;
  case 'mute':
    setInterval(() => {}, 60_000);
    break;
  case 'with-worker': {
    const script = 'process.on("SIGTERM", () => {}); setInterval(() => {}, 60_000)';
    const worker = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
    process.stdout.write(`worker ${worker.pid}\n`);
    listen();
    break;
  }
  case 'stubborn':
    process.on('SIGTERM', () => {});
    listen();
    break;
  default:
    listen();
}

function listen(): void {
  createServer().listen(Number(port), address);
}
