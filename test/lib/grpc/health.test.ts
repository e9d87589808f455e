import { create, type DescMessage, type DescMethod, type MessageShape } from '@bufbuild/protobuf';
import test, { type ExecutionContext } from 'ava';
import { Client, credentials, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { once } from 'node:events';
import {
  Health,
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
  type HealthCheckResponse,
  HealthListRequestSchema,
} from '#gen/health/v1/health_pb.js';
import { methodDefinition } from '../../../src/lib/grpc/channels.js';
import { HealthService } from '../../../src/lib/grpc/health.js';
import { GrpcServer } from '../../../src/lib/grpc/grpc-server.js';
import { systemClock } from '../../../src/model/clock.js';

async function start(t: ExecutionContext) {
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

function ask<I extends DescMessage, O extends DescMessage>(
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
  ask(client, Health.method.check, create(HealthCheckRequestSchema, { service }));

test('a server is not serving until it says so, as a whole and each service', async (t) => {
  const { health, client } = await start(t);
  t.is((await check(client, '')).status, ServingStatus.NOT_SERVING);
  health.set(true);
  t.is((await check(client, '')).status, ServingStatus.SERVING);
  t.is((await check(client, 'some.Service')).status, ServingStatus.SERVING);
  const { statuses } = await ask(client, Health.method.list, create(HealthListRequestSchema));
  t.deepEqual(Object.keys(statuses).toSorted(), ['', 'some.Service']);
});

test('a service that is not here is NOT_FOUND', async (t) => {
  const { client } = await start(t);
  const error = await t.throwsAsync<ServiceError>(check(client, 'other.Service'));
  t.is(error?.code, status.NOT_FOUND);
});

test('whoever watches is told at once and at each change; an unknown service ends no watch', async (t) => {
  const { health, client } = await start(t);
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
