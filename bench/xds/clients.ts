/**
 * Many Envoys in one process: each has an aggregated stream on a connection of its own, with all
 * clusters by wildcard and all endpoints by name, and acknowledges what it is sent at once.
 * Arguments: port, sotw or delta. Answers each command on standard input with a JSON line.
 */
import { createInterface } from 'node:readline';
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  DeltaDiscoveryRequestSchema,
  DiscoveryRequestSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js';
import { TypeUrl } from '../../src/xds/resource.js';
import { XdsWireReader } from '../../src/xds/xds-wire.js';
import { clusterName, CLUSTERS, STREAMS } from './world.js';

const [port = '', protocol = 'delta'] = process.argv.slice(2);
const delta = protocol === 'delta';
const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const method = `${ADS}/${delta ? 'Delta' : 'Stream'}AggregatedResources`;
const names = Array.from({ length: CLUSTERS }, (_, index) => clusterName(index));
// The same in both kinds of response.
const RESPONSE = { version: 1, resources: 2, typeUrl: 4, nonce: 5 };

/** Endpoint responses since the last `mark`, by stream. */
const responses: number[] = [];
let bytesReceived = 0;
let allHaveIt: (() => void) | undefined;

const same = (bytes: Buffer) => bytes;

function request(id: string, typeUrl: TypeUrl, nonce: string, version: string, first: boolean) {
  const node = first ? { node: { id, cluster: 'bench' } } : {};
  // No names are all clusters, as Envoy asks for them.
  const wanted = typeUrl === TypeUrl.CLUSTER ? [] : names;
  if (delta) {
    const resourceNamesSubscribe = nonce === '' ? wanted : [];
    const content = { ...node, typeUrl, responseNonce: nonce, resourceNamesSubscribe };
    return toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, content));
  }
  const content = {
    ...node,
    typeUrl,
    responseNonce: nonce,
    versionInfo: version,
    resourceNames: wanted,
  };
  return toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, content));
}

function connect(index: number): void {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': -1,
  });
  const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
    method,
    same,
    same,
  );
  const id = `envoy-${index}`;
  const send = (typeUrl: TypeUrl, nonce: string, version: string, first = false) =>
    stream.write(Buffer.from(request(id, typeUrl, nonce, version, first)));
  let askedEndpoints = false;
  responses[index] = 0;
  stream.on('data', (bytes: Buffer) => {
    bytesReceived += bytes.length;
    const fields = new Map<number, string>();
    const reader = new XdsWireReader(bytes);
    while (reader.next()) {
      if (reader.field !== RESPONSE.resources) fields.set(reader.field, reader.text());
    }
    const typeUrl = fields.get(RESPONSE.typeUrl);
    const nonce = fields.get(RESPONSE.nonce) ?? '';
    const version = fields.get(RESPONSE.version) ?? '';
    if (typeUrl === TypeUrl.CLUSTER) {
      send(TypeUrl.CLUSTER, nonce, version);
      if (!askedEndpoints) send(TypeUrl.ENDPOINTS, '', '');
      askedEndpoints = true;
      return;
    }
    send(TypeUrl.ENDPOINTS, nonce, version);
    responses[index] = (responses[index] ?? 0) + 1;
    if (allHaveIt && responses.every((count) => count > 0)) allHaveIt();
  });
  stream.on('error', (error) => {
    process.stderr.write(`${id}: ${String(error)}\n`);
    process.exit(1);
  });
  send(TypeUrl.CLUSTER, '', '', true);
}

/** Resolves when each stream has had a response about endpoints since the last `mark`. */
function everyone(): Promise<void> {
  if (responses.every((count) => count > 0)) return Promise.resolve();
  return new Promise((resolve) => {
    allHaveIt = resolve;
  });
}

const reply = (value: Record<string, number>) => process.stdout.write(`${JSON.stringify(value)}\n`);
for (let index = 0; index < STREAMS; index += 1) connect(index);
reply({});
for await (const command of createInterface({ input: process.stdin })) {
  if (command === 'mark') {
    responses.fill(0);
    bytesReceived = 0;
    allHaveIt = undefined;
    reply({});
  } else if (command === 'everyone') {
    await everyone();
    reply({ bytesReceived });
  }
}
process.exit(0);
