import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import test from 'ava';
import { channelOptions } from '../../../src/lib/grpc/channels.js';

const PATH = '/a.Service/Echo';
const same = (value: Buffer) => value;

test('the gateway’s processes ask each other past a proxy of the environment', async (t) => {
  const asked: string[] = [];
  const proxy = createServer();
  proxy.on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  for (const name of ['http_proxy', 'https_proxy', 'grpc_proxy']) process.env[name] = proxyUrl;
  for (const name of ['no_proxy', 'no_grpc_proxy', 'NO_PROXY']) delete process.env[name];

  const server = new Server();
  server.addService(
    {
      echo: {
        path: PATH,
        requestStream: false,
        responseStream: false,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      },
    },
    {
      echo: (call: { readonly request: Buffer }, callback: (error: null, value: Buffer) => void) =>
        callback(null, call.request),
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  for (const pace of ['steady', 'quick'] as const) {
    const options = channelOptions(pace, undefined);
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), options);
    const answer = await new Promise<Buffer | undefined>((resolve, reject) => {
      client.makeUnaryRequest(PATH, same, same, Buffer.from(pace), (error, value) =>
        error ? reject(error) : resolve(value),
      );
    });
    t.is(answer?.toString(), pace);
    client.close();
  }
  t.deepEqual(asked, []);
  server.forceShutdown();
  proxy.close();
});
