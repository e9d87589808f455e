/** An OpenTelemetry collector that takes all it is sent, or (argument `silent`) never answers. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { LogsService } from '#gen/otlp/logs_pb.js';
import { methodDefinition } from '../../src/lib/grpc/channels.js';

const server = new Server();
const asBytes = (bytes: Buffer) => bytes;
server.addService(
  {
    export: {
      ...methodDefinition(LogsService.method.export),
      requestDeserialize: asBytes,
      responseSerialize: asBytes,
    },
  },
  {
    export: (_call: unknown, callback: (error: null, response: Buffer) => void) => {
      if (process.argv[2] !== 'silent') callback(null, Buffer.alloc(0));
    },
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.send?.({ port });
});
