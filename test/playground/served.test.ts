import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { Ajv2020 } from 'ajv/dist/2020.js';
import test from 'ava';
import { isObject } from '../../src/model/json.js';
import { docsPage } from '../../src/playground/docs-page.js';
import { endpoints } from '../../src/playground/endpoints.js';
import { openApi } from '../../src/playground/openapi.js';
import { schemas } from '../../src/playground/schemas.js';
import { API, manifest, PlaygroundWorld } from './world.js';

// Signing in.

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

// The description.

/** https://spec.openapis.org/oas/3.1/schema */
const metaSchema = JSON.parse(
  readFileSync('node_modules/@seriousme/openapi-schema-validator/schemas/v3.1/schema.json', 'utf8'),
) as object;

const description = JSON.parse(JSON.stringify(openApi('1.2.3'))) as Record<string, unknown>;

test('openapi.json is what OpenAPI 3.1 says it has to be', (t) => {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  t.true(ajv.validate(metaSchema, description), ajv.errorsText());
  const wrong = structuredClone(description);
  delete wrong['info'];
  t.false(ajv.validate(metaSchema, wrong), 'a mistake would be found');
});

test('each address has its operation, and each reference leads somewhere', (t) => {
  const paths = description['paths'] as Record<string, Record<string, unknown>>;
  for (const { route } of endpoints) {
    const [method = '', path = ''] = route.split(' ');
    t.truthy(paths[`/api/v1/playground${path}`]?.[method.toLowerCase()], route);
  }
  const refs = JSON.stringify(description).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g);
  for (const [, name = ''] of refs) t.true(name in schemas, name);
  const ids = JSON.stringify(description).matchAll(/"operationId":"(\w+)"/g);
  const names = Array.from(ids, ([, name]) => name);
  t.is(new Set(names).size, names.length);
});

test('every schema is one that can be compiled', (t) => {
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, validateFormats: false });
  ajv.addVocabulary(['components']);
  ajv.addSchema({ $id: 'api', components: { schemas } }, undefined, false, false);
  for (const name of Object.keys(schemas)) {
    t.notThrows(() => ajv.compile({ $ref: `api#/components/schemas/${name}` }), name);
  }
});

test('the page for people names every address and needs no script and nothing from elsewhere', (t) => {
  const { body, headers } = docsPage();
  const html = String(body);
  for (const { route } of endpoints) t.true(html.includes(route.split(' ')[1] ?? ''), route);
  t.notRegex(html, /<script|src=|href="https?:/);
  t.regex(String(headers['content-security-policy']), /default-src 'none'/);
  t.true(isObject(description));
});

// The page.

const folder = fileURLToPath(new URL('../../src/playground/assets/', import.meta.url));
const read = (name: string) => readFile(`${folder}${name}`, 'utf8');

test('the page is one script and one style sheet, and asks no other origin for anything', async (t) => {
  t.deepEqual((await readdir(folder)).toSorted(), [
    'icon.svg',
    'index.html',
    'main.js',
    'page.css',
    'theme.js',
  ]);
  const html = await read('index.html');
  for (const [, address = ''] of html.matchAll(/(?:src|href)="([^"]*)"/g)) {
    t.regex(address, /^\/assets\/[a-z.]+$/);
  }
  t.notRegex(await read('page.css'), /url\(|@import/);
  t.false(/\bimport\s*\(|^import\b|[;}]import\s*[{"']/.test(await read('main.js')), 'all is in it');
});

/** docs/playground.md says what it is; a dependency that doubles it is to be noticed. */
const MOST_BYTES = 220_000;

test('the script is as small as it is said to be', async (t) => {
  const zipped = gzipSync(await read('main.js'), { level: 9 }).length;
  t.true(zipped < MOST_BYTES, `${zipped} bytes with gzip`);
});
