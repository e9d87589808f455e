/** The Playground's page before real Spark: written, run, seen; a mistake in SQL; a long job, stopped. */
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import type { Browser, Locator, Page } from 'playwright-core';
import { launchBrowser, visit } from '../support/browser.js';
import { startBatchGateway } from '../support/batch-gateway.js';
import type { Gateway } from '../support/gateway.js';

interface Context {
  gateway: Gateway;
  browser: Browser;
  faults: readonly string[];
}

const test = anyTest as TestFn<Context>;

/** A job has to start a Spark, on a busy machine. */
const PATIENCE_MS = 240_000;

test.before(async (t) => {
  t.context.gateway = await startBatchGateway();
  t.context.browser = await launchBrowser();
});

test.afterEach((t) => t.deepEqual(t.context.faults, []));

test.after.always(async (t) => {
  await t.context.browser?.close();
  t.is(await t.context.gateway?.stop(), 0);
});

const manifest = (sql: string) => `apiVersion: dcp.pedregal.doordash.com/v1
kind: SparkJob
metadata:
  name: page
  team: data
spec:
  engine:
    version: "4.1"
  coreEtl:
    sources:
      - name: orders
        rows:
          - {id: 1, city: Berlin}
          - {id: 2, city: Paris}
    transforms:
      - name: result
        sql: |
          ${sql.replaceAll('\n', '\n          ')}
`;

/** A window of alice, with this in the editor. */
async function write(t: ExecutionContext<Context>, sql: string): Promise<[Page, Locator]> {
  const { browser, gateway } = t.context;
  const url = gateway.playgroundUrl;
  const { page, faults } = await visit(t, browser, { origins: [url, gateway.issuer] });
  page.setDefaultTimeout(PATIENCE_MS);
  t.context.faults = faults;
  await page.goto(url);
  await page.getByRole('link', { name: /^alice/ }).click();
  const editor = page.getByRole('textbox', { name: 'Manifest' });
  await editor.click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(manifest(sql));
  await page.getByText('No mistakes.').waitFor();
  await page.keyboard.press('ControlOrMeta+Enter');
  await page.waitForURL(/\/jobs\/job-/);
  return [page, page.getByRole('region', { name: 'Job' })];
}

test.serial('a manifest is written and run, and its rows are seen', async (t) => {
  const [page, job] = await write(t, 'SELECT id, city FROM orders ORDER BY id');
  await job.getByText('2 rows.').waitFor();
  await job.getByText('COMPLETED', { exact: true }).first().waitFor();
  const rows = job.getByRole('region', { name: 'Rows' });
  t.deepEqual((await rows.getByRole('cell').allInnerTexts()).join(' '), '1 Berlin 2 Paris');
  await rows.getByRole('columnheader', { name: /^city\s*string/ }).waitFor();
  await job.getByText(/[1-9][\d,]* lines?$/).waitFor();
  await page.getByRole('link', { name: 'Your jobs' }).click();
  const listed = page.getByRole('row', { name: /COMPLETED/ });
  await listed.getByRole('link', { name: 'page' }).click();
  await job.getByText('2 rows.').waitFor();
});

test.serial('a mistake in SQL is marked at its line', async (t) => {
  const [page, job] = await write(t, 'SELECT id,\n  town\nFROM orders');
  await job.getByText('FAILED', { exact: true }).first().waitFor();
  await job.getByRole('alert').getByText('town').first().waitFor();
  const marked = page.locator('.cm-failed-line');
  await marked.waitFor();
  t.is((await marked.innerText()).trim(), 'town');
});

test.serial('a long job is stopped', async (t) => {
  const [, job] = await write(
    t,
    'SELECT count(*) AS n FROM orders CROSS JOIN range(0, 100000000000000) WHERE id % 7 = 3',
  );
  await job.getByText('RUNNING', { exact: true }).first().waitFor();
  await job.getByRole('button', { name: 'Stop' }).click();
  // Its reason may say so before it has ended.
  await job.locator('.now').getByText('CANCELLED', { exact: true }).waitFor();
  t.is(await job.getByRole('button', { name: 'Stop' }).count(), 0);
});
