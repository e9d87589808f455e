import test from 'ava';
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { fromServiceError, toServiceError } from '../../../src/lib/grpc/status-details.js';
import { errorCodes, GatewayError } from '../../../src/model/errors.js';

function overTheWire(error: unknown): GatewayError {
  const sent = toServiceError(error);
  return fromServiceError({
    name: 'Error',
    message: '',
    code: sent.code,
    details: sent.details ?? '',
    metadata: sent.metadata ?? new Metadata(),
  });
}

for (const code of errorCodes) {
  test(`${code} keeps its code, status and message over gRPC`, (t) => {
    const received = overTheWire(new GatewayError(code, 'what to do', { retryAfterMs: 1500 }));
    t.is(received.code, code);
    t.is(received.message, 'what to do');
    t.is(received.retryAfterMs, 1500);
  });
}

test('an error that is not ours does not show its text to the caller', (t) => {
  const received = overTheWire(new Error('password=hunter2'));
  t.is(received.code, 'INTERNAL');
  t.notRegex(received.message, /hunter2/);
});

test('a transport failure is doubt: UNAVAILABLE with a time to come back', (t) => {
  const failure: ServiceError = {
    name: 'Error',
    message: '14 UNAVAILABLE: No connection established',
    code: 14,
    details: 'No connection established',
    metadata: new Metadata(),
  };
  t.is(fromServiceError(failure).code, 'CONTROL_PLANE_UNAVAILABLE');
  t.true((fromServiceError(failure).retryAfterMs ?? 0) > 0);
});

test('a time to come back that has a fraction is told in whole milliseconds', (t) => {
  const error = new GatewayError('DRIVER_STARTING', 'soon', { retryAfterMs: 1999.7 });
  t.is(overTheWire(error).retryAfterMs, 2000);
});

test('details that cannot be read are passed over', (t) => {
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from([0x0a, 0xff]));
  const failure = { name: 'Error', message: '', code: 14, details: '', metadata };
  t.is(fromServiceError(failure).code, 'CONTROL_PLANE_UNAVAILABLE');
});

test('each problem of a refusal arrives with its place', (t) => {
  const problems = [
    { line: 3, column: 7, path: 'spec.engine.version', message: '"9" is not 3.5 or 4.1' },
    { path: '', message: 'the manifest is empty' },
  ];
  const error = new GatewayError('MANIFEST_INVALID', 'The manifest has 2 mistakes.', { problems });
  t.deepEqual(overTheWire(error).problems, problems);
});

test('of very many problems the first ones arrive, in as much as the headers of a client hold', (t) => {
  const problems = Array.from({ length: 5_000 }, (_, at) => ({
    line: at + 1,
    column: 1,
    path: `spec.coreEtl.transforms[${at}]`,
    message: 'x'.repeat(100),
  }));
  const error = new GatewayError('MANIFEST_INVALID', 'm'.repeat(2_000), { problems });
  const received = overTheWire(error).problems;
  t.deepEqual(received, problems.slice(0, received.length));
  t.true(received.length > 10);
  const { metadata } = toServiceError(error);
  const [bytes] = metadata?.get('grpc-status-details-bin') ?? [];
  t.true(bytes instanceof Buffer && bytes.toString('base64').length < 6_500);
});

test('one problem that is too long is cut rather than left out', (t) => {
  const problems = [{ line: 1, column: 1, path: 'x', message: 'y'.repeat(10_000) }];
  const [received] = overTheWire(new GatewayError('MANIFEST_INVALID', 'm', { problems })).problems;
  t.regex(received?.message ?? '', /^y{100,1000}/);
});
