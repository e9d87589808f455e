// npm run demo:batch: a batch job from the page's API to its rows, through the gateway that runs here,
// or through one of its own.
// Arguments go to `spark-gateway start`, if it starts one.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { DemoGateway } from './demo/gateway.js';
import { setup } from './setup.js';
import { printFailure, SetupError } from './setup/setup-error.js';

const POLL_MS = 500;
const JOB_TIMEOUT_MS = 5 * 60_000;
const SAMPLE = 'first-rows';

const gateway = new DemoGateway(process.argv.slice(2));
try {
  const env = await setup({ client: true });
  await gateway.ready({ ...process.env, ...env });
  const url = `http://${gateway.address('PLAYGROUND_LISTEN_ADDR', '127.0.0.1:8080')}`;
  await demo(url, await gateway.token('alice'));
} catch (error) {
  printFailure(error);
  process.exitCode = 1;
} finally {
  await gateway.stop();
}

/** What a person does at the page: takes a sample, runs it, follows its log, looks at the rows. */
async function demo(url, token) {
  const ask = api(url, token);
  const samples = await ask('GET', '/samples');
  const { manifest, title } = samples.find(({ name }) => name === SAMPLE);
  console.log(`\nAlice runs the sample "${title}" at ${url}:\n\n${indented(manifest)}`);
  const { job_id: id } = await ask('POST', '/run', { manifest, environment: 'test' });
  console.log(`Job ${id}`);
  const job = await ended(ask, id);
  if (job.state !== 'COMPLETED') throw new SetupError(`The job is ${job.state}: ${job.error}`);
  const { preview, count, output_path: path } = await ask('GET', `/results/${id}`);
  console.log(`\n${table(preview)}\n${count} rows in all, in ${path}`);
}

function api(url, token) {
  return async (method, path, body) => {
    const response = await fetch(`${url}/api/v1/playground${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body ? { 'content-type': 'application/json', 'idempotency-key': randomUUID() } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const answer = await response.json();
    if (!response.ok) throw new SetupError(`${path}: ${answer.code}: ${answer.detail}`);
    return answer;
  };
}

/** Says each new state, and what the job waits for. */
async function ended(ask, id) {
  const deadline = Date.now() + JOB_TIMEOUT_MS;
  let told = '';
  for (;;) {
    const job = await ask('GET', `/status/${id}`);
    const text = job.reason ? `${job.state}: ${job.reason.message}` : job.state;
    if (text !== told) console.log(`  ${text}`);
    told = text;
    if (['COMPLETED', 'FAILED', 'CANCELLED'].includes(job.state)) return job;
    if (Date.now() > deadline) throw new SetupError(`The job is still ${job.state}.`);
    await pause(POLL_MS);
  }
}

function table({ columns, rows }) {
  const cells = [columns, ...rows].map((row) =>
    row.map((cell) => (cell === null ? 'null' : String(cell))),
  );
  const widths = columns.map((_, at) => Math.max(...cells.map((row) => row[at].length)));
  const lines = cells.map((row) => row.map((cell, at) => cell.padEnd(widths[at])).join('  '));
  return [lines[0], widths.map((width) => '-'.repeat(width)).join('  '), ...lines.slice(1)].join(
    '\n',
  );
}

function indented(text) {
  return text.replaceAll(/^(?=.)/gm, '  ');
}
