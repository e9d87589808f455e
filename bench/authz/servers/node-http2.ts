/** The same decisions and the same codec on node:http2's own server. */
import { createServer } from 'node:http2';
import pino from 'pino';
import { decodeCheckRequest, encodeAllowed, encodeDenied } from '../../../src/authz/check-codec.js';
import { CheckService } from '../../../src/authz/check-service.js';
import { frame, unframe } from '../../../src/authz/grpc-wire.js';
import { noMetrics } from '../../../src/authz/metrics.js';
import { TokenVerifier } from '../../../src/authz/token/verifier.js';
import { systemClock } from '../../../src/model/clock.js';
import { noTracer } from '../../../src/model/tracing.js';
import { assign, policyOf, subjectOf } from '../subject.js';

const subject = subjectOf(process.argv[2]);
const policy = policyOf(subject);
const logger = pino({ level: 'warn' });
const service = new CheckService({
  policy: () => policy,
  assigner: { assign },
  activity: { activity: () => undefined },
  seen: { seen: () => undefined },
  verifier: new TokenVerifier({ clock: systemClock, logger }),
  clock: systemClock,
  logger,
  metrics: noMetrics,
  tracer: noTracer,
  headers: {
    routing: ['x-doordash-team', 'x-doordash-environment'],
    user: 'x-doordash-user',
  },
  holdMs: 60_000,
  expiredTokenGraceMs: 0,
});

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
