/** The same decisions and the same codec on node:http2's own server. */
import { createServer } from 'node:http2';
import { Call } from '../../../src/authz/http2-transport.js';
import { timeoutMs, unframe } from '../../../src/authz/grpc-wire.js';
import { checkHandler } from '../../../src/authz/authz-server.js';
import { checkServiceOf } from '../check-service.js';
import { subjectOf } from '../subject.js';

const subject = subjectOf(process.argv[2]);
const handler = checkHandler(checkServiceOf(subject));
const server = createServer({ settings: { initialWindowSize: 4 * 1024 * 1024 } });
server.on('session', (session) => session.setLocalWindowSize(4 * 1024 * 1024));
server.on('stream', (stream, headers) => {
  const chunks: Buffer[] = [];
  timeoutMs(headers['grpc-timeout']?.toString());
  const respond = (answer: Uint8Array): void => {
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(answer);
  };
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('end', () => {
    const call = new Call(headers['traceparent']?.toString());
    const answer = handler(unframe(Buffer.concat(chunks)), call);
    if (answer instanceof Promise) void answer.then(respond);
    else respond(answer);
  });
});
server.listen(subject.socket, () => process.stdout.write('ready\n'));
