import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { readFile } from 'node:fs/promises';
import type { Browser, Locator, Page } from 'playwright-core';
import { accessibilityFaults } from '../support/accessibility.js';
import { launchBrowser, visit, type VisitOptions } from '../support/browser.js';
import { contrastsBelow } from '../support/contrast.js';
import { FakePlayground, problem } from '../support/fake-playground.js';
import { unusedAddress } from '../support/loopback.js';

interface Context {
  browser: Browser;
  /** What a page must never do. */
  faults: readonly string[];
}

const test = anyTest as TestFn<Context>;
const HOST = await unusedAddress();

const MANIFEST = `apiVersion: dcp.pedregal.doordash.com/v1
kind: SparkJob
metadata:
  name: daily
  team: data
spec:
  engine:
    version: "3.5"
  coreEtl:
    sources:
      - name: orders
        rows:
          - {id: 1, city: Berlin}
    transforms:
      - name: cities
        sql: |
          SELECT city, count(*) AS n
          FROM orders
          GROUP BY city
`;
/** Counted from 1: that of \`FROM orders\`. */
const FROM_LINE = 18;

const SCHEMA = {
  type: 'struct',
  fields: [
    { name: 'city', type: 'string', nullable: true },
    { name: 'n', type: 'long', nullable: false },
  ],
};

test.before(async (t) => {
  t.context.browser = await launchBrowser();
});
test.afterEach((t) => t.deepEqual(t.context.faults, []));
test.after.always((t) => t.context.browser.close());

interface Opened {
  readonly playground: FakePlayground;
  readonly page: Page;
  readonly editor: Locator;
}

/** A window of alice, with the sample in the editor. */
async function open(
  t: ExecutionContext<Context>,
  options: Partial<VisitOptions> & {
    readonly path?: string;
    readonly playground?: FakePlayground;
  } = {},
): Promise<Opened> {
  const { path = '/', playground = await FakePlayground.start(t, HOST), ...rest } = options;
  if (playground.samples.length === 0) {
    playground.samples = [
      { name: 'rows', title: 'Inline rows', manifest: MANIFEST },
      { name: 'other', title: 'Another', manifest: MANIFEST.replace('daily', 'another') },
    ];
  }
  const { page, faults } = await visit(t, t.context.browser, {
    origins: [playground.url],
    ...rest,
  });
  t.context.faults = faults;
  await page.goto(`${playground.url}${path}`);
  return { playground, page, editor: page.getByRole('textbox', { name: 'Manifest' }) };
}

async function write(editor: Locator, page: Page, text: string): Promise<void> {
  await editor.click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(text);
}

/** Submits what is in the editor; resolves when its job is shown. */
async function run(
  { page, playground }: Opened,
  job = `job-${playground.submitted.length + 1}`,
): Promise<string> {
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.waitForURL(`${playground.url}/jobs/${job}`);
  return job;
}

test.serial('a job is run, followed, and its rows are seen', async (t) => {
  const opened = await open(t);
  const { page, playground } = opened;
  const job = await run(opened);
  const view = page.getByRole('region', { name: 'Job' });
  await view.getByText('PENDING').first().waitFor();
  await view.getByText(/for \d+ s/).waitFor();
  const [sent] = playground.submitted;
  t.is(sent?.body.manifest, MANIFEST);
  t.like(sent?.body, { environment: 'local', options: { sandbox_mode: 'true' } });

  const reason = { code: 'UNSCHEDULABLE', message: 'No node has 4 cores free.' };
  playground.move(job, 'PENDING', { reason });
  await view.getByText('It waits: No node has 4 cores free.').waitFor();
  playground.move(job, 'RUNNING', { spark_ui_url: '/spark-ui/x/' });
  await view.getByRole('link', { name: 'Spark UI' }).waitFor();
  playground.write(job, ['the first line', 'the second line']);
  await view.getByText('the second line').waitFor();
  await view.getByText('2 lines').waitFor();

  const job1 = playground.jobs.get(job);
  if (job1) {
    job1.results = {
      preview: {
        columns: ['city', 'n'],
        rows: [
          ['Berlin', '9007199254740993'],
          [null, '1'],
        ],
      },
      count: '1234567890123456789',
      schema: SCHEMA,
      output_path: 's3a://bucket/out',
    };
  }
  playground.move(job, 'COMPLETED', { spark_ui_url: 'https://history.example.com/x' });
  await view.getByText('The first 2 of 1,234,567,890,123,456,789 rows.').waitFor();
  await view.getByRole('columnheader', { name: /^n\s*bigint, never null$/ }).waitFor();
  await view.getByRole('cell', { name: '9007199254740993' }).waitFor();
  await view.getByRole('cell', { name: 'null' }).waitFor();
  await view.getByRole('link', { name: 'Spark history' }).waitFor();
  await view.getByText('Complete', { exact: true }).waitFor();
  t.is(await view.getByRole('button', { name: 'Stop' }).count(), 0);
  t.regex(await page.title(), /^COMPLETED daily/);

  const saved = page.waitForEvent('download');
  await view.getByRole('button', { name: 'Download CSV' }).click();
  const download = await saved;
  t.is(download.suggestedFilename(), `${job}.csv`);
  t.is(
    await readFile(await download.path(), 'utf8'),
    'city,n\r\nBerlin,9007199254740993\r\n,1\r\n',
  );
  await page.reload();
  await view.getByText('The first 2 of').waitFor();
  await page.goBack();
  await page.waitForURL(`${playground.url}/`);
  await view.waitFor({ state: 'detached' });
});

