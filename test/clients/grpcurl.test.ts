import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { RunnerWorld } from '../runner/world.js';

const program = process.env['GRPCURL'];
const run = promisify(execFile);

const grpcurl = async (...args: readonly string[]) =>
  (await run(program ?? '', ['-plaintext', ...args])).stdout;

if (program) {
  test('grpcurl finds out what the Runner offers, and asks it, with nothing but its address', async (t) => {
    const world = await RunnerWorld.start(t);
    const address = `127.0.0.1:${world.port}`;
    t.deepEqual(
      (await grpcurl(address, 'list')).trim().split('\n'),
      [
        'grpc.health.v1.Health',
        'grpc.reflection.v1.ServerReflection',
        'grpc.reflection.v1alpha.ServerReflection',
        'sparkrunner.SparkRunnerService',
        'spark_gateway.v1.JobService',
      ].toSorted(),
    );
    const described = await grpcurl(address, 'describe', 'sparkrunner.SubmitRequest');
    t.regex(described, /map<string, string> options = 6;/);
    const submission = {
      manifest: 'kind: SparkJob',
      team: 'data',
      environment: 'dev',
      user: 'alice@example.com',
    };
    const submitted = await grpcurl(
      '-d',
      JSON.stringify(submission),
      address,
      'sparkrunner.SparkRunnerService/Submit',
    );
    const { jobId } = JSON.parse(submitted) as { jobId: string };
    const checked = await grpcurl(
      '-H',
      'x-doordash-user: alice@example.com',
      '-d',
      JSON.stringify({ job_id: jobId }),
      address,
      'sparkrunner.SparkRunnerService/Check',
    );
    t.like(JSON.parse(checked), { jobId, state: 'PENDING' });
    const health = async () =>
      JSON.parse(
        await grpcurl(
          '-d',
          JSON.stringify({ service: 'sparkrunner.SparkRunnerService' }),
          address,
          'grpc.health.v1.Health/Check',
        ),
      ) as { status: string };
    // It serves from when it has seen that the control plane answers.
    while ((await health()).status !== 'SERVING');
    t.pass();
  });

  test('a refusal is shown with its code and the place of each mistake', async (t) => {
    const { GatewayError } = await import('../../src/model/errors.js');
    const world = await RunnerWorld.start(t, {
      validate: () => {
        throw new GatewayError('MANIFEST_INVALID', 'The manifest has a mistake.', {
          problems: [{ line: 3, column: 5, path: 'spec.engine', message: 'is missing' }],
        });
      },
    });
    const error = await t.throwsAsync<Error & { stderr: string }>(
      run(program, [
        '-plaintext',
        '-d',
        '{"manifest": "x"}',
        `127.0.0.1:${world.port}`,
        'sparkrunner.SparkRunnerService/Submit',
      ]),
    );
    t.regex(error?.stderr ?? '', /InvalidArgument/);
    t.regex(error?.stderr ?? '', /MANIFEST_INVALID/);
    t.regex(error?.stderr ?? '', /line 3, column 5: is missing/);
  });
}

test('the tests of grpcurl are there where Go is', (t) => {
  t.is(program === undefined, !process.env['GO_CLIENT']);
});
