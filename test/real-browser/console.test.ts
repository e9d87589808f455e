import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser, visit, type VisitOptions } from '../support/browser.js';
import { startTestConsole, type TestConsole } from '../support/console.js';
import { contrastsBelow } from '../support/contrast.js';
import { driverRecord, sessionId, sessionRecord } from '../support/driver-records.js';
import type { PoolReport } from '../../src/model/reports.js';
import { unusedAddress } from '../support/loopback.js';

interface Context {
  browser: Browser;
  /** What a page must never do. */
  faults: readonly string[];
}

const test = anyTest as TestFn<Context>;
const HOST = await unusedAddress();

test.before(async (t) => {
  t.context.browser = await launchBrowser();
});
test.afterEach((t) => t.deepEqual(t.context.faults, []));
test.after.always((t) => t.context.browser.close());

interface Visited {
  readonly console: TestConsole;
  readonly page: Page;
}

/** A signed-in person's window. */
async function open(
  t: ExecutionContext<Context>,
  user: string,
  options: Partial<VisitOptions> & {
    readonly path?: string;
    readonly console?: TestConsole;
    readonly sessionTtlMs?: number;
  } = {},
): Promise<Visited> {
  const { path = '/', sessionTtlMs = 3_600_000, ...rest } = options;
  const console = options.console ?? (await startTestConsole(t, { host: HOST, sessionTtlMs }));
  const { page, faults } = await visit(t, t.context.browser, { origins: console.origins, ...rest });
  t.context.faults = faults;
  const answer = await page.goto(`${console.url}${path}`);
  t.true(answer?.ok());
  await page.getByRole('link', { name: new RegExp(`^${user}`) }).click();
  return { console, page };
}

function fill(console: TestConsole, count: number): void {
  const now = Date.now();
  for (let n = 0; n < count; n += 1) {
    const id = sessionId(n);
    const subject = n % 2 === 0 ? 'alice@example.com' : 'bob@example.com';
    const session = sessionRecord(id, {
      principal: { issuer: console.issuer.url, subject },
      createdAtMs: now - (count - n) * 1000,
      lastActiveMs: now - 5_000,
    });
    const uid = `driver-${n}`;
    console.world.records.set(
      uid,
      driverRecord(uid, { phase: 'in_use', sessions: { [id]: session }, createdAtMs: now }),
    );
  }
}

test.serial(
  'a link leads through the sign-in to what it names; the overview tells of the fleet',
  async (t) => {
    const { console, page } = await open(t, 'alice', { path: '/sessions?q=ads' });
    fill(console, 3);
    await page.getByRole('heading', { name: 'Sessions' }).waitFor();
    t.is(page.url(), `${console.url}/sessions?q=ads`);
    await page.getByText('3 sessions').waitFor();
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.getByRole('link', { name: /Sessions 3 3 running RPCs/ }).waitFor();
    t.is(await page.title(), 'Overview – Spark Connect gateway');
    await page.goBack();
    await page.getByText('3 sessions').waitFor();
  },
);

test.serial('who has no role is told so, and shown nothing', async (t) => {
  const { page } = await open(t, 'dave');
  await page.getByRole('heading', { name: 'You may not look at this gateway' }).waitFor();
  await page.getByText('administration.read').waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Signed out' }).waitFor();
});

test.serial('who has no role sees and ends their own sessions', async (t) => {
  const { console, page } = await open(t, 'dave');
  await page.getByText('You have no session now.').waitFor();
  fill(console, 2);
  const id = sessionId(7);
  const principal = { issuer: console.issuer.url, subject: 'dave@example.com' };
  const session = sessionRecord(id, { principal });
  console.world.records.set('d7', driverRecord('d7', { sessions: { [id]: session } }));
  await page.getByRole('cell', { name: id }).waitFor();
  t.is(await page.getByRole('row').count(), 2, 'nothing of others');
  await page.getByRole('button', { name: 'Release …' }).click();
  await page.getByRole('button', { name: /Release it/ }).click();
  await page.getByText(`Session ${id} has ended (released).`).waitFor();
  await page.getByText('You have no session now.').waitFor();
  t.like(console.audited, [{ action: 'session.release', object: id, outcome: 'done' }]);
});

