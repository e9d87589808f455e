import test from 'ava';
import { API, manifest, PlaygroundWorld } from './world.js';

/** Signs in as a browser does, and returns its cookies. */
async function signIn(world: PlaygroundWorld, user: string): Promise<string> {
  const jar = new Map<string, string>();
  const go = async (url: string): Promise<string> => {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { headers: { cookie }, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === '') jar.delete(name);
      else jar.set(name, value);
    }
    return response.headers.get('location') ?? '';
  };
  const issuer = await go(`${world.url}/auth/sign-in?return_to=/`);
  const chosen = await fetch(`${issuer}&user=${user}`, { redirect: 'manual' });
  await go(chosen.headers.get('location') ?? '');
  return [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
}

test('who has signed in is known by the cookie, and may change something with its forgery token', async (t) => {
  const world = await PlaygroundWorld.start(t);
  const cookie = await signIn(world, 'alice');
  t.regex(cookie, /^spark-playground=/);
  const me = await fetch(`${world.url}${API}/me`, { headers: { cookie } });
  const view = (await me.json()) as { forgery_token: string };
  t.like(view, { principal: { subject: 'alice@example.com' } });
  const submit = (headers: Readonly<Record<string, string>>) =>
    fetch(`${world.url}${API}/submit`, {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ manifest, environment: 'dev' }),
    });
  const own = { origin: world.url, 'x-spark-console-token': view.forgery_token };
  t.is((await submit(own)).status, 200);
  for (const wrong of [
    {},
    { origin: world.url },
    { ...own, origin: 'https://elsewhere.example.com' },
    { ...own, 'x-spark-console-token': 'guessed' },
  ]) {
    const refused = await submit(wrong);
    t.is(refused.status, 403);
    t.like(await refused.json(), { code: 'CROSS_SITE_REQUEST' });
  }
  t.is(world.gateway.jobs.size, 1);
});

test('a log is followed with the cookie, until the session is ended', async (t) => {
  const world = await PlaygroundWorld.start(t);
  world.gateway.add('job-1', { state: 'RUNNING' });
  const cookie = await signIn(world, 'alice');
  const open = () =>
    fetch(`${world.url}${API}/logs/job-1`, { headers: { cookie, accept: 'text/event-stream' } });
  const stream = await open();
  t.is(stream.status, 200);
  await stream.body?.cancel();
  await fetch(`${world.url}/auth/sign-out`, {
    method: 'POST',
    headers: { cookie, origin: world.url },
  });
  t.is((await open()).status, 401);
});
