import { create, createFileRegistry, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Client, credentials, ServerCredentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { once } from 'node:events';
import {
  ServerReflection,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from '#gen/grpc/reflection/v1/reflection_pb.js';
import { SparkRunnerService } from '#gen/sparkrunner/sparkrunner_pb.js';
import { JobService } from '#gen/spark_gateway/v1/jobs_pb.js';
import { methodDefinition } from '../../../src/lib/grpc/channels.js';
import { addReflection } from '../../../src/lib/grpc/reflection.js';
import { GrpcServer } from '../../../src/lib/grpc/grpc-server.js';
import { systemClock } from '../../../src/model/clock.js';

type Ask = MessageInitShape<typeof ServerReflectionRequestSchema>['messageRequest'];

async function start(t: ExecutionContext, version: 'v1' | 'v1alpha') {
  const server = new GrpcServer({
    name: 'test',
    address: '127.0.0.1:0',
    credentials: ServerCredentials.createInsecure(),
    clock: systemClock,
  });
  addReflection(server.server, [SparkRunnerService, JobService]);
  const client = new Client(`127.0.0.1:${await server.listen()}`, credentials.createInsecure());
  const method = methodDefinition(ServerReflection.method.serverReflectionInfo);
  const call = client.makeBidiStreamRequest(
    method.path.replace('v1', version),
    method.requestSerialize,
    method.responseDeserialize,
  );
  t.teardown(async () => {
    call.end();
    client.close();
    await server.close();
  });
  return async (messageRequest: Ask): Promise<ServerReflectionResponse> => {
    const answered = once(call, 'data') as Promise<[ServerReflectionResponse]>;
    call.write(create(ServerReflectionRequestSchema, messageRequest ? { messageRequest } : {}));
    return (await answered)[0];
  };
}

for (const version of ['v1', 'v1alpha'] as const) {
  test(`${version} lists the services, and a client can rebuild their types from the files`, async (t) => {
    const ask = await start(t, version);
    const { messageResponse: listed } = await ask({ case: 'listServices', value: '' });
    t.deepEqual(
      listed.case === 'listServicesResponse' && listed.value.service.map(({ name }) => name),
      [
        'sparkrunner.SparkRunnerService',
        'spark_gateway.v1.JobService',
        'grpc.reflection.v1.ServerReflection',
        'grpc.reflection.v1alpha.ServerReflection',
      ],
    );
    const { messageResponse } = await ask({
      case: 'fileContainingSymbol',
      value: 'spark_gateway.v1.JobService',
    });
    if (messageResponse.case !== 'fileDescriptorResponse') return t.fail('no files');
    const file = messageResponse.value.fileDescriptorProto
      .map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes))
      .toReversed();
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }));
    t.is(registry.getService('spark_gateway.v1.JobService')?.methods.length, 3);
    t.truthy(registry.getMessage('spark_gateway.v1.Job'));
  });
}

for (const symbol of [
  'sparkrunner.SparkRunnerService.Submit',
  'sparkrunner.SubmitRequest.manifest',
  'spark_gateway.v1.LogLine',
]) {
  test(`the file that declares ${symbol} is found`, async (t) => {
    const ask = await start(t, 'v1');
    const { messageResponse } = await ask({ case: 'fileContainingSymbol', value: symbol });
    t.is(messageResponse.case, 'fileDescriptorResponse');
  });
}

test('a file is found by its name; what is not here, and a request for nothing, end no stream', async (t) => {
  const ask = await start(t, 'v1');
  const wrong: Ask[] = [
    { case: 'fileByFilename', value: 'no/such.proto' },
    { case: 'fileContainingSymbol', value: 'no.Such' },
    { case: 'allExtensionNumbersOfType', value: 'sparkrunner.SubmitRequest' },
    undefined,
  ];
  const codes = [];
  for (const question of wrong) {
    const { messageResponse } = await ask(question);
    codes.push(messageResponse.case === 'errorResponse' && messageResponse.value.errorCode);
  }
  t.deepEqual(codes, [
    status.NOT_FOUND,
    status.NOT_FOUND,
    status.NOT_FOUND,
    status.INVALID_ARGUMENT,
  ]);
  const { messageResponse } = await ask({
    case: 'fileByFilename',
    value: 'sparkrunner/sparkrunner.proto',
  });
  t.is(messageResponse.case, 'fileDescriptorResponse');
});
