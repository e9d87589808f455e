/** What authz writes into its log of requests that nobody known has made. */
import test from 'ava';
import { AuthzGateway } from '../support/authz-gateway.js';

const PATH = '/spark.connect.SparkConnectService/';

interface Line {
  readonly level: number;
  readonly code?: string;
  readonly kinds?: Record<string, number>;
}
const INFO = 30;

test('a flood of refused requests fills no log, shows no path, and is counted', async (t) => {
  const gateway = await AuthzGateway.start();
  t.teardown(() => gateway.close());
  for (let n = 0; n < 200; n += 1) {
    await gateway.client.check({ path: `${PATH}secret?access_token=secret` });
  }
  const lines = () =>
    gateway.logLines
      .map((line) => JSON.parse(line) as Line)
      .filter(({ level, code, kinds }) => level >= INFO && (code ?? kinds) !== undefined);
  t.is(lines().length, 10);
  t.notRegex(gateway.logLines.join(''), /secret/);
  await gateway.clock.advance(60_000);
  t.deepEqual(lines().at(-1)?.kinds, { METHOD_UNKNOWN: 190 });
});
