/**
 * Many Envoys in one process: each has an aggregated stream on a connection of its own, with all
 * clusters by wildcard and all endpoints by name, and acknowledges what it is sent at once.
 * Arguments: port, sotw or delta, number of streams, and `shuffled` if each is to have an order of its
 * own for the names. Answers each command on standard input with a JSON line.
 */
import { createInterface } from 'node:readline';
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import { TypeUrl } from '../../src/xds/resource.js';
import { lengthDelimited, XdsWireReader } from '../../src/xds/xds-wire.js';
import { clusterName, CLUSTERS } from './world.js';

const [port = '', protocol = 'delta', streams = '100', order = ''] = process.argv.slice(2);
const STREAMS = Number(streams);
const delta = protocol === 'delta';
const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const method = `${ADS}/${delta ? 'Delta' : 'Stream'}AggregatedResources`;
const names = Array.from({ length: CLUSTERS }, (_, index) => clusterName(index));
// Field numbers of envoy/service/discovery/v3/discovery.proto.
const REQUEST = delta
  ? { node: 1, typeUrl: 2, names: 3, nonce: 6 }
  : { version: 1, node: 2, names: 3, typeUrl: 4, nonce: 5 };
const NODE = { id: 1, cluster: 2 };
// The same in both kinds of response.
const RESPONSE = { version: 1, resources: 2, typeUrl: 4, nonce: 5 };

/** Endpoint responses since the last `mark`, by stream. */
const responses: number[] = [];
let bytesReceived = 0;
let allHaveIt: (() => void) | undefined;

const same = (bytes: Buffer) => bytes;

/** The fields that name all endpoints. */
function encodeNames(list: readonly string[]): Buffer {
  return Buffer.concat(list.map((name) => lengthDelimited(REQUEST.names, name)));
}

/** Another order for each seed. */
function shuffled(list: readonly string[], seed: number): string[] {
  const mixed = [...list];
  let state = seed + 1;
  for (let i = mixed.length - 1; i > 0; i -= 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const j = state % (i + 1);
    [mixed[i], mixed[j]] = [mixed[j] ?? '', mixed[i] ?? ''];
  }
  return mixed;
}

const NO_NAMES = Buffer.alloc(0);
const commonNames = encodeNames(names);

interface Request {
  readonly typeUrl: TypeUrl;
  readonly nonce: string;
  readonly version: string;
  /** Only the first one of a stream. */
  readonly nodeId?: string;
  readonly names: Buffer;
}

function encodeRequest({ typeUrl, nonce, version, nodeId, names: wanted }: Request): Buffer {
  const node = Buffer.concat([
    lengthDelimited(NODE.id, nodeId ?? ''),
    lengthDelimited(NODE.cluster, 'bench'),
  ]);
  return Buffer.concat([
    ...(REQUEST.version === undefined ? [] : [lengthDelimited(REQUEST.version, version)]),
    ...(nodeId === undefined ? [] : [lengthDelimited(REQUEST.node, node)]),
    lengthDelimited(REQUEST.typeUrl, typeUrl),
    wanted,
    lengthDelimited(REQUEST.nonce, nonce),
  ]);
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
  const ownNames = order === 'shuffled' ? encodeNames(shuffled(names, index)) : commonNames;
  const send = (typeUrl: TypeUrl, nonce: string, version: string, first = false) => {
    // No names are all clusters, as Envoy asks for them; an incremental client names them once.
    const named = typeUrl === TypeUrl.ENDPOINTS && (!delta || nonce === '');
    const content = { typeUrl, nonce, version, names: named ? ownNames : NO_NAMES };
    stream.write(encodeRequest(first ? { ...content, nodeId: id } : content));
  };
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
