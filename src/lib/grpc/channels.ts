/** Options of the channels on which this gateway's processes ask each other. */
import {
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageShape,
  fromBinary,
  toBinary,
} from '@bufbuild/protobuf';
import type { ChannelOptions, MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

/**
 * `steady`: a server that comes back is found within 2 s, one that vanished is noticed within 30 s.
 * `quick`: 1 s and 15 s, where somebody else could be asked meanwhile.
 */
const paces = {
  steady: {
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2_000,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
  },
  quick: {
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 5_000,
  },
} as const;

/** @param serverName Name in the server's certificate; undefined: the host of the address. */
export function channelOptions(
  pace: keyof typeof paces,
  serverName: string | undefined,
): ChannelOptions {
  return {
    ...paces[pace],
    // A proxy of the environment is for what is outside: it knows nothing of this machine or cluster.
    'grpc.enable_http_proxy': 0,
    ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
  };
}

// Generated protobuf services as grpc-js service definitions.

/** The grpc-js definition of one generated method; message objects are protobuf-es messages. */
export function methodDefinition<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream:
      method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream:
      method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: (message) => Buffer.from(toBinary(method.input, message)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(method.output, message)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
    originalName: method.localName,
  };
}

/** For `grpc.Server.addService`: handlers are keyed by the method's lower-camel name. */
export function serviceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => [method.localName, methodDefinition(method)]),
  );
}

/** In place of a message's codec, where messages are passed on, or read, as they are on the wire. */
export function asOnTheWire(bytes: Buffer): Buffer {
  return bytes;
}