test.serial('mistakes are shown as they are written, and are not submitted', async (t) => {
  const { page, editor, playground } = await open(t);
  await page.getByText('No mistakes.').waitFor();
  await write(editor, page, MANIFEST.replace('team: data', 'teem: data'));
  await page.getByText('2 mistakes.').waitFor();
  await editor.locator('.cm-lintRange-error').first().waitFor();
  await page.keyboard.press('ControlOrMeta+Enter');
  const refused = page.getByRole('alert');
  await refused.getByText('It is not submitted: the manifest has 2 mistakes.').waitFor();
  await refused.getByText(/"teem" is no field.*did you mean "team"/).waitFor();
  t.is(playground.submitted.length, 0);
  await refused.getByRole('button', { name: 'Line 5' }).click();
  t.is(await page.locator('.cm-activeLine').innerText(), '  teem: data');
  for (let n = 0; n < 4; n += 1) await page.keyboard.press('Delete');
  await page.keyboard.type('team');
  await page.keyboard.press('Escape');
  await page.getByText('No mistakes.').waitFor();
  await refused.waitFor({ state: 'detached' });
});

test.serial('keys and values are completed, and explained below the pointer', async (t) => {
  const { page, editor } = await open(t);
  await editor.click();
  await page.keyboard.press('ControlOrMeta+End');
  await page.keyboard.type('    res');
  const offers = page.getByRole('listbox');
  for (const name of [/^resources/, /^driver/]) await offers.getByRole('option', { name }).click();
  await offers.getByRole('option', { name: /^cores/ }).waitFor();
  await page.keyboard.type('mem');
  await offers.getByRole('option', { name: /^memory/ }).click();
  await page.keyboard.type('8g');
  t.regex(await editor.innerText(), /\n {4}resources:\n {6}driver:\n {8}memory: 8g\n*$/);
  await page.getByText('No mistakes.').waitFor();
  await page.getByText('transforms', { exact: true }).hover();
  await page.getByText('What is computed, in this order.').waitFor();
  t.pass();
});

test.serial('SQL that failed is marked at its line, until that line is changed', async (t) => {
  const opened = await open(t);
  const { page, playground, editor } = opened;
  const job = await run(opened);
  playground.move(job, 'FAILED', {
    reason: {
      code: 'SQL_INVALID',
      message: 'The table or view `orders` cannot be found.',
      step: 'cities',
      line: FROM_LINE,
      column: 16,
    },
  });
  const failed = editor.locator('.cm-failed-line');
  await failed.getByText('FROM orders').waitFor();
  const alert = page.getByRole('alert');
  await alert.getByText('cannot be found').waitFor();
  await alert.getByText('SQL_INVALID, step “cities”').waitFor();
  await page.reload();
  await failed.getByText('FROM orders').waitFor();
  await page.getByRole('button', { name: `Go to line ${FROM_LINE}` }).click();
  await page.keyboard.type('x');
  await failed.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Edit the manifest that ran' }).click();
  await failed.getByText('FROM orders').waitFor();
  t.pass();
});

