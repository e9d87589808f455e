import test from 'ava';
import { pino } from 'pino';
import type { MeView } from '../../src/model/admin-api.js';
import { systemClock } from '../../src/model/clock.js';
import {
  cookiesOf,
  joinPieces,
  setInPieces,
  Sealer,
  SessionCookie,
} from '../../src/sign-in/session-cookie.js';
import { consolePage } from '../../src/console/console.js';
import { EndedSessions } from '../../src/sign-in/ended-sessions.js';
import { Provider } from '../../src/sign-in/provider.js';
import { returnPath, signInRoutes } from '../../src/sign-in/sign-in.js';
import { startTestConsole, type TestConsole } from '../support/console.js';
import { driverRecord } from '../support/driver-records.js';
import { unusedAddress } from '../support/loopback.js';

const HOST = await unusedAddress();

/** A browser's cookies, as far as these tests need them. */
class Jar {
  readonly cookies = new Map<string, string>();
  /** As they were set, with their attributes. */
  readonly set: string[] = [];

  async fetch(url: string | URL, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    if (cookie !== '') headers.set('cookie', cookie);
    const response = await fetch(url, { redirect: 'manual', ...init, headers });
    for (const line of response.headers.getSetCookie()) {
      this.set.push(line);
      const [name = '', value = ''] = line.split(';', 1)[0]?.split(/=(.*)/s) ?? [];
      if (/Max-Age=0/.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return response;
  }
}

/** Where an answer leads to. */
function location(response: Response): string {
  return response.headers.get('location') ?? 'nowhere';
}

/** Goes as far as the issuer's answer: the address that leads back to the console. */
async function callbackOf(console: TestConsole, jar: Jar, user: string, path = '/') {
  const asked = await jar.fetch(`${console.url}${path}`);
  const begun = await jar.fetch(new URL(location(asked), console.url));
  const chosen = await fetch(`${location(begun)}&user=${user}`, { redirect: 'manual' });
  return location(chosen);
}

async function signIn(console: TestConsole, user: string, path = '/') {
  const jar = new Jar();
  const answer = await jar.fetch(await callbackOf(console, jar, user, path));
  return { jar, answer };
}

async function me(console: TestConsole, jar: Jar): Promise<MeView> {
  return (await (await jar.fetch(`${console.url}/api/v1/me`)).json()) as MeView;
}

test('who is not signed in is led to the issuer and back to what they asked for', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const { jar, answer } = await signIn(console, 'alice', '/sessions?q=bob');
  t.is(answer.status, 303);
  t.is(location(answer), '/sessions?q=bob');
  const page = await jar.fetch(`${console.url}/sessions`);
  t.is(page.status, 200);
  t.regex(page.headers.get('content-security-policy') ?? '', /default-src 'none'/);
  t.like(await me(console, jar), {
    principal: { issuer: console.issuer.url, subject: 'alice@example.com' },
    groups: ['everyone', 'data-engineers'],
    role: 'admin',
  });
});

test('the cookie is for this site and the server only, and shows no token', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const { jar } = await signIn(console, 'bob');
  const [session = ''] = jar.set.filter(
    (line) => line.startsWith('spark-console=') && !line.includes('Max-Age=0'),
  );
  t.regex(session, /; HttpOnly; SameSite=Lax$/);
  t.regex(session, /; Path=\/;/);
  t.notRegex(Buffer.from(session, 'base64url').toString('latin1'), /bob/);
  t.is([...jar.cookies.keys()].join(), 'spark-console');
});

test('over https the cookie is Secure and bound to the host', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const cookie = new SessionCookie({
    sealer: new Sealer(Buffer.alloc(32, 1), systemClock),
    tokens: {
      verify: async () => ({
        caller: { principal: { issuer: 'i', subject: 's' }, groups: [], claims: {} },
        goodUntilMs: Date.now() + 60_000,
      }),
    },
    cookie: 'spark-console',
    publicUrl: new URL('https://console.example.com'),
    ttlMs: 3_600_000,
    ended: new EndedSessions(systemClock),
    clock: systemClock,
  });
  const [first = ''] = await cookie.begin(await console.issuer.mintToken('alice'));
  t.regex(first, /^__Host-spark-console=.*; Path=\/; .*; Secure$/);
  t.true(Number(/Max-Age=(\d+)/.exec(first)?.[1]) <= 60, 'it ends with the token');
});

