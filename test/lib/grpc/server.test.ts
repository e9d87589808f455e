import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ServerReflection,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from '#gen/grpc/reflection/v1/reflection_pb.js';
import {
  Health,
  HealthCheckRequestSchema,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthListRequestSchema,
} from '#gen/health/v1/health_pb.js';
import { JobService } from '#gen/spark_gateway/v1/jobs_pb.js';
import { SparkRunnerService } from '#gen/sparkrunner/sparkrunner_pb.js';
import {
  create,
  createFileRegistry,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import {
  Client,
  credentials,
  type handleUnaryCall,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { methodDefinition } from '../../../src/lib/grpc/channels.js';
import { GrpcServer } from '../../../src/lib/grpc/grpc-server.js';
import { HealthService } from '../../../src/lib/grpc/health.js';
import { addReflection } from '../../../src/lib/grpc/reflection.js';
import { clientCredentials, peerIdentity, serverCredentials } from '../../../src/lib/grpc/tls.js';
import { systemClock } from '../../../src/model/clock.js';
import { GatewayError } from '../../../src/model/errors.js';
import { TestAuthority } from '../../support/certificates.js';
import { unusedAddress } from '../../support/loopback.js';
import { ManualClock } from '../../support/manual-clock.js';

// Certificates.

const HOST = await unusedAddress();
const REFRESH_MS = 10_000;
const bytes = (value: Buffer) => value;
const whoAmI: MethodDefinition<Buffer, Buffer> = {
  path: '/test.Test/WhoAmI',
  requestStream: false,
  responseStream: false,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
};

function temporaryDirectory(t: { teardown: (end: () => void) => void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'gateway-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

const answerCommonName: handleUnaryCall<Buffer, Buffer> = (call, done) => {
  done(null, Buffer.from(String(call.getAuthContext().sslPeerCertificate?.subject.CN)));
};

/** A server that answers with the common name in its caller's certificate. */
async function startServer(secured: ReturnType<typeof serverCredentials>) {
  const server = new Server();
  server.addService({ whoAmI }, { whoAmI: answerCommonName });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${HOST}:0`, secured, (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { server, target: `${HOST}:${port}` };
}

/** One call on a connection of its own. */
function askWith(target: string, secured: ReturnType<typeof clientCredentials>): Promise<string> {
  const client = new Client(target, secured, { 'grpc.use_local_subchannel_pool': 1 });
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      whoAmI.path,
      bytes,
      bytes,
      Buffer.alloc(0),
      (error: ServiceError | null, answer?: Buffer) => {
        client.close();
        if (error) reject(error);
        else resolve(String(answer));
      },
    );
  });
}

test('both sides show certificates of the authority that the other believes', async (t) => {
  const directory = temporaryDirectory(t);
  const authority = new TestAuthority();
  const serverFiles = authority.writeFiles(directory, 'server', { commonName: 's', ipv4: [HOST] });
  const clientFiles = authority.writeFiles(directory, 'client', { commonName: 'envoy-1' });
  const foreign = new TestAuthority('foreign').writeFiles(directory, 'foreign', {
    commonName: 'x',
  });
  const { server, target } = await startServer(serverCredentials(serverFiles));
  t.teardown(() => server.forceShutdown());
  t.is(await askWith(target, clientCredentials(clientFiles)), 'envoy-1');
  const stranger = clientCredentials({ ...foreign, caFile: clientFiles.caFile });
  const refusal = await t.throwsAsync<ServiceError>(askWith(target, stranger));
  t.is(refusal.code, status.UNAVAILABLE);
  t.is(
    (await t.throwsAsync<ServiceError>(askWith(target, clientCredentials(undefined)))).code,
    status.UNAVAILABLE,
  );
  const deceived = clientCredentials({ ...clientFiles, caFile: foreign.caFile });
  t.is((await t.throwsAsync<ServiceError>(askWith(target, deceived))).code, status.UNAVAILABLE);
});

test('renewed files are used for new connections, without a restart', async (t) => {
  const directory = temporaryDirectory(t);
  const [oldAuthority, newAuthority] = [new TestAuthority('old'), new TestAuthority('new')];
  const clock = new ManualClock();
  const names = { commonName: 's', ipv4: [HOST] };
  const serverFiles = oldAuthority.writeFiles(directory, 'server', names);
  const clientFiles = oldAuthority.writeFiles(directory, 'client', { commonName: 'before' });
  const { server, target } = await startServer(serverCredentials(serverFiles, { clock }));
  const client = clientCredentials(clientFiles, { clock });
  t.teardown(() => server.forceShutdown());
  t.is(await askWith(target, client), 'before');

  newAuthority.writeFiles(directory, 'server', names);
  newAuthority.writeFiles(directory, 'client', { commonName: 'after' });
  const renewed = clientCredentials(clientFiles);
  await t.throwsAsync(askWith(target, renewed), undefined, 'not read again yet');
  await clock.advance(REFRESH_MS);
  t.is(await askWith(target, renewed), 'after');
  t.is(await askWith(target, client), 'after');
});

test('a certificate beside another key, or no file at all, leaves the old ones in use', async (t) => {
  const directory = temporaryDirectory(t);
  const authority = new TestAuthority();
  const clock = new ManualClock();
  const errors: GatewayError[] = [];
  const names = { commonName: 's', ipv4: [HOST] };
  const serverFiles = authority.writeFiles(directory, 'server', names);
  const client = clientCredentials(authority.writeFiles(directory, 'client', { commonName: 'c' }));
  const secured = serverCredentials(serverFiles, { clock, onError: (e) => errors.push(e) });
  const { server, target } = await startServer(secured);
  t.teardown(() => server.forceShutdown());

  writeFileSync(serverFiles.certFile, authority.issue(names).certificatePem);
  await clock.advance(REFRESH_MS);
  rmSync(serverFiles.keyFile);
  await clock.advance(REFRESH_MS);
  t.is(await askWith(target, client), 'c');
  t.deepEqual(
    errors.map((error) => error.code),
    ['SETTINGS_INVALID'],
    'one report for a row of failures',
  );
});

test('files that cannot be used at the start are named', (t) => {
  const files = {
    certFile: '/nowhere/tls.crt',
    keyFile: '/nowhere/tls.key',
    caFile: '/nowhere/ca',
  };
  for (const secured of [serverCredentials, clientCredentials]) {
    const error = t.throws(() => secured(files), { instanceOf: GatewayError });
    t.is(error.code, 'SETTINGS_INVALID');
    t.regex(error.message, /\/nowhere\/tls\.crt.*ENOENT/);
  }
});

test('a peer is known by the alternative names of its certificate, and no name passes for two', (t) => {
  const issued = new TestAuthority().issue({
    commonName: 'envoy',
    uris: ['spiffe://mesh/ns/gateway/sa/envoy', 'spiffe://x, URI:spiffe://mesh/admin'],
    dnsNames: ['envoy.gateway.svc'],
    ipv4: ['127.0.0.1'],
  });
  t.deepEqual(peerIdentity(new X509Certificate(issued.certificatePem)), {
    uris: ['spiffe://mesh/ns/gateway/sa/envoy', 'spiffe://x, URI:spiffe://mesh/admin'],
    dnsNames: ['envoy.gateway.svc'],
  });
  const bare = new TestAuthority().issue({ commonName: 'envoy' });
  t.deepEqual(peerIdentity(new X509Certificate(bare.certificatePem)), { uris: [], dnsNames: [] });
});

// Health.

async function startHealth(t: ExecutionContext) {
  const health = new HealthService(['some.Service']);
  const server = new GrpcServer({
    name: 'test',
    address: '127.0.0.1:0',
    credentials: ServerCredentials.createInsecure(),
    clock: systemClock,
  });
  health.addTo(server.server);
  const client = new Client(`127.0.0.1:${await server.listen()}`, credentials.createInsecure());
  t.teardown(async () => {
    client.close();
    health.close();
    await server.close();
  });
  return { health, client };
}

function askHealth<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethod & { readonly input: I; readonly output: O },
  message: MessageShape<I>,
): Promise<MessageShape<O>> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      message,
      (error: ServiceError | null, response?: MessageShape<O>) =>
        response ? resolve(response) : reject(error ?? new Error('no answer')),
    );
  });
}

const check = (client: Client, service: string) =>
  askHealth(client, Health.method.check, create(HealthCheckRequestSchema, { service }));

test('a server is not serving until it says so, as a whole and each service', async (t) => {
  const { health, client } = await startHealth(t);
  t.is((await check(client, '')).status, ServingStatus.NOT_SERVING);
  health.set(true);
  t.is((await check(client, '')).status, ServingStatus.SERVING);
  t.is((await check(client, 'some.Service')).status, ServingStatus.SERVING);
  const { statuses } = await askHealth(client, Health.method.list, create(HealthListRequestSchema));
  t.deepEqual(Object.keys(statuses).toSorted(), ['', 'some.Service']);
});

test('a service that is not here is NOT_FOUND', async (t) => {
  const { client } = await startHealth(t);
  const error = await t.throwsAsync<ServiceError>(check(client, 'other.Service'));
  t.is(error?.code, status.NOT_FOUND);
});

test('whoever watches is told at once and at each change; an unknown service ends no watch', async (t) => {
  const { health, client } = await startHealth(t);
  const { path, requestSerialize, responseDeserialize } = methodDefinition(Health.method.watch);
  const watch = (service: string) =>
    client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      create(HealthCheckRequestSchema, { service }),
    );
  const known = watch('some.Service');
  const next = async (): Promise<ServingStatus> => {
    const [message] = (await once(known, 'data')) as [HealthCheckResponse];
    return message.status;
  };
  t.is(await next(), ServingStatus.NOT_SERVING);
  const changed = next();
  health.set(true);
  t.is(await changed, ServingStatus.SERVING);
  const unknown = watch('other.Service');
  const [message] = (await once(unknown, 'data')) as [HealthCheckResponse];
  t.is(message.status, ServingStatus.SERVICE_UNKNOWN);
  const ended = once(known, 'status');
  health.close();
  const [end] = (await ended) as [{ code: number }];
  t.is(end.code, status.OK);
});

// Reflection.

type Ask = MessageInitShape<typeof ServerReflectionRequestSchema>['messageRequest'];

async function startReflection(t: ExecutionContext, version: 'v1' | 'v1alpha') {
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
    const ask = await startReflection(t, version);
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
      .map((encoded) => fromBinary(FileDescriptorProtoSchema, encoded))
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
    const ask = await startReflection(t, 'v1');
    const { messageResponse } = await ask({ case: 'fileContainingSymbol', value: symbol });
    t.is(messageResponse.case, 'fileDescriptorResponse');
  });
}

test('a file is found by its name; what is not here, and a request for nothing, end no stream', async (t) => {
  const ask = await startReflection(t, 'v1');
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