test.serial('a long job is stopped, and its status is asked for', async (t) => {
  const opened = await open(t);
  const { page, playground } = opened;
  const job = await run(opened);
  playground.move(job, 'RUNNING');
  const view = page.getByRole('region', { name: 'Job' });
  await view.getByText('RUNNING').first().waitFor();
  await view.getByRole('button', { name: 'Stop' }).click();
  await page.getByText('The job is being stopped.').waitFor();
  await view.getByText('It is being stopped.').waitFor();
  t.true(await view.getByRole('button', { name: 'Stop' }).isDisabled());
  playground.move(job, 'CANCELLED', { cancelling: false });
  await view.getByRole('button', { name: 'Check status' }).click();
  await view.getByText('CANCELLED').first().waitFor();
  t.is(await view.getByRole('button', { name: 'Stop' }).count(), 0);
});

test.serial('a refusal is told in words, with the places that it names', async (t) => {
  const opened = await open(t);
  const { page, playground, editor } = opened;
  playground.intercept = ({ method }) =>
    method === 'POST'
      ? problem(429, 'JOB_LIMIT_EXCEEDED', 'You have 3 jobs, which is the most at a time.', [
          { line: 4, column: 9, message: 'this job is one too many' },
        ])
      : undefined;
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.getByRole('alert').getByText('You have 3 jobs').waitFor();
  await page.getByRole('alert').getByText('this job is one too many').waitFor();
  await editor.locator('.cm-failed-line').getByText('name: daily').waitFor();
  t.is(page.url(), `${playground.url}/`);
});

test.serial('a submission whose answer was lost is one job when it is tried again', async (t) => {
  const opened = await open(t);
  const { page, playground } = opened;
  await page.route(
    '**/run',
    async (route) => {
      await route.fetch();
      await route.abort();
    },
    { times: 1 },
  );
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.getByRole('alert').getByText('does not answer').waitFor();
  t.is(playground.submitted.length, 1);
  await run(opened, 'job-1');
  await page.getByText('This job had been submitted already.').waitFor();
  t.is(playground.submitted.length, 1);
});

test.serial('a log goes on where its stream was cut: no line is lost or comes twice', async (t) => {
  const opened = await open(t);
  const { page, playground } = opened;
  const job = await run(opened);
  playground.move(job, 'RUNNING');
  const log = page.getByRole('region', { name: 'Log' });
  for (let n = 1; n <= 3; n += 1) {
    playground.write(job, [`round ${n}, a`, `round ${n}, b`]);
    await log.getByText(`round ${n}, b`).waitFor();
    playground.cutLogs();
  }
  playground.write(job, ['the end']);
  await log.getByText('the end').waitFor();
  t.deepEqual((await log.innerText()).trim().split('\n'), [
    'round 1, a',
    'round 1, b',
    'round 2, a',
    'round 2, b',
    'round 3, a',
    'round 3, b',
    'the end',
  ]);
  t.deepEqual(playground.logRequests, [undefined, '2', '4', '6']);
});

test.serial(
  '15,000 lines: the last ones are kept, and reading above is not disturbed',
  async (t) => {
    const opened = await open(t);
    const { page, playground } = opened;
    const job = await run(opened);
    playground.move(job, 'RUNNING');
    playground.write(
      job,
      Array.from({ length: 15_000 }, (_, n) => `line ${n + 1} of many`),
    );
    const log = page.getByRole('region', { name: 'Log' });
    await log.getByText('line 15000 of many').waitFor();
    await page.getByText(/the last (10,000|9,\d{3}) lines/).waitFor();
    t.false((await log.innerText()).includes('line 4000 of many'));
    const measure = (what: string) =>
      page.evaluate<number>(`((box) => Math.round(${what}))(document.querySelector('.log'))`);
    t.true((await measure('box.scrollHeight - box.scrollTop - box.clientHeight')) < 10);

    await log.hover();
    await page.mouse.wheel(0, -2_000);
    await page.getByRole('button', { name: 'Paused; follow again' }).waitFor();
    await page.waitForFunction(`(({ scrollHeight, scrollTop, clientHeight }) =>
      scrollHeight - scrollTop - clientHeight > 1500)(document.querySelector('.log'))`);
    const below = () => measure('box.scrollHeight - box.scrollTop');
    const before = await below();
    playground.write(job, ['written while somebody reads']);
    await log.getByText('written while somebody reads').waitFor({ state: 'attached' });
    // Lines that are dropped above move nothing; the new one is below.
    t.true(Math.abs((await below()) - before) < 40);
    await page.getByRole('button', { name: 'Paused; follow again' }).click();
    await log.getByText('written while somebody reads').waitFor();
    t.true((await measure('box.scrollHeight - box.scrollTop - box.clientHeight')) < 10);
  },
);