test('over https the cookie of a sign-in attempt is bound to the host, too', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const publicUrl = new URL('https://console.example.com');
  const clock = systemClock;
  const sealer = new Sealer(Buffer.alloc(32, 1), clock);
  const tokens = { verify: () => Promise.reject(new Error('nobody came back')) };
  const routes = signInRoutes({
    provider: new Provider({
      issuer: console.issuer.url,
      clientId: 'spark-console',
      clientSecret: undefined,
      scope: 'openid',
      redirectUri: `${publicUrl.origin}/auth/callback`,
    }),
    sealer,
    session: new SessionCookie({
      sealer,
      tokens,
      cookie: consolePage.cookie,
      publicUrl,
      ttlMs: 1_000,
      ended: new EndedSessions(clock),
      clock,
    }),
    page: consolePage,
    publicUrl,
    clock,
    logger: pino({ level: 'silent' }),
  });
  const answer = await routes['GET /auth/sign-in']?.({
    method: 'GET',
    path: '/auth/sign-in',
    query: new URLSearchParams(),
    headers: { host: publicUrl.host },
    parameters: {},
    client: undefined,
    signal: new AbortController().signal,
    body: () => Promise.resolve(Buffer.alloc(0)),
  });
  t.regex(
    String(answer?.headers['set-cookie']),
    /^__Host-spark-console-sign-in-\w+=\S+; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax; Secure$/,
  );
});

test('a long token is kept in several cookies; one that is too long is refused', async (t) => {
  const scope = { secure: false, path: '/' };
  const value = 'x'.repeat(9_000);
  const set = setInPieces('c', value, scope, 1000) ?? [];
  const sent = set.map((line) => line.split(';', 1)[0]).join('; ');
  t.is(joinPieces('c', cookiesOf(sent)), value);
  t.true(set.every((line) => line.length < 4_096));
  t.is(setInPieces('c', 'x'.repeat(22_000), scope, 1000), undefined);
});

test('the way back leads nowhere else', (t) => {
  const console = new URL('https://console.example.com');
  for (const wanted of [
    'https://evil.example.com/',
    '//evil.example.com/',
    '/\\evil.example.com/',
    '/\t/evil.example.com',
    'javascript:alert(1)',
    '/..//evil.example.com',
    undefined,
    'x'.repeat(2000),
  ]) {
    t.is(returnPath(wanted, console), '/', String(wanted).slice(0, 40));
  }
  t.is(returnPath('/sessions/a%20b?q=1', console), '/sessions/a%20b?q=1');
});

test('an answer of the issuer serves once, and only the browser that asked', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const asking = new Jar();
  const callback = await callbackOf(console, asking, 'alice');
  const victim = new Jar();
  t.is((await victim.fetch(callback)).status, 400);
  t.is(victim.cookies.size, 0);
  t.is((await asking.fetch(callback)).status, 303);
  t.is((await asking.fetch(callback)).status, 400);
});

test('an answer that the issuer did not give is refused', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const jar = new Jar();
  const callback = new URL(await callbackOf(console, jar, 'alice'));
  callback.searchParams.set('code', 'guessed');
  const answer = await jar.fetch(callback);
  t.is(answer.status, 403);
  t.regex(await answer.text(), /The sign-in did not succeed/);
  t.is((await jar.fetch(`${console.url}/api/v1/status`)).status, 401);
});

test('an error of the issuer is told without its markup', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const jar = new Jar();
  const callback = new URL(await callbackOf(console, jar, 'alice'));
  callback.searchParams.delete('code');
  callback.searchParams.set('error', 'access_denied');
  callback.searchParams.set('error_description', '<script>alert(1)</script>');
  const answer = await jar.fetch(callback);
  t.is(answer.status, 403);
  t.notRegex(await answer.text(), /<script>/);
});

test('a cookie that was changed, or sealed by another gateway, is no session', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const { jar } = await signIn(console, 'alice');
  const good = jar.cookies.get('spark-console') ?? '';
  jar.cookies.set('spark-console', `${good.slice(0, -2)}AA`);
  t.is((await jar.fetch(`${console.url}/api/v1/status`)).status, 401);
  const foreign = await new Sealer(Buffer.alloc(32, 'other'), systemClock).seal(
    'session',
    { token: await console.issuer.mintToken('alice'), forgeryToken: 'x' },
    Date.now() + 60_000,
  );
  jar.cookies.set('spark-console', foreign);
  t.is((await jar.fetch(`${console.url}/api/v1/status`)).status, 401);
});

