import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { AdminClient, connect } from '../../src/cli/admin-client.js';
import type { AdminApi } from '../../src/cli/command.js';
import { KeptLogins } from '../../src/cli/login/kept-logins.js';
import { logIn, logOut } from '../../src/cli/login/login.js';
import { tokenOfLogin } from '../../src/cli/login/token-of-login.js';
import { EXIT_DENIED, reportFailure } from '../../src/cli/report.js';
import { GatewayError } from '../../src/model/errors.js';
import { startTestConsole } from '../support/console.js';
import { type ScriptedProvider, startScriptedProvider } from '../support/scripted-provider.js';
import { unusedAddress } from '../support/loopback.js';

const HOST = await unusedAddress();
const GATEWAY = new URL('https://gateway.example.com/');

/** A person's machine: a folder of their own, a clock, and a terminal. */
function machine(t: ExecutionContext) {
  const folder = mkdtempSync(join(tmpdir(), 'login-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const world = {
    folder,
    nowMs: 1_800_000_000_000,
    said: [] as string[],
    pauses: [] as number[],
    /** Runs in each pause. */
    meanwhile: async (): Promise<void> => {},
  };
  const logins = new KeptLogins({ XDG_CONFIG_HOME: folder });
  const parts = {
    logins,
    gateway: GATEWAY,
    now: () => world.nowMs,
    pause: async (ms: number) => {
      world.pauses.push(ms);
      world.nowMs += ms;
      await world.meanwhile();
    },
    say: (said: string) => void world.said.push(said),
  };
  return { world, logins, parts };
}

/** A gateway that names this provider, and knows whoever asks with a token. */
function gatewayNaming(provider: Pick<ScriptedProvider, 'url'>) {
  return (token: string | undefined): AdminApi => ({
    async get<T>(path: string) {
      const answers: Record<string, unknown> = {
        login: { issuer: provider.url, clientId: 'cli', scope: 'openid offline_access' },
        ...(token === undefined ? {} : { me: { principal: { subject: 'ann@example.com' } } }),
      };
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as the caller names it
      if (path in answers) return answers[path] as T;
      throw new GatewayError('TOKEN_MISSING', 'Say who you are.');
    },
    post: () => Promise.reject(new Error('nothing is posted')),
  });
}

const nothingWritten = { issuer: undefined, clientId: undefined, scope: undefined };
const pending = { status: 400, body: { error: 'authorization_pending' } };

function answer(n: number, more: object = {}) {
  return { body: { access_token: `access-${n}`, token_type: 'Bearer', expires_in: 600, ...more } };
}

async function scripted(t: ExecutionContext) {
  const provider = await startScriptedProvider(t, HOST);
  const { world, logins, parts } = machine(t);
  const login = () => logIn(nothingWritten, gatewayNaming(provider), parts);
  return { provider, world, logins, parts, login };
}

function files(folder: string): string[] {
  const logins = join(folder, 'spark-gateway', 'logins');
  return readdirSync(logins).map((name) => join(logins, name));
}

test('one logs in with the issuer that the gateway names, is known to it, and out again', async (t) => {
  const console = await startTestConsole(t, { host: HOST });
  const { world, logins, parts } = machine(t);
  world.nowMs = Date.now();
  const url = new URL(console.url);
  const gateway = { url, ca: undefined };
  world.meanwhile = async () => {
    const [link = ''] = /http\S+/.exec(world.said[0] ?? '') ?? [];
    t.is((await fetch(`${link}&user=bob`)).status, 200);
  };
  const told = await logIn(
    nothingWritten,
    (token) => new AdminClient({ gateway, token: async () => token }),
    { ...parts, gateway: url },
  );
  t.is(told, `Logged in to ${url.origin} as bob@example.com.`);
  t.regex(world.said.join(), /To log in, open http:\S+ and enter the code [B-Z]{4}-[B-Z]{4}$/);

  const client = await connect({
    options: new Map(),
    env: {},
    settingsUrl: console.url,
    issuerUrl: undefined,
    settingsNamed: false,
    login: (of) => tokenOfLogin({ ...parts, gateway: of }),
  });
  t.like(await client.get<object>('me'), { principal: { subject: 'bob@example.com' } });

  t.deepEqual(await logOut({ logins, gateway: url }), {
    told: `Logged out of ${url.origin}.`,
    stayGood: false,
  });
  t.deepEqual(files(world.folder), []);
  await t.throwsAsync(
    connect({
      options: new Map(),
      env: {},
      settingsUrl: console.url,
      issuerUrl: undefined,
      settingsNamed: false,
      login: (of) => tokenOfLogin({ ...parts, gateway: of }),
    }),
    { code: 'TOKEN_MISSING', message: /spark-gateway login/ },
  );
});

test('what is kept is for its owner only, and nothing that is said holds a token', async (t) => {
  const { provider, world, logins, parts, login } = await scripted(t);
  provider.answers['/token'] = [
    { body: { access_token: 'secret-1', refresh_token: 'secret-2', token_type: 'Bearer' } },
  ];
  const told = await login();
  const [file = ''] = files(world.folder);
  t.is(statSync(file).mode & 0o777, 0o600);
  t.is(statSync(join(world.folder, 'spark-gateway', 'logins')).mode & 0o777, 0o700);
  t.regex(readFileSync(file, 'utf8'), /secret-2/);
  t.notRegex([...world.said, told].join(), /secret/);
  chmodSync(file, 0o644);
  await t.throwsAsync(tokenOfLogin(parts), { code: 'ARGUMENT_INVALID', message: /chmod 600/ });
  await t.throwsAsync(logOut({ logins, gateway: GATEWAY }), { code: 'ARGUMENT_INVALID' });
  chmodSync(file, 0o600);
  writeFileSync(file, '{');
  t.is(await tokenOfLogin(parts), undefined, 'what cannot be read is no login');
});

test('the issuer is asked as often as it likes: its interval, slower for good when it says so', async (t) => {
  const { provider, world, login } = await scripted(t);
  provider.answers['/token'] = [
    pending,
    { status: 400, body: { error: 'slow_down' } },
    pending,
    { body: undefined },
    { status: 503, body: 'a proxy in between' },
    ...(provider.answers['/token'] ?? []),
  ];
  t.regex(await login(), /as ann@example\.com until 2027-/);
  t.deepEqual(world.pauses, [3_000, 3_000, 8_000, 8_000, 16_000, 32_000]);
  t.is(
    world.said[0],
    'To log in, open https://login.example.com/device and enter the code WDJB-MJHT',
  );
  t.deepEqual(provider.asked[0]?.form, { client_id: 'cli', scope: 'openid offline_access' });
  t.deepEqual(provider.asked[1]?.form, {
    client_id: 'cli',
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code: 'the-device',
  });
});

test('a login that is refused, not confirmed in time or not possible says so, and nothing is kept', async (t) => {
  const { provider, logins, login } = await scripted(t);
  const refusal = async (error: string) => {
    provider.answers['/token'] = [{ status: 400, body: { error, error_description: 'a policy' } }];
    return t.throwsAsync(login(), { code: 'LOGIN_FAILED' });
  };
  const denied = await refusal('access_denied');
  t.is(denied?.message, 'The login was refused.');
  t.is(reportFailure(denied).exitCode, EXIT_DENIED);
  t.is(
    (await refusal('expired_token'))?.message,
    'The login was not confirmed in time: begin again.',
  );
  t.is(
    (await refusal('invalid_client'))?.message,
    `${provider.url} refuses it: invalid_client, a policy`,
  );
  provider.answers['/token'] = [pending];
  await t.throwsAsync(login(), { message: 'The login was not confirmed in time: begin again.' });
  provider.answers['/token'] = [{ body: { nothing: 'of use' } }];
  await t.throwsAsync(login(), { code: 'LOGIN_FAILED', message: /does not fit/ });
  provider.endpoints = ['token'];
  await t.throwsAsync(login(), { code: 'LOGIN_FAILED', message: /has no device login/ });
  await provider.close();
  await t.throwsAsync(login(), { code: 'ISSUER_UNREACHABLE' });
  t.is(await logins.get(GATEWAY), undefined);
});

test('a gateway that does not accept what the issuer gives is told of at once', async (t) => {
  const { provider, logins, parts } = await scripted(t);
  const api = gatewayNaming(provider);
  await t.throwsAsync(
    logIn(nothingWritten, () => api(undefined), parts),
    { code: 'TOKEN_MISSING' },
  );
  t.is(await logins.get(GATEWAY), undefined);
});

test('without an issuer of the gateway it is named on the command line, and must be https', async (t) => {
  const { provider, parts } = await scripted(t);
  const silent: AdminApi = {
    get: () => Promise.reject(new GatewayError('HTTP_PATH_UNKNOWN', 'There is nothing.')),
    post: () => Promise.reject(new Error('nothing is posted')),
  };
  await t.throwsAsync(
    logIn(nothingWritten, () => silent, parts),
    { code: 'ARGUMENT_INVALID', message: /--issuer and --client-id/ },
  );
  const named = { issuer: provider.url, clientId: 'mine', scope: undefined };
  t.regex(
    await logIn(named, () => silent, parts),
    /^Logged in to https:\/\/gateway\.example\.com until/,
  );
  t.is(provider.asked[0]?.form['client_id'], 'mine');
  await t.throwsAsync(
    logIn({ ...named, issuer: 'http://login.example.com' }, () => silent, parts),
    { code: 'ARGUMENT_INVALID', message: /https:/ },
  );
});

test('a token is renewed near its end, once for all who ask, with what the issuer gave last', async (t) => {
  const { provider, world, parts, login } = await scripted(t);
  provider.answers['/token'] = [
    answer(1, { refresh_token: 'refresh-1' }),
    answer(2, { refresh_token: 'refresh-2' }),
    answer(3),
    answer(4),
  ];
  await login();
  world.nowMs += 500_000;
  t.is(await tokenOfLogin(parts), 'access-1');
  world.nowMs += 50_000;
  t.deepEqual(await Promise.all([tokenOfLogin(parts), tokenOfLogin(parts)]), [
    'access-2',
    'access-2',
  ]);
  world.nowMs += 600_000;
  t.is(await tokenOfLogin(parts), 'access-3');
  world.nowMs += 600_000;
  t.is(await tokenOfLogin(parts), 'access-4');
  const used = provider.asked.map(({ form }) => form['refresh_token']).slice(2);
  t.deepEqual(used, ['refresh-1', 'refresh-2', 'refresh-2'], 'one that is not replaced stays good');
  t.deepEqual(
    files(world.folder).filter((file) => file.endsWith('.lock')),
    [],
  );
});

test('while the issuer is away a token serves to its end; then that is said, and the login is kept', async (t) => {
  const { provider, world, logins, parts, login } = await scripted(t);
  provider.answers['/token'] = [
    { body: { access_token: 'a', refresh_token: 'r', token_type: 'Bearer', expires_in: 600 } },
    { status: 502, body: 'a proxy in between' },
  ];
  await login();
  world.nowMs += 570_000;
  t.is(await tokenOfLogin(parts), 'a');
  world.nowMs += 60_000;
  await t.throwsAsync(tokenOfLogin(parts), { code: 'ISSUER_UNREACHABLE' });
  t.not(await logins.get(GATEWAY), undefined);
});

test('a login that has ended says what to do', async (t) => {
  const { provider, world, parts, login } = await scripted(t);
  await login();
  world.nowMs += 3_600_000;
  await t.throwsAsync(tokenOfLogin(parts), {
    code: 'LOGIN_FAILED',
    message: /has ended: run spark-gateway login\. .*nothing to renew it with/,
  });
  provider.answers['/token'] = [
    { body: { access_token: 'a', refresh_token: 'r', token_type: 'Bearer', expires_in: 600 } },
    { status: 400, body: { error: 'invalid_grant', error_description: 'signed out elsewhere' } },
  ];
  await login();
  world.nowMs += 600_000;
  const error = await t.throwsAsync(tokenOfLogin(parts), { message: /signed out elsewhere/ });
  t.is(reportFailure(error).exitCode, EXIT_DENIED);
});

test('a login is for one gateway, and a token that is given comes before it', async (t) => {
  const { parts, login } = await scripted(t);
  await login();
  t.is(await tokenOfLogin(parts), 'first');
  const elsewhere = new URL('https://other.example.com/');
  t.is(await tokenOfLogin({ ...parts, gateway: elsewhere }), undefined);
  t.is(await tokenOfLogin({ ...parts, logins: new KeptLogins({}) }), undefined, 'without a home');
  await t.notThrowsAsync(
    connect({
      options: new Map(),
      env: { SPARK_GATEWAY_TOKEN: 'given' },
      settingsUrl: GATEWAY.href,
      issuerUrl: undefined,
      settingsNamed: false,
      login: () => Promise.reject(new Error('nobody asks for the login')),
    }),
  );
});

test('logout forgets the tokens whatever the issuer does, and says what it did', async (t) => {
  const { provider, world, logins, login } = await scripted(t);
  const out = () => logOut({ logins, gateway: GATEWAY });
  t.like(await out(), { told: 'Nobody was logged in to https://gateway.example.com.' });
  await login();
  t.like(await out(), { stayGood: false });
  t.deepEqual(provider.asked.at(-1), {
    path: '/revocation',
    form: { client_id: 'cli', token: 'first', token_type_hint: 'access_token' },
  });
  await login();
  provider.answers['/revocation'] = [{ status: 503, body: 'no' }];
  const failed = await out();
  t.true(failed.stayGood);
  t.regex(failed.told, /has not taken the tokens back: .*good until 20/);
  provider.endpoints = ['token', 'device_authorization'];
  await login();
  t.regex((await out()).told, /takes no tokens back/);
  await login();
  await provider.close();
  t.true((await out()).stayGood);
  t.deepEqual(files(world.folder), []);
});
