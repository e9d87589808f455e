/**
 * Asks one server as fast as it answers: `node load.js <socket> <seconds>`. Frames come on stdin as
 * base64 lines, each a check to be sent in turn. Prints one line of JSON.
 */
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { CHECK_PATH } from '../../src/authz/server.js';

const OUTSTANDING = 64;
const WARM_UP_MS = 500;

const [, , socket = '', seconds = '2'] = process.argv;
const frames: Buffer[] = [];
for await (const line of createInterface({ input: process.stdin })) {
  frames.push(Buffer.from(line, 'base64'));
}

const session = connectHttp2('http://authz', { createConnection: () => connect(socket) });
const headers = {
  ':method': 'POST',
  ':path': CHECK_PATH,
  'content-type': 'application/grpc',
  te: 'trailers',
  'grpc-timeout': '65000m',
};
const latencies: number[] = [];
let failures = 0;
let next = 0;
let counting = false;
let over = false;

function ask(): void {
  if (over) return;
  const startedMs = performance.now();
  const stream = session.request(headers);
  let bytes = 0;
  let status: string | undefined;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  stream.on('trailers', (trailers) => {
    status = trailers['grpc-status']?.toString();
  });
  stream.on('close', () => {
    // A refusal is shorter than a route: it counts as a failure here.
    if (status !== '0' || bytes < 300) failures++;
    else if (counting && !over) latencies.push(performance.now() - startedMs);
    ask();
  });
  stream.end(frames[next++ % frames.length]);
}

for (let i = 0; i < OUTSTANDING; i++) ask();
await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
process.stderr.write('counting\n');
counting = true;
const startedMs = performance.now();
await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1000));
over = true;
const elapsedSeconds = (performance.now() - startedMs) / 1000;
const sorted = latencies.toSorted((a, b) => a - b);
process.stdout.write(
  `${JSON.stringify({
    perSecond: latencies.length / elapsedSeconds,
    count: latencies.length,
    p50Ms: sorted[Math.floor(sorted.length * 0.5)],
    p99Ms: sorted[Math.floor(sorted.length * 0.99)],
    failures,
  })}\n`,
);
session.destroy();
