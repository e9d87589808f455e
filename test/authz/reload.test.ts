import { rm, mkdtemp, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pino } from 'pino';
import { systemClock } from '../../src/model/clock.js';
import { PolicyFile } from '../../src/policy/sources/policy-file.js';
import { options } from '../policy/support.js';
import { AuthzGateway } from '../support/authz-gateway.js';
import { denied } from '../support/check-client.js';

/**
 * By each version a request leads to its own namespace and its own access rule at once: an answer
 * that mixed two of them would lead to a namespace, or name a team, that no version has.
 */
function version(n: number): string {
  return `${sizeOf(n)}apiVersion: spark-gateway/v1alpha1
kind: RoutingPolicy
source_networks: [{name: lab, networks: [192.0.2.0/24]}]
targets: {namespace: "v${n}-{team}-{environment}"}
access:
  - {who: {services: [lab]}, what: {teams: [${n % 2 === 0 ? 'data' : `only-${n}`}], environments: [prod]}}
`;
}

/** Some are so large that they are compiled beside the event loop. */
function sizeOf(n: number): string {
  return n % 4 < 2 ? '' : '# a comment\n'.repeat(1000);
}

function answerOf(n: number): string {
  return n % 2 === 0 ? `allowed spark/v${n}-data-prod` : `NAMESPACE_REFUSED only-${n}`;
}

test('while good and bad policies replace each other under load, every answer is of one whole policy and none is lost', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'reload-'));
  const path = join(directory, 'policy.yaml');
  await writeFile(path, version(0));
  const logger = pino({ level: 'silent' });
  const file = await PolicyFile.open(path, { compile: options, clock: systemClock, logger });
  const gateway = await AuthzGateway.start({}, { policy: () => file.current });
  t.teardown(async () => {
    file.close();
    await gateway.close();
    await rm(directory, { recursive: true });
  });

  const ask = async (): Promise<string> => {
    const response = await gateway.client.check({ sourceAddress: '192.0.2.7' });
    const { case: kind, value } = response.httpResponse;
    if (kind === 'okResponse') {
      const cluster = value.headers.find(({ header }) => header?.key === 'x-spark-cluster');
      return `allowed ${cluster?.header?.value}`;
    }
    const { code, message } = denied(response);
    return `${code} ${/team (only-\d+)/.exec(message)?.[1]}`;
  };
  const burst = () => Array.from({ length: 15 }, ask);

  let inForce = 0;
  for (let n = 1; n <= 12; n++) {
    const bad = n % 3 === 0;
    await writeFile(`${path}.next`, bad ? `${sizeOf(n)}access: [{who: {}}]` : version(n));
    await rename(`${path}.next`, path);
    const before = burst();
    const reloaded = file.reload();
    const during = burst();
    await reloaded;
    const after = burst();
    t.is(file.status.error !== undefined, bad);

    const either = new Set([answerOf(inForce), answerOf(bad ? inForce : n)]);
    for (const answer of await Promise.all([...before, ...during]))
      t.true(either.has(answer), answer);
    if (!bad) inForce = n;
    t.deepEqual([...new Set(await Promise.all(after))], [answerOf(inForce)]);
  }
});
