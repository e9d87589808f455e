/** The same decisions and the same codec on node:http2's own server. */
import { createServer } from 'node:http2';
import { decodeCheckRequest, encodeAllowed, encodeDenied } from '../../../src/authz/check-codec.js';
import { frame, unframe } from '../../../src/authz/grpc-wire.js';
import { systemClock } from '../../../src/model/clock.js';
import { checkServiceOf } from '../check-service.js';
import { subjectOf } from '../subject.js';

const subject = subjectOf(process.argv[2]);
const service = checkServiceOf(subject);

const server = createServer({ settings: { initialWindowSize: 4 * 1024 * 1024 } });
server.on('session', (session) => session.setLocalWindowSize(4 * 1024 * 1024));
server.on('stream', (stream) => {
  const chunks: Buffer[] = [];
  const controller = new AbortController();
  const deadline = systemClock.setTimer(75_000, () => controller.abort());
  stream.on('close', () => deadline.cancel());
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('end', () => {
    void service
      .check(decodeCheckRequest(unframe(Buffer.concat(chunks))), controller.signal)
      .then(({ allowed, response }) => {
        stream.respond(
          { ':status': 200, 'content-type': 'application/grpc' },
          { waitForTrailers: true },
        );
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(frame(allowed ? encodeAllowed(response) : encodeDenied(response)));
      });
  });
});
server.listen(subject.socket, () => process.stdout.write('ready\n'));