function poolReport(namespace: string, more: Partial<PoolReport> = {}): PoolReport {
  return {
    namespace,
    variant: undefined,
    drivers: 1,
    maximum: 4,
    warming: 0,
    failure: undefined,
    retryInMs: undefined,
    size: 1,
    waiting: 0,
    available: 1,
    inUse: 0,
    draining: 0,
    sessions: 0,
    ...more,
  };
}

test.serial('the overview begins with what fails and who waits', async (t) => {
  const { console, page } = await open(t, 'bob');
  console.world.pools = [
    poolReport('sjns-a-dev'),
    poolReport('sjns-b-dev', { waiting: 2 }),
    poolReport('sjns-c-dev', { waiting: 7 }),
    poolReport('sjns-d-dev', { failure: 'the image cannot be pulled' }),
    poolReport('sjns-d-dev', { variant: 'next' }),
  ];
  const rows = page.getByRole('region', { name: 'Pools' }).getByRole('row');
  await rows.filter({ hasText: 'the image cannot be pulled' }).waitFor();
  const names = await rows.getByRole('link').allInnerTexts();
  t.deepEqual(names, ['sjns-d-dev', 'sjns-c-dev', 'sjns-b-dev', 'sjns-a-dev', 'sjns-d-dev next']);
});

test.serial('charts: the numbers where the pointer is, axes, and a table', async (t) => {
  const { console, page } = await open(t, 'bob');
  fill(console, 3);
  const card = page.locator('section.card', { hasText: 'Sessions, last hour' });
  const caption = card.locator('figcaption');
  await caption.getByText('now').waitFor();
  t.deepEqual(await card.locator('.x-axis span').allInnerTexts(), [
    '4 min ago',
    '2 min ago',
    'now',
  ]);
  const box = await card.locator('svg').boundingBox();
  if (!box) throw new Error('the chart is not to be seen');
  await page.mouse.move(box.x + 1, box.y + box.height / 2);
  await caption.getByText('4 min ago').waitFor();
  await page.mouse.move(0, 0);
  await caption.getByText('now').waitFor();
  await card.getByText('Numbers').click();
  await card.getByRole('row', { name: /^now/ }).waitFor();
});

test.serial('Back leads to the place that was left', async (t) => {
  const { console, page } = await open(t, 'bob', { path: '/sessions' });
  fill(console, 90);
  await page.getByText('90 sessions').waitFor();
  const link = page.getByRole('row').nth(80).getByRole('link').first();
  await link.scrollIntoViewIfNeeded();
  const place = await page.evaluate<number>('scrollY');
  t.true(place > 500);
  await link.click();
  await page.getByText('RPCs that run now').waitFor();
  t.is(await page.evaluate<number>('scrollY'), 0);
  await page.goBack();
  await page.getByText('90 sessions').waitFor();
  await page.waitForFunction(`Math.abs(scrollY - ${place}) <= 1`);
  await page.goForward();
  await page.getByText('RPCs that run now').waitFor();
  t.is(await page.evaluate<number>('scrollY'), 0);
});

test.serial('a stream of events that is refused says so, and why', async (t) => {
  const { console, page } = await open(t, 'bob');
  await page.getByText('Live', { exact: true }).waitFor();
  const error = { code: 'QUOTA_EXCEEDED', message: '200 people look at this replica already.' };
  await page.route('**/api/v1/events', (route) => route.fulfill({ status: 429, json: { error } }));
  await page.goto(`${console.url}/drivers`);
  await page.getByText(/does not show what happens now: 200 people look/).waitFor();
  await page.unroute('**/api/v1/events');
  await page.getByText('Live', { exact: true }).waitFor();
});

