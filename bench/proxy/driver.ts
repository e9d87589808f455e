/**
 * A stand-in for a Spark driver that costs as little as it can: it answers every RPC at once, so that
 * what is measured is the way to it. Usage: node driver.js <port> <address> …
 *
 * ExecutePlan answers as many messages of 1 MiB as its query asks for, all others one small message. Both
 * are messages of Spark Connect, as there are gateways that read them.
 */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { CHUNK_BYTES, chunkOfResult, messagesOf, METHODS, smallAnswer } from './wire.js';

const [port, ...addresses] = process.argv.slice(2);
const answer = smallAnswer();
const chunk = chunkOfResult();

const servers = addresses.map(() => {
  const server = createServer({ settings: { initialWindowSize: 16 * CHUNK_BYTES } });
  server.on('session', (session) => session.setLocalWindowSize(64 * CHUNK_BYTES));
  server.on('stream', serve);
  return server;
});

function serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  stream.on('error', () => undefined);
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  if (headers[':path'] === METHODS.stream) {
    stream.once('data', (query: Buffer) => sendResult(stream, messagesOf(query)));
    return;
  }
  stream.resume();
  stream.on('end', () => stream.end(answer));
}

function sendResult(stream: ServerHttp2Stream, messages: number): void {
  let left = messages;
  const send = () => {
    while (left > 0) {
      left -= 1;
      if (!stream.write(chunk)) {
        stream.once('drain', send);
        return;
      }
    }
    stream.end();
  };
  send();
}

await Promise.all(
  servers.map(async (server, index) => {
    await once(server.listen(Number(port), addresses[index]), 'listening');
  }),
);
process.send?.('ready');
process.on('disconnect', () => process.exit(0));
