/** Stands in for spark-submit with a job in it: speaks and ends as the last argument says. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const [marker = '', behaviour = '', detail = ''] = process.argv.slice(2);
const [, job = '', attempt = '1'] = /\/\/([^/]+)\/(\d+)$/.exec(marker) ?? [];

function report(fields: Record<string, unknown>): void {
  const whole = { format: 1, job_id: job, application_id: `app-${attempt}`, ...fields };
  writeFileSync(process.env['COREETL_TERMINATION_LOG'] ?? '', JSON.stringify(whole));
}

function complete(): void {
  report({ state: 'COMPLETED', exit_code: 0, row_count: '3' });
  process.exit(0);
}

function hang(): void {
  report({ state: 'RUNNING', ui_url: 'http://127.0.0.1:40404' });
  process.stdout.write('it runs\n');
  setInterval(() => undefined, 60_000);
}

process.stdout.write(`attempt ${attempt}\n`);
switch (behaviour) {
  case 'complete':
    complete();
    break;
  case 'fail':
    report({
      state: 'FAILED',
      exit_code: Number(detail),
      code: 'STEP_FAILED',
      message: 'It broke.',
    });
    process.exit(Number(detail));
    break;
  case 'fail-once':
    if (attempt === '1') process.exit(1);
    complete();
    break;
  case 'exit-silently':
    process.exit(Number(detail));
    break;
  case 'killed':
    process.kill(process.pid, 'SIGKILL');
    break;
  case 'hang':
    hang();
    process.on('SIGTERM', () => process.exit(143));
    break;
  case 'stubborn':
    process.on('SIGTERM', () => process.stdout.write('no\n'));
    // Its own kind of Python worker.
    spawn(process.execPath, ['-e', 'setInterval(() => {}, 60000)'], { stdio: 'ignore' });
    hang();
    break;
  case 'chatty':
    for (let i = 0; i < Number(detail); i += 1)
      process.stdout.write(`line ${i} ${'x'.repeat(80)}\n`);
    process.stderr.write('last words without an end');
    report({ state: 'COMPLETED', exit_code: 0 });
    // Not `exit`, which would not wait until all is written.
    break;
  default:
    throw new Error(`no such behaviour: ${behaviour}`);
}