test.serial(
  'when the session is over, nothing written is lost, and it goes on after',
  async (t) => {
    const opened = await open(t);
    const { page, playground, editor } = opened;
    const job = await run(opened);
    await page.getByRole('region', { name: 'Job' }).getByText('PENDING').first().waitFor();
    await write(editor, page, MANIFEST.replace('daily', 'unsaved'));
    playground.signedIn = false;
    await page.getByText('Your session is over; what you have written is kept.').waitFor();
    await page.getByRole('link', { name: 'Sign in again' }).click();
    await page.getByRole('link', { name: 'Sign in' }).click();
    await page.waitForURL(`${playground.url}/jobs/${job}`);
    await page.getByRole('region', { name: 'Job' }).getByText('PENDING').first().waitFor();
    t.regex(await editor.innerText(), /name: unsaved/);
    await run(opened);
    t.is(playground.submitted.length, 2, 'the new session proves where requests come from');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Signed out' }).waitFor();
  },
);

test.serial('a sign-in in another window is enough', async (t) => {
  const opened = await open(t);
  const { page, playground } = opened;
  await run(opened);
  playground.signedIn = false;
  await page.getByText('Your session is over').waitFor();
  const other = await page.context().newPage();
  await other.goto(`${playground.url}/auth/callback`);
  await other.close();
  await page.evaluate('dispatchEvent(new Event("focus"))');
  await page.getByText('Your session is over').waitFor({ state: 'detached' });
  await run(opened);
  t.is(playground.submitted.length, 2);
});

test.serial('a draft is its writer’s alone', async (t) => {
  const { page, playground, editor } = await open(t);
  await write(editor, page, '# a secret of alice\n');
  await page.reload();
  await page.getByText('a secret of alice').waitFor();
  playground.user = 'bob@example.com';
  await page.reload();
  await page.getByText('bob@example.com').waitFor();
  await editor.getByText('daily').waitFor();
  t.is(await page.getByText('a secret of alice').count(), 0);
});

test.serial('samples, team and environment: chosen beside the editor', async (t) => {
  const opened = await open(t);
  const { page, playground, editor } = opened;
  await picker(page, 'Team').fill('ads');
  await page.keyboard.press('Enter');
  await editor.getByText('ads').waitFor();
  await picker(page, 'Sample').selectOption('other');
  await editor.getByText('another').waitFor();
  t.is(await picker(page, 'Team').inputValue(), 'ads', 'a sample is for the team that was chosen');
  t.true(await page.getByRole('checkbox', { name: 'Sandbox' }).isChecked());
  await picker(page, 'Environment').selectOption('staging');
  t.false(await page.getByRole('checkbox', { name: 'Sandbox' }).isChecked());
  await picker(page, 'Sample of sources').selectOption('10 %');
  await picker(page, 'Time limit').selectOption('1 h');
  await run(opened);
  t.deepEqual(playground.submitted[0]?.body, {
    manifest: MANIFEST.replace('daily', 'another').replace('team: data', 'team: ads'),
    environment: 'staging',
    options: { sandbox_mode: 'false', data_sampling: '0.1', ttl_seconds: '3600' },
  });
  await editor.click();
  await page.keyboard.press('ControlOrMeta+z');
  await editor.getByText('daily').waitFor();
});