test('what is sealed for one purpose does not serve another, and ends', async (t) => {
  const sealer = new Sealer(Buffer.alloc(32, 7), systemClock);
  const replica = new Sealer(Buffer.alloc(32, 7), systemClock);
  const sealed = await sealer.seal('attempt', { state: 's' }, Date.now() + 60_000);
  t.like(await replica.open('attempt', sealed), { state: 's' });
  t.is(await sealer.open('session', sealed), undefined);
  const over = await sealer.seal('attempt', { state: 's' }, Date.now() - 1000);
  t.is(await sealer.open('attempt', over), undefined);
});

test('with the cookie, only our own page may change something', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  console.world.records.set('d1', driverRecord('d1'));
  const { jar } = await signIn(console, 'alice');
  const { forgeryToken = '' } = await me(console, jar);
  const drain = (headers: Record<string, string>) =>
    jar.fetch(`${console.url}/api/v1/drivers/d1/drain`, { method: 'POST', headers });
  const token = { 'x-spark-console-token': forgeryToken };
  const refused: readonly Record<string, string>[] = [
    { ...token, origin: 'https://evil.example.com' },
    { ...token, origin: console.url, 'sec-fetch-site': 'cross-site' },
    { ...token, 'sec-fetch-site': 'same-site' },
    { ...token, origin: 'null' },
    token,
    { origin: console.url, 'sec-fetch-site': 'same-origin' },
    { origin: console.url, 'x-spark-console-token': 'guessed' },
  ];
  for (const headers of refused) {
    const answer = await drain(headers);
    t.is(answer.status, 403, JSON.stringify(Object.keys(headers)));
    t.regex(await answer.text(), /CROSS_SITE_REQUEST/);
  }
  t.true(console.audited.every(({ outcome }) => outcome === 'refused'));
  t.is(
    (await drain({ ...token, origin: console.url, 'sec-fetch-site': 'same-origin' })).status,
    200,
  );
});

test('who may only look is refused an action, and it is recorded', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  console.world.records.set('d1', driverRecord('d1'));
  const { jar } = await signIn(console, 'bob');
  const { forgeryToken = '', role } = await me(console, jar);
  t.is(role, 'read');
  const answer = await jar.fetch(`${console.url}/api/v1/drivers/d1/evict`, {
    method: 'POST',
    headers: { origin: console.url, 'x-spark-console-token': forgeryToken },
  });
  t.is(answer.status, 403);
  t.like(console.audited[0], {
    principal: { subject: 'bob@example.com' },
    action: 'driver.evict',
    outcome: 'refused',
    code: 'ADMINISTRATION_REFUSED',
  });
});

test('after the sign-out the browser has no session; another site cannot sign anyone out', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const { jar } = await signIn(console, 'alice');
  const out = (origin: string) =>
    jar.fetch(`${console.url}/auth/sign-out`, { method: 'POST', headers: { origin } });
  t.is((await out('https://evil.example.com')).status, 403);
  t.is((await me(console, jar)).role, 'admin');
  const copy = [...jar.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  t.is((await out(console.url)).status, 204);
  t.is((await jar.fetch(`${console.url}/api/v1/me`)).status, 401);
  // A copy of the cookie is no good either; another session of the same person is.
  const asked = await fetch(`${console.url}/api/v1/me`, { headers: { cookie: copy } });
  t.is(asked.status, 401);
  const { jar: again } = await signIn(console, 'alice');
  t.is((await me(console, again)).role, 'admin');
});

test('files of the page are sent again only when they have changed, and are no way to others', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const first = await fetch(`${console.url}/assets/main.js`);
  t.is(first.headers.get('content-type'), 'text/javascript; charset=utf-8');
  const etag = first.headers.get('etag') ?? '';
  const again = await fetch(`${console.url}/assets/main.js`, {
    headers: { 'if-none-match': etag },
  });
  t.is(again.status, 304);
  for (const name of ['..%2fconsole.js', 'tsconfig.json', 'constructor', '__proto__']) {
    t.is((await fetch(`${console.url}/assets/${name}`)).status, 404, name);
  }
});

test('an issuer that does not answer is told, and asked again the next time', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  await console.issuer.close();
  const answer = await fetch(`${console.url}/auth/sign-in`);
  t.is(answer.status, 503);
  t.regex(await answer.text(), /Sign-in is not possible now/);
});

test('a browser that came by another name is led to the public one first', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const { port } = new URL(console.url);
  const { request } = await import('node:http');
  const answer = await new Promise<string | undefined>((resolve) => {
    request(
      { host: HOST, port, path: '/auth/sign-in', headers: { host: `localhost:${port}` } },
      (response) => {
        response.resume();
        resolve(response.headers.location);
      },
    ).end();
  });
  t.is(answer, `${console.url}/auth/sign-in?return_to=%2F&moved=1`);
});
