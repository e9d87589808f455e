import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser, visit } from '../support/browser.js';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { routingPolicy } from '../support/routing-policy.js';

interface Context {
  gateway: Gateway;
  pyspark: PySpark;
  browser: Browser;
  faults: readonly string[];
}

const test = anyTest as TestFn<Context>;

function policy(quota: number): object {
  return routingPolicy({
    administration: {
      admin: [{ principals: ['alice@example.com'] }],
      read: [{ principals: ['bob@example.com'] }],
    },
    pools: [{ size: 1, maximum: 1, sessions_per_driver: 1, after_use: 'replace' }],
    warm_namespaces: ['sjns-data-dev'],
    quotas: [{ sessions_per_principal: quota }],
  });
}

test.before(async (t) => {
  [t.context.gateway, t.context.pyspark] = await Promise.all([
    Gateway.start({ policy: policy(3) }),
    PySpark.start('4'),
  ]);
  t.context.browser = await launchBrowser();
});

/** The overview, as alice sees it. */
async function open(t: ExecutionContext<Context>): Promise<Page> {
  const { browser, gateway } = t.context;
  const origins = [gateway.adminUrl, gateway.issuer];
  const { page, faults } = await visit(t, browser, { origins });
  t.context.faults = faults;
  await page.goto(gateway.adminUrl);
  await page.getByRole('link', { name: /^alice/ }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  return page;
}

test.afterEach((t) => t.deepEqual(t.context.faults, []));

test.after.always(async (t) => {
  await t.context.browser?.close();
  await t.context.pyspark?.kill();
  t.is(await t.context.gateway?.stop(), 0);
});

test.serial(
  'a session of PySpark appears, is looked into, and its driver is drained',
  async (t) => {
    const { gateway, pyspark } = t.context;
    const page = await open(t);
    await page.getByRole('link', { name: /Envoys in sync 1 \/ 1/ }).waitFor();
    await page.getByRole('navigation', { name: 'Views' }).getByText('Sessions').click();
    await page.getByText('Nobody has a session now.').waitFor();
    const { sessionId } = await pyspark.connect('alice', await gateway.url());
    await pyspark.sql('alice', 'SELECT 1');
    await page
      .getByRole('row', { name: /alice@example.com/ })
      .getByRole('link')
      .first()
      .click();
    await page.getByRole('heading', { name: sessionId }).waitFor();
    await page.getByText('Last RPC').waitFor();

    const { uid } = await gateway.driverOf(sessionId);
    await page.locator(`a[href="/drivers/${encodeURIComponent(uid)}"]`).click();
    await page.getByRole('button', { name: 'Drain' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Drain' }).click();
    await page.getByText(/is draining, with 1 session/).waitFor();
    t.deepEqual((await pyspark.sql('alice', 'SELECT 1')).rows, [[1]]);
    const log = await readFile(join(gateway.folder, 'state/logs/control-plane.log'), 'utf8');
    t.true(
      log
        .split('\n')
        .some(
          (line) =>
            line.includes('driver.drain') &&
            line.includes(uid) &&
            line.includes('alice@example.com'),
        ),
      'the action is recorded for audit',
    );
  },
);

test.serial('a policy that is replaced, its differences, and one that is not good', async (t) => {
  const { gateway } = t.context;
  const page = await open(t);
  await page.getByRole('link', { name: 'Policy', exact: true }).click();
  await page.getByText('sessions_per_principal: 3').waitFor();
  gateway.setPolicy(policy(5));
  await page.getByText('sessions_per_principal: 5').waitFor();
  await page.getByRole('link', { name: 'History' }).click();
  const changed = page.getByRole('region', { name: 'Differences' });
  await changed.locator('tr.removed', { hasText: 'sessions_per_principal: 3' }).waitFor();
  await changed.locator('tr.added', { hasText: 'sessions_per_principal: 5' }).waitFor();
  await page.getByLabel('Side by side').check();
  await changed.locator('td.added', { hasText: 'sessions_per_principal: 5' }).waitFor();

  gateway.setPolicy({ kind: 'RoutingPolicy' });
  await page.getByRole('link', { name: 'In force' }).click();
  await page.getByRole('heading', { name: /is not good; what is shown here stays/ }).waitFor();
  gateway.setPolicy(policy(5));
  await page.getByRole('heading', { name: /is not good/ }).waitFor({ state: 'detached' });
  t.pass();
});

test.serial('why a request would be refused, rule by rule', async (t) => {
  const page = await open(t);
  await page.getByRole('link', { name: 'Policy', exact: true }).click();
  await page.getByRole('link', { name: 'Explain a request' }).click();
  await page.getByLabel('Who').fill('carol@example.com');
  await page.getByLabel('Groups').fill('nobody');
  await page.getByLabel('Team').fill('data');
  await page.getByLabel('Environment').fill('dev');
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.getByRole('heading', { name: 'Refused: NAMESPACE_REFUSED' }).waitFor();
  t.true((await page.getByRole('region', { name: 'Access rules' }).getByRole('row').count()) > 1);
  await page.getByLabel('Groups').fill('data-engineers, everyone');
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.getByRole('heading', { name: 'Allowed' }).waitFor();
});
