import test, { type ExecutionContext } from 'ava';
import { AuditLog } from '../../../src/telemetry/audit/audit-log.js';
import { OtlpWriter } from '../../../src/telemetry/audit/otlp-writer.js';
import { OtlpClient, serviceResource } from '../../../src/lib/grpc/otlp.js';
import { systemClock } from '../../../src/model/clock.js';
import { GrpcStatus } from '../../../src/model/errors.js';
import { CountedAudit, silent } from '../../support/audit-lines.js';
import { attributesOf, OtlpCollector } from '../../support/otlp-collector.js';
import { unusedPort } from '../../support/unused-port.js';
import { rpc } from './support.js';
import { unusedAddress } from '../../support/loopback.js';

const HOST = await unusedAddress();

function auditTo(t: ExecutionContext, address: string, queueBytes = 1 << 20) {
  const metrics = new CountedAudit();
  const [host = '', port] = address.split(':');
  const log = new AuditLog({
    writers: [
      {
        name: 'otlp',
        writer: new OtlpWriter({
          client: new OtlpClient({
            endpoint: { host, port: Number(port), tls: false },
            caFile: undefined,
            timeoutMs: 1_000,
          }),
          resource: serviceResource('control-plane', 'one'),
          clock: systemClock,
        }),
      },
    ],
    queueBytes,
    clock: systemClock,
    logger: silent,
    metrics,
  });
  t.teardown(() => log.close(0));
  const act = (object: string) =>
    log.adminAction({
      principal: { issuer: 'https://issuer.example.com', subject: 'ada@example.com' },
      action: 'driver.drain',
      object,
      outcome: 'refused',
      code: 'DRIVER_UNKNOWN',
      detail: { deadline: 'now' },
    });
  return { metrics, act, log };
}

test('a collector gets records with their fields as attributes', async (t) => {
  const collector = await OtlpCollector.start(`${HOST}:0`);
  t.teardown(() => collector.stop());
  const { act, log } = auditTo(t, collector.address);
  act('driver-1');
  log.rpc(rpc);
  await collector.until(() => collector.logs.length === 2);
  const [admin, query] = collector.logs;
  t.is(admin?.eventName, 'spark_gateway.audit.admin');
  t.like(attributesOf(admin?.attributes ?? []), {
    'spark_gateway.action': 'driver.drain',
    'spark_gateway.object': 'driver-1',
    'spark_gateway.reason': 'DRIVER_UNKNOWN',
    'spark_gateway.detail.deadline': 'now',
  });
  t.is(query?.timeUnixNano, 1_700_000_000_000_000_000n);
  t.is(Buffer.from(query?.traceId ?? []).toString('hex'), '0af7651916cd43dd8448eb211c80319c');
  t.like(attributesOf(query?.attributes ?? []), {
    'spark_gateway.decision': 'allowed',
    'spark_gateway.principal': 'ada@example.com',
    'spark_gateway.claimedUser': 'ada',
    'spark_gateway.bytesSent': 2n ** 40n,
  });
});

test('a collector that is away gets the records when it is there; what did not fit is counted', async (t) => {
  const port = await unusedPort(HOST);
  const { act, metrics } = auditTo(t, `${HOST}:${port}`, 2_000);
  for (let n = 0; n < 50; n += 1) act(`driver-${n}`);
  t.true(metrics.drops.queue_full > 0);
  const collector = await OtlpCollector.start(`${HOST}:${port}`);
  t.teardown(() => collector.stop());
  const kept = 50 - metrics.drops.queue_full;
  const admins = () => collector.logs.filter(({ eventName }) => eventName.endsWith('.admin'));
  await collector.until(() => admins().length === kept);
  t.is(collector.logs.filter(({ eventName }) => eventName.endsWith('.lost')).length, 1);
});

test('a collector that is overloaded is tried again, one that does not answer as well', async (t) => {
  const collector = await OtlpCollector.start(`${HOST}:0`);
  t.teardown(() => collector.stop());
  const { act, metrics } = auditTo(t, collector.address);
  collector.answer = GrpcStatus.UNAVAILABLE;
  act('driver-1');
  await collector.until(() => collector.requests === 2);
  collector.answer = 'silence';
  await collector.until(() => collector.requests === 4);
  collector.answer = 'ok';
  await collector.until(() => collector.logs.length === 1);
  t.deepEqual(metrics.drops, { queue_full: 0, rejected: 0, shutdown: 0, unverified: 0 });
});

test('what a collector rejects is counted and not sent again', async (t) => {
  const collector = await OtlpCollector.start(`${HOST}:0`);
  t.teardown(() => collector.stop());
  const { act, metrics } = auditTo(t, collector.address);
  collector.answer = GrpcStatus.INVALID_ARGUMENT;
  act('driver-1');
  await collector.until(() => collector.requests === 1);
  collector.answer = { partial: 1 };
  act('driver-2');
  await collector.until(() => collector.requests === 2);
  collector.answer = 'ok';
  act('driver-3');
  await collector.until(() => collector.logs.length === 1);
  t.is(collector.requests, 3);
  t.is(metrics.drops.rejected, 2);
});