test.serial('jobs of mine: filtered, page by page, and Back', async (t) => {
  const playground = await FakePlayground.start(t, HOST);
  for (let n = 1; n <= 120; n += 1) {
    const state = n % 3 === 0 ? 'FAILED' : 'COMPLETED';
    playground.add(`job-${n}`, { state, job_name: `nightly ${n}`, team: n > 60 ? 'ads' : 'data' });
  }
  const { page } = await open(t, { playground, path: '/jobs' });
  const rows = page.getByRole('row');
  await page.getByRole('link', { name: 'nightly 120' }).waitFor();
  t.is(await rows.count(), 51);
  await page.getByRole('link', { name: 'Older' }).click();
  await page.getByRole('link', { name: 'nightly 70', exact: true }).waitFor();
  await picker(page, 'State').selectOption('FAILED');
  await page.getByRole('link', { name: 'nightly 120' }).waitFor();
  await picker(page, 'Team').selectOption('data');
  await page.getByRole('link', { name: 'nightly 120' }).waitFor({ state: 'detached' });
  t.is(await rows.count(), 21);
  await page.getByRole('link', { name: 'nightly 30', exact: true }).click();
  await page.waitForURL(`${playground.url}/jobs/job-30`);
  await page.getByRole('region', { name: 'Job' }).getByText('FAILED').first().waitFor();
  await page.goBack();
  await page.getByRole('link', { name: 'nightly 60', exact: true }).waitFor();
  t.is(await picker(page, 'Team').inputValue(), 'data');
  await picker(page, 'State').selectOption('RUNNING');
  await page.getByText('No job of yours fits the filter.').waitFor();
});

test.serial('a job that is not known, and a Playground that fails for a while', async (t) => {
  const playground = await FakePlayground.start(t, HOST);
  playground.add('job-7');
  const { page } = await open(t, { playground, path: '/jobs/job-8' });
  await page.getByRole('alert').getByText('There is no such job, or it is not yours.').waitFor();
  playground.intercept = () => problem(503, 'RUNNER_UNAVAILABLE', 'The Runner does not answer.');
  await page.goto(`${playground.url}/jobs/job-7`);
  await page.getByText('The Runner does not answer. Trying again.').waitFor();
  playground.intercept = () => undefined;
  const view = page.getByRole('region', { name: 'Job' });
  await view.getByText('PENDING').first().waitFor();
  playground.intercept = () => problem(503, 'RUNNER_UNAVAILABLE', 'The Runner does not answer.');
  await view.getByText(/The Runner does not answer. This is the state of \d/).waitFor();
  playground.intercept = () => undefined;
  await view.getByText('The Runner does not answer.').waitFor({ state: 'detached' });
  t.pass();
});

const HOSTILE = `"><img src=x onerror="reportFault('ran')"><script>reportFault('ran')</script>{{7*7}}`;

test.serial('names, rows and messages that mean harm are shown as they are', async (t) => {
  const playground = await FakePlayground.start(t, HOST);
  const job = playground.add('job-1', {
    state: 'FAILED',
    job_name: HOSTILE,
    team: HOSTILE,
    environment: HOSTILE,
    reason: { code: HOSTILE, message: HOSTILE, step: HOSTILE, line: 1e9, column: -5 },
    spark_ui_url: `javascript:reportFault('ran')`,
  });
  job.log.push(HOSTILE, `\u001b]8;;javascript:alert(1)\u0007link`);
  job.results = {
    preview: { columns: [HOSTILE, HOSTILE], rows: [[HOSTILE, { [HOSTILE]: [HOSTILE] }]] },
    count: 1,
    schema: { fields: [{ name: HOSTILE, type: { type: HOSTILE } }] },
    output_path: HOSTILE,
    problem: HOSTILE,
  };
  playground.choices = { ...playground.choices, teams: [HOSTILE], environments: [HOSTILE] };
  playground.samples = [{ name: HOSTILE, title: HOSTILE, manifest: `# ${HOSTILE}\n${MANIFEST}` }];
  const { page } = await open(t, { playground, path: '/jobs/job-1' });
  await page.getByRole('region', { name: 'Rows' }).getByText(HOSTILE).first().waitFor();
  await page.getByRole('region', { name: 'Log' }).getByText(HOSTILE).waitFor();
  t.is(await page.getByRole('link', { name: /Spark/ }).count(), 1, 'the brand alone');
  await page.getByText(/, line 1000000000$/).waitFor();
  t.is(await page.locator('main img, main script').count(), 0);
  await page.goto(`${playground.url}/jobs?state=${encodeURIComponent(HOSTILE)}`);
  await page.getByText('No job of yours fits the filter.').waitFor();
  await page.goto(`${playground.url}/jobs`);
  await page.getByRole('link', { name: HOSTILE }).waitFor();
  t.is(await page.locator('main img, main script').count(), 0);
});

