import { rm, mkdtemp, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pino } from 'pino';
import { systemClock } from '../../src/model/clock.js';
import { PolicyFile } from '../../src/policy/policy-file.js';
import { options } from '../policy/support.js';
import { AuthzGateway } from '../support/authz-gateway.js';
import { denied } from '../support/check-client.js';

/**
 * By each version a request leads to its own namespace and its own access rule at once: an answer
 * that mixed two of them would lead to a namespace, or name a team, that no version has.
 */
function version(n: number): string {
  return `apiVersion: spark-gateway/v1alpha1
kind: RoutingPolicy
source_networks: [{name: lab, networks: [192.0.2.0/24]}]
targets: {namespace: "v${n}-{team}-{environment}"}
access:
  - {who: {services: [lab]}, what: {teams: [${n % 2 === 0 ? 'data' : `only-${n}`}], environments: [prod]}}
`;
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

  const ROUNDS = 24;
  let done = false;
  const seen = new Set<string>();
  let answers = 0;
  const client = async (): Promise<void> => {
    while (!done) {
      const response = await gateway.client.check({ sourceAddress: '192.0.2.7' });
      answers += 1;
      const { case: kind, value } = response.httpResponse;
      if (kind === 'okResponse') {
        const cluster = value.headers.find(({ header }) => header?.key === 'x-spark-cluster');
        seen.add(`allowed ${cluster?.header?.value}`);
      } else {
        const { code, message } = denied(response);
        seen.add(`${code} ${/team (only-\d+)/.exec(message)?.[1]}`);
      }
    }
  };
  const clients = Array.from({ length: 8 }, client);
  for (let n = 1; n <= ROUNDS; n++) {
    const next = n % 3 === 0 ? 'access: [{who: {}}]' : version(n);
    await writeFile(`${path}.next`, next);
    await rename(`${path}.next`, path);
    await file.reload();
    t.is(file.status.error !== undefined, n % 3 === 0);
    const before = answers;
    while (answers < before + 16) await new Promise((resolve) => setImmediate(resolve));
  }
  done = true;
  await Promise.all(clients);

  const whole = Array.from({ length: ROUNDS + 1 }, (_, n) => n)
    .filter((n) => n === 0 || n % 3 !== 0)
    .map((n) => (n % 2 === 0 ? `allowed spark/v${n}-data-prod` : `NAMESPACE_REFUSED only-${n}`));
  t.deepEqual([...seen].toSorted(), whole.toSorted());
});
