import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { http2Probe, tcpProbe } from '../../src/discovery/port-monitor.js';
import { unusedAddress } from '../support/loopback.js';

// On 127.0.0.1 another process could take the port in between.
const address = await unusedAddress();

async function listening(t: ExecutionContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  server.listen(0, address);
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

test('an HTTP/2 server answers; a port on which nothing listens gives the reason', async (t) => {
  const server = createHttp2Server();
  server.listen(0, address);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.is(await http2Probe(address, port, 10_000), undefined);
  t.is(await tcpProbe(address, port, 10_000), undefined);
  server.close();
  await once(server, 'close');
  t.is(await http2Probe(address, port, 10_000), 'ECONNREFUSED');
  t.is(await tcpProbe(address, port, 10_000), 'ECONNREFUSED');
});

test('a server that accepts connections and says nothing does not answer', async (t) => {
  const port = await listening(t, createServer());
  t.is(await tcpProbe(address, port, 10_000), undefined);
  t.is(
    await http2Probe(address, port, 200),
    'accepts connections and does not answer within 200 ms',
  );
});

test('nor does one that says something else, or hangs up', async (t) => {
  const greeter = await listening(
    t,
    createServer((socket) => socket.write('220 mail.example.com ready\r\n')),
  );
  t.is(await http2Probe(address, greeter, 10_000), 'does not speak HTTP/2');
  const rude = await listening(
    t,
    createServer((socket) => socket.resume().end()),
  );
  t.is(await http2Probe(address, rude, 10_000), 'closes the connection without an answer');
});

test('an answer may come in pieces', async (t) => {
  const port = await listening(
    t,
    createServer((socket) => {
      socket.setNoDelay(true).write(Buffer.from([0, 0, 0]));
      socket.once('data', () => socket.write(Buffer.from([4, 0, 0, 0, 0, 0])));
    }),
  );
  t.is(await http2Probe(address, port, 10_000), undefined);
});