test.serial('a drain is taken back in the console', async (t) => {
  const { console, page } = await open(t, 'alice', { path: '/drivers/driver-0' });
  fill(console, 1);
  const record = console.world.records.get('driver-0');
  if (record) console.world.records.set('driver-0', { ...record, phase: 'draining' });
  await page.getByRole('button', { name: 'Undrain …' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Undrain' }).click();
  await page.getByText(/Driver driver-0 is in use/).waitFor();
  t.is(console.world.records.get('driver-0')?.phase, 'in_use');
});

test.serial('who may look sees no action', async (t) => {
  const { console, page } = await open(t, 'bob', { path: '/drivers/driver-0' });
  fill(console, 1);
  await page.getByText('Envoy knows it').waitFor();
  t.is(await page.getByRole('button', { name: /Drain|Evict/ }).count(), 0);
  await page.goto(`${console.url}/sessions/${sessionId(0)}`);
  await page.getByText('RPCs that run now').waitFor();
  t.is(await page.getByRole('button', { name: /Release/ }).count(), 0);
});

test.serial('a session that opens appears without a reload, and goes when it ends', async (t) => {
  const { console, page } = await open(t, 'bob', { path: '/sessions' });
  await page.getByText('Nobody has a session now.').waitFor();
  await page.evaluate('globalThis.notReloaded = true');
  fill(console, 1);
  const row = page.getByRole('row', { name: /alice@example.com/ });
  await row.waitFor();
  await row.getByText('live').waitFor();
  console.world.records.clear();
  await page.getByText('Nobody has a session now.').waitFor();
  t.true(await page.evaluate('globalThis.notReloaded'));
});

test.serial('release: asked for on the session, confirmed, told, recorded for audit', async (t) => {
  const { console, page } = await open(t, 'alice', { path: '/sessions' });
  fill(console, 2);
  await page
    .getByRole('row', { name: /bob@example.com/ })
    .getByRole('link')
    .first()
    .click();
  await page.getByRole('button', { name: 'Release' }).click();
  const dialog = page.getByRole('dialog', { name: 'Release this session?' });
  await dialog.getByText(/The session of bob@example.com ends now/).waitFor();
  await dialog.getByText(/PySpark 4 says SESSION_CHANGED/).waitFor();
  await dialog.getByRole('button', { name: 'Release' }).click();
  await page.getByText(`Session ${sessionId(1)} has ended (released).`).waitFor();
  await page.getByText('ended', { exact: true }).waitFor();
  t.like(console.audited, [
    {
      principal: { subject: 'alice@example.com' },
      action: 'session.release',
      object: sessionId(1),
      outcome: 'done',
    },
  ]);
  await page.getByRole('link', { name: 'Activity' }).click();
  await page.getByRole('row', { name: /alice@example.com session\.release/ }).waitFor();
});

test.serial('drain with a deadline, then evict: what users will see is said before', async (t) => {
  const { console, page } = await open(t, 'alice', { path: '/drivers/driver-0' });
  fill(console, 1);
  await page.getByRole('button', { name: 'Drain' }).click();
  const drain = page.getByRole('dialog', { name: 'Drain this driver?' });
  await drain.getByText(/It has 1 session \(alice@example.com\), which goes on/).waitFor();
  await drain.getByRole('combobox').selectOption('in an hour');
  await drain.getByRole('button', { name: 'Drain' }).click();
  await page.getByText('Driver driver-0 is draining, with 1 session.').waitFor();
  await page.getByText('Drained until').waitFor();

  await page.getByRole('button', { name: 'Evict' }).click();
  const evict = page.getByRole('dialog', { name: 'Evict this driver?' });
  await evict.getByText(/ends now, with 1 session \(alice@example.com\)/).waitFor();
  await evict.getByRole('button', { name: 'Cancel' }).click();
  t.is(console.audited.length, 1);
  await page.getByRole('button', { name: 'Evict' }).click();
  await evict.getByRole('button', { name: 'Evict' }).click();
  await page.getByText('Driver driver-0 is expired, with 0 sessions.').waitFor();
  t.deepEqual(
    console.audited.map(({ action, outcome }) => [action, outcome]),
    [
      ['driver.drain', 'done'],
      ['driver.evict', 'done'],
    ],
  );
});

test.serial('an action that is refused leaves the dialog open and says why', async (t) => {
  const { console, page } = await open(t, 'alice', { path: '/drivers/driver-0' });
  fill(console, 1);
  await page.getByRole('button', { name: 'Evict' }).click();
  const { records } = console.world;
  console.world.records = new Map(records);
  records.clear();
  await page.getByRole('dialog').getByRole('button', { name: 'Evict' }).click();
  await page
    .getByRole('dialog')
    .getByRole('alert')
    .getByText(/There is no driver/)
    .waitFor();
  await page.keyboard.press('Escape');
  t.is(await page.getByRole('dialog').count(), 0);
});

test.serial('everything can be reached and done with the keyboard', async (t) => {
  const { console, page } = await open(t, 'alice');
  fill(console, 2);
  await page.getByText('Drivers by state, last hour').waitFor();
  await page.evaluate('document.activeElement.blur()');
  await page.keyboard.press('Tab');
  t.is(await focused(page), 'Skip to the content');
  t.true(await page.getByRole('link', { name: 'Skip to the content' }).isVisible());
  for (const _ of ['brand', 'overview', 'sessions']) await page.keyboard.press('Tab');
  t.is(await focused(page), 'Sessions');
  t.not(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'), 'none');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Sessions' }).waitFor();
  await page.waitForFunction("document.activeElement.id === 'title'");

  await page.keyboard.press('/');
  await page.keyboard.type('bob');
  await page.getByText('1 of 2 sessions').waitFor();
  t.regex(page.url(), /\?q=bob$/);
  await page.keyboard.press('Escape');
  await page.getByText('2 sessions', { exact: true }).waitFor();

  const sort = page.getByRole('button', { name: 'Who' });
  await sort.focus();
  await page.keyboard.press('Enter');
  await page
    .getByRole('columnheader', { name: 'Who', exact: false })
    .and(page.locator('[aria-sort=ascending]'))
    .waitFor();
  await page.getByRole('row').nth(1).getByRole('link').first().focus();
  await page.keyboard.press('Enter');
  const release = page.getByRole('button', { name: 'Release' });
  await release.focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  t.is(await focused(page), 'Cancel');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  t.regex(await focused(page), /^Release/);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByText(/has ended \(released\)/).waitFor();
});

for (const [when, opens] of [
  ['before the page hears that the last one is closed', 'dialog.close(); button.click();'],
  [
    'before the page has taken the last one away',
    'dialog.addEventListener("close", () => button.click()); dialog.close();',
  ],
] as const) {
  test.serial(`a dialog that is opened ${when} is open, and closes`, async (t) => {
    const { console, page } = await open(t, 'alice', { path: '/drivers/driver-0' });
    fill(console, 1);
    const dialog = page.getByRole('dialog', { name: 'Evict this driver?' });
    await page.getByRole('button', { name: 'Evict' }).click();
    await dialog.waitFor();
    await page.evaluate(`new Promise((resolve) => {
      const dialog = document.querySelector('dialog');
      const button = document.querySelector('main button.danger');
      dialog.addEventListener('close', () => requestAnimationFrame(resolve));
      ${opens}
    })`);
    await dialog.waitFor();
    await page.keyboard.press('Escape');
    await page.waitForFunction('document.querySelector("dialog") === null');
    t.deepEqual(console.audited, []);
  });
}

for (const scheme of ['light', 'dark'] as const) {
  test.serial(`every text can be read in ${scheme}`, async (t) => {
    const { console, page } = await open(t, 'alice', { colorScheme: scheme });
    fill(console, 2);
    console.world.records.set('w', driverRecord('w', { phase: 'warming' }));
    console.world.records.set('g', driverRecord('g', { phase: 'draining', reason: 'drained' }));
    console.world.records.set('a', driverRecord('a', { phase: 'available' }));
    console.world.problems = ['Something is wrong.'];
    console.world.policyProblem = 'policy.yaml:3: not good';
    for (const view of [
      '/',
      '/sessions',
      `/sessions/${sessionId(0)}`,
      '/drivers',
      '/envoys',
      '/policy',
      '/policy/explain',
      '/policy/try',
      '/policy/shadow',
    ]) {
      await page.goto(`${console.url}${view}`);
      await page.getByText('Live', { exact: true }).waitFor();
      await page.locator('h1').waitFor();
      t.deepEqual(await contrastsBelow(page, 4.5), [], view);
    }
    await page.goto(`${console.url}/sessions/${sessionId(0)}`);
    await page.getByRole('button', { name: 'Release' }).click();
    await page.getByRole('dialog').waitFor();
    t.deepEqual(await contrastsBelow(page, 4.5), [], 'dialog');
  });
}

test.serial('the colours can be chosen, and stay chosen', async (t) => {
  const { page } = await open(t, 'bob', { colorScheme: 'light' });
  const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
  const light = await background();
  await page.getByRole('button', { name: 'Auto' }).click();
  await page.getByRole('button', { name: 'Light' }).click();
  await page.getByRole('button', { name: 'Dark' }).waitFor();
  t.not(await background(), light);
  await page.reload();
  await page.getByRole('button', { name: 'Dark' }).waitFor();
  t.not(await background(), light);
});

test.serial(
  'a lost connection is said, what is shown stays, and it comes back by itself',
  async (t) => {
    const { console, page } = await open(t, 'bob', { path: '/sessions' });
    fill(console, 2);
    await page.getByText('2 sessions').waitFor();
    await console.stopServer();
    await page.getByText(/The connection is lost\. This is the state of \d/).waitFor();
    await page.getByText('Not live').waitFor();
    t.is(await page.getByText('2 sessions').count(), 1);
    fill(console, 3);
    await console.startServer();
    await page.getByText('3 sessions').waitFor();
    await page.getByText('Live', { exact: true }).waitFor();
    t.is(await page.getByText(/The connection is lost/).count(), 0);
  },
);

test.serial(
  'when the session is over, the page says so and leads back to the same view',
  async (t) => {
    const { console, page } = await open(t, 'bob', { path: '/pools', sessionTtlMs: 4_000 });
    await page.getByRole('heading', { name: 'Pools' }).waitFor();
    await page.getByText('Your session is over.').waitFor();
    await page.getByRole('link', { name: 'Sign in again' }).click();
    await page.getByRole('link', { name: /^bob/ }).click();
    await page.getByRole('heading', { name: 'Pools' }).waitFor();
    t.is(page.url(), `${console.url}/pools`);
  },
);

const HOSTILE = `"><img src=x onerror="reportFault('ran')"><script>reportFault('ran')</script>{{7*7}}`;

test.serial('names and messages that mean harm are shown as they are', async (t) => {
  const { console, page } = await open(t, 'alice');
  const id = sessionId(0);
  const principal = { issuer: HOSTILE, subject: HOSTILE };
  console.world.records.set(
    HOSTILE,
    driverRecord(HOSTILE, {
      phase: 'in_use',
      namespace: HOSTILE,
      address: HOSTILE,
      reason: HOSTILE,
      resource: HOSTILE,
      tenant: { principal, team: HOSTILE },
      sessions: { [id]: sessionRecord(id, { principal, team: HOSTILE, environment: HOSTILE }) },
    }),
  );
  console.world.problems = [HOSTILE];
  console.world.policyProblem = HOSTILE;
  const uid = encodeURIComponent(HOSTILE);
  for (const path of [
    '/',
    '/sessions',
    `/sessions/${id}`,
    '/drivers',
    `/drivers/${uid}`,
    '/pools',
    `/pools/${uid}`,
    '/policy',
  ]) {
    await page.goto(`${console.url}${path}`);
    await page.getByText(HOSTILE).first().waitFor();
    t.is(await page.locator('main img, main script').count(), 0, path);
  }
  await page.goto(`${console.url}/drivers/${uid}`);
  await page.getByRole('button', { name: 'Evict' }).click();
  await page.getByRole('dialog').getByText(HOSTILE).first().waitFor();
  t.is(await page.locator('dialog img, dialog script').count(), 0);
});

test.serial('5,000 sessions: shown in pages, found at once, also on a narrow screen', async (t) => {
  const { console, page } = await open(t, 'bob', { path: '/sessions', width: 360, height: 740 });
  fill(console, 5_000);
  await page.getByText('5,000 sessions').waitFor();
  t.is(await page.getByRole('row').count(), 101);
  await page.getByText('1 of 50').waitFor();
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByText('2 of 50').waitFor();
  await page.locator('#filter').fill('bob 000000004999');
  await page.getByText('1 of 5,000 sessions').waitFor();
  t.is(await page.getByRole('row').count(), 2);
  for (const path of [
    '/',
    '/sessions',
    '/drivers/driver-1',
    '/policy',
    '/policy/explain',
    '/policy/try',
  ]) {
    await page.goto(`${console.url}${path}`);
    await page.locator('h1').waitFor();
    const overflow = await page.evaluate(
      'document.documentElement.scrollWidth - document.documentElement.clientWidth',
    );
    t.is(overflow, 0, path);
  }
});

test.serial(
  'a pasted policy shows whom it would shut out, and every mistake; nothing changes',
  async (t) => {
    const { console, page } = await open(t, 'bob', { path: '/policy/try' });
    fill(console, 2);
    const { text } = await page.evaluate<{ text: string }>(
      'fetch("/api/v1/policy").then((answer) => answer.json())',
    );
    console.world.seen = ['alice@example.com', 'bob@example.com'].map((subject, n) => ({
      sessionId: sessionId(n),
      caller: {
        principal: { issuer: console.issuer.url, subject },
        claims: { sub: subject, azp: 'console' },
      },
      host: 'spark.example.com',
      headers: { 'x-doordash-team': 'ads', 'x-doordash-environment': 'dev' },
      userId: subject,
    }));
    const candidate = page.getByRole('textbox');
    const show = page.getByRole('button', { name: 'Show what would change' });
    await candidate.fill(text);
    await show.click();
    await page.getByRole('heading', { name: 'Nothing would change' }).waitFor();

    const allowed = `access: [{who: {principals: [bob@example.com]}, what: {teams: [ads], environments: [dev]}}]`;
    await candidate.fill(text.replace('access: []', allowed).replace('size: 2', 'size: 3'));
    await show.click();
    await page.getByRole('heading', { name: '0 lost, 1 gained, 0 moved' }).waitFor();
    const access = page.getByRole('region', { name: 'Access' });
    t.is(await access.getByRole('row').count(), 2);
    t.regex(await access.innerText(), /gained[^]*bob@example\.com[^]*allowed in sjns-ads-dev/);
    t.regex(
      await page.getByRole('region', { name: 'Namespaces' }).innerText(),
      /pool\.size\s+2\s+3/,
    );

    await candidate.fill(`${text}nonsense: 1\n`);
    await show.click();
    const mistakes = page.getByRole('region', { name: 'Mistakes' });
    await mistakes.getByText('candidate:9:1: "nonsense" is no field of a routing policy').waitFor();
    await page.goto(`${console.url}/policy`);
    await page.getByText('pools: [{ size: 2, maximum: 4 }]').waitFor();
  },
);

test.serial(
  'what is tried out is shown with its mistakes, counts and examples, and can be looked at again',
  async (t) => {
    const console = await startTestConsole(t, { host: HOST });
    const { page } = await open(t, 'bob', { console, path: '/policy/shadow' });
    await page.getByText('No sidecar that the leader knows tries a candidate out').waitFor();
    const refused = { source: 'policy', would: 'refuse', code: 'NAMESPACE_REFUSED' } as const;
    const now = Date.now();
    console.world.sidecars = [
      {
        sidecarId: 'sidecar-1',
        name: 'envoy-a',
        connected: true,
        leaseEndsMs: now,
        lastSeenMs: now,
        pendingNotices: 0,
        policy: {
          version: 'v1',
          problem: undefined,
          shadow: {
            version: 'c0ffee',
            problem: 'next.yaml:3:1: a mistake',
            counts: [{ ...refused, count: 1234 }],
            examples: [
              {
                ...refused,
                by: 'c0ffee',
                principal: { issuer: 'i', subject: 'zoe@example.com' },
                method: 'ExecutePlan',
                message: '<b>zoe</b> may not',
                atMs: now,
              },
            ],
          },
        },
      },
    ];
    await page.getByRole('button', { name: 'Look again' }).click();
    await page.getByText('The candidate of 1 sidecar is not good; c0ffee is tried out').waitFor();
    await page.getByText('next.yaml:3:1: a mistake').waitFor();
    t.regex(
      await page.getByRole('region', { name: 'Requests' }).innerText(),
      /NAMESPACE_REFUSED\s+1,234/,
    );
    await page.getByRole('cell', { name: '<b>zoe</b> may not' }).waitFor();
    await page.goto(`${console.url}/envoys`);
    await page.getByRole('cell', { name: 'c0ffee' }).waitFor();
  },
);

test.serial('refusals and latency of the last hour are there after a reload', async (t) => {
  const { console, page } = await open(t, 'bob');
  console.tally.add({ method: 'Config', durationMs: 12, refusal: 'QUOTA_EXCEEDED', grpcStatus: 8 });
  console.tally.add({ method: 'Config', durationMs: 12, refusal: undefined, grpcStatus: 0 });
  const reasons = page.getByRole('listitem').filter({ hasText: 'QUOTA_EXCEEDED' });
  await reasons.waitFor();
  await page.reload();
  await reasons.waitFor();
  await page.getByRole('img', { name: /Quantiles of the latency/ }).waitFor();
});

function focused(page: Page): Promise<string> {
  return page.evaluate<string>('document.activeElement.textContent.trim()');
}