test.serial('no rows, no results, and rows that are very wide', async (t) => {
  const playground = await FakePlayground.start(t, HOST);
  const names = Array.from({ length: 300 }, (_, n) => `column_${n}`);
  const end = { state: 'COMPLETED' } as const;
  playground.add('empty', end).results = {
    preview: { columns: ['city', 'n'], rows: [] },
    count: 0,
    schema: SCHEMA,
    output_path: 'o',
  };
  playground.add('none', end);
  playground.add('wide', end).results = {
    preview: {
      columns: names,
      rows: Array.from({ length: 100 }, () => names.map(() => 'x'.repeat(400))),
    },
    count: null,
    schema: null,
    output_path: 'o',
  };
  const { page } = await open(t, { playground, path: '/jobs/empty', width: 360, height: 740 });
  await page.getByText('There are no rows.').waitFor();
  await page.getByRole('columnheader', { name: /city/ }).waitFor();
  await page.goto(`${playground.url}/jobs/none`);
  await page.getByText('The job has left no rows.').waitFor();
  await page.goto(`${playground.url}/jobs/wide`);
  await page.getByText('The first 100 rows; how many there are is not known.').waitFor();
  for (const path of ['/jobs/wide', '/jobs', '/']) {
    await page.goto(`${playground.url}${path}`);
    await page.locator('h1').first().waitFor({ state: 'attached' });
    const overflow = await page.evaluate(
      'document.documentElement.scrollWidth - document.documentElement.clientWidth',
    );
    t.is(overflow, 0, path);
  }
});

for (const colorScheme of ['light', 'dark'] as const) {
  test.serial(
    `everything can be read and found by those who cannot see well: ${colorScheme}`,
    async (t) => {
      const opened = await open(t, { colorScheme });
      const { page, playground, editor } = opened;
      const check = async (what: string) => {
        t.deepEqual(await accessibilityFaults(page), [], what);
        t.deepEqual(await contrastsBelow(page, 4.5), [], what);
      };
      await editor.waitFor();
      await check('the editor');
      const job = await run(opened);
      playground.write(job, ['a line']);
      await page.getByText('a line').waitFor();
      playground.jobs.get(job)!.results = {
        preview: { columns: ['city', 'n'], rows: [[null, 1]] },
        count: 1,
        schema: SCHEMA,
        output_path: 'o',
      };
      const reason = {
        code: 'SQL_INVALID',
        message: 'No such column.',
        line: FROM_LINE,
        column: 16,
      };
      playground.move(job, 'FAILED', { reason });
      await page.getByRole('region', { name: 'Rows' }).waitFor();
      await editor.locator('.cm-failed-line').waitFor();
      await check('a job that failed');
      await editor.click();
      await page.keyboard.press('ControlOrMeta+End');
      await page.keyboard.type('    r');
      await page.getByRole('listbox').waitFor();
      t.deepEqual(await contrastsBelow(page, 4.5), [], 'completion');
      await page.goto(`${playground.url}/jobs`);
      await page.getByRole('link', { name: 'daily' }).waitFor();
      await check('jobs');
    },
  );
}

test.serial('by keyboard alone: into the editor and out of it, run, stop', async (t) => {
  const { page, playground, editor } = await open(t);
  await editor.waitFor();
  const press = async (key: string, times = 1) => {
    for (let n = 0; n < times; n += 1) await page.keyboard.press(key);
  };
  const focused = () =>
    page.evaluate<string>(
      '(({ ariaLabel, textContent }) => ariaLabel ?? textContent)(document.activeElement)',
    );
  const tabTo = async (name: string) => {
    for (let n = 0; n < 30 && (await focused()) !== name; n += 1) await press('Tab');
    t.is(await focused(), name);
  };
  await tabTo('Manifest');
  await press('ControlOrMeta+Home');
  await page.keyboard.type('# by keys');
  await press('Enter');
  await press('Escape');
  await press('Tab');
  t.not(await focused(), 'Manifest', 'Escape, then Tab leads out');
  await press('ControlOrMeta+Enter');
  await page.waitForURL(/\/jobs\/job-1$/);
  t.regex(playground.submitted[0]?.body.manifest ?? '', /^# by keys\n/);
  playground.move('job-1', 'RUNNING');
  await page.getByRole('region', { name: 'Job' }).getByText('RUNNING').first().waitFor();
  await tabTo('Stop');
  await press('Enter');
  await page.getByText('The job is being stopped.').waitFor();
});

function picker(page: Page, name: string): Locator {
  return page.getByRole('combobox', { name, exact: true });
}
