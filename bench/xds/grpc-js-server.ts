/**
 * What grpc-js itself costs: a server that knows nothing of xDS and sends each stream the bytes that it
 * would be sent.
 */
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { TypeUrl } from '../../src/xds/resource.js';
import { lengthDelimited, XdsWireReader } from '../../src/xds/xds-wire.js';
import { serveCommands } from './commands.js';
import { assignment, cluster, CLUSTERS, FIRST_PORT } from './world.js';

const SERVICE = 'envoy.service.discovery.v3.AggregatedDiscoveryService';
const RESPONSE = { version: 1, typeUrl: 4, nonce: 5 };
const TYPE_URL = { delta: 2, sotw: 4 };

type Call = ServerDuplexStream<Buffer, Buffer>;
type Protocol = keyof typeof TYPE_URL;

const same = (bytes: Buffer) => bytes;
const definition = (name: string) => ({
  path: `/${SERVICE}/${name}`,
  requestStream: true,
  responseStream: true,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

const calls = new Map<Call, Protocol>();
const indexes = Array.from({ length: CLUSTERS }, (_, index) => index);
const all = {
  [TypeUrl.CLUSTER]: indexes.map(cluster),
  [TypeUrl.ENDPOINTS]: indexes.map((index) => assignment(index, FIRST_PORT)),
};

function encode(protocol: Protocol, typeUrl: keyof typeof all, resources = all[typeUrl]): Buffer {
  return Buffer.concat([
    lengthDelimited(RESPONSE.version, 'version'),
    ...resources.map((each) => (protocol === 'delta' ? each.deltaField : each.sotwField)),
    lengthDelimited(RESPONSE.typeUrl, typeUrl),
    lengthDelimited(RESPONSE.nonce, 'nonce'),
  ]);
}

function handler(protocol: Protocol) {
  const first = {
    [TypeUrl.CLUSTER]: encode(protocol, TypeUrl.CLUSTER),
    [TypeUrl.ENDPOINTS]: encode(protocol, TypeUrl.ENDPOINTS),
  };
  return (call: Call) => {
    calls.set(call, protocol);
    const answered = new Set<string>();
    call.on('data', (bytes: Buffer) => {
      const reader = new XdsWireReader(bytes);
      while (reader.next() && reader.field !== TYPE_URL[protocol]);
      const typeUrl = reader.text() === TypeUrl.CLUSTER ? TypeUrl.CLUSTER : TypeUrl.ENDPOINTS;
      if (!answered.has(typeUrl)) call.write(first[typeUrl]);
      answered.add(typeUrl);
    });
    call.on('error', () => calls.delete(call));
    call.on('cancelled', () => calls.delete(call));
  };
}

const server = new Server({
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
});
server.addService(
  {
    delta: definition('DeltaAggregatedResources'),
    sotw: definition('StreamAggregatedResources'),
  },
  { delta: handler('delta'), sotw: handler('sotw') },
);
const port = await new Promise<number>((resolve, reject) => {
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
    if (error) reject(error);
    else resolve(bound);
  });
});
await serveCommands(port, () => {
  const changed = [assignment(CLUSTERS / 2, FIRST_PORT + 1)];
  const messages = {
    delta: encode('delta', TypeUrl.ENDPOINTS, changed),
    sotw: encode('sotw', TypeUrl.ENDPOINTS, changed),
  };
  for (const [call, protocol] of calls) call.write(messages[protocol]);
});
server.forceShutdown();
