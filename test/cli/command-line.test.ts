import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { connect, type ConnectionOptions } from '../../src/cli/admin-client.js';
import { commands } from '../../src/cli/commands.js';
import { renderHelp } from '../../src/cli/help.js';
import { type CommandLine, parseCommandLine } from '../../src/cli/parse.js';
import {
  EXIT_DENIED,
  EXIT_FAILED,
  EXIT_UNREACHABLE,
  EXIT_USAGE,
  reportFailure,
} from '../../src/cli/report.js';
import { renderCompletion } from '../../src/cli/shell-completion.js';
import { GatewayError } from '../../src/model/errors.js';
import { describeSettings } from '../../src/settings/rows.js';
import { startAdminApi } from '../support/admin-api.js';
import { TestAuthority } from '../support/certificates.js';

// Arguments.

function parse(line: string, env: Record<string, string> = {}): CommandLine {
  return parseCommandLine(line.split(' ').filter(Boolean), env);
}

test('a role with its settings', (t) => {
  t.deepEqual(parse('control-plane --config g.yaml --set a.b=c=d -s x=1'), {
    kind: 'run',
    name: 'control-plane',
    operands: [],
    options: new Map(),
    config: 'g.yaml',
    overrides: [
      ['a.b', 'c=d'],
      ['x', '1'],
    ],
  });
});

test('the settings file may be named by a variable, which the option beats', (t) => {
  const env = { SPARK_GATEWAY_CONFIG: 'env.yaml' };
  t.like(parse('authz', env), { config: 'env.yaml' });
  t.like(parse('authz -c arg.yaml', env), { config: 'arg.yaml' });
  t.like(parse('authz', { SPARK_GATEWAY_CONFIG: '' }), { config: undefined });
});

test('help and version, wherever they stand', (t) => {
  t.deepEqual(parse('--help'), { kind: 'help', topic: undefined });
  t.deepEqual(parse('authz --set a=b -h'), { kind: 'help', topic: 'authz' });
  t.deepEqual(parse('help policy validate'), { kind: 'help', topic: 'policy validate' });
  t.deepEqual(parse('--version'), { kind: 'version' });
});

test('a token for a person, for a while', (t) => {
  t.deepEqual(parse('token --user alice --ttl 10m'), {
    kind: 'run',
    name: 'token',
    operands: [],
    options: new Map([
      ['user', 'alice'],
      ['ttl', '10m'],
    ]),
    config: undefined,
    overrides: [],
  });
});

test('policies to validate', (t) => {
  t.deepEqual(parse('policy validate a.yaml b.yaml -c gateway.yaml'), {
    kind: 'run',
    name: 'policy validate',
    operands: ['a.yaml', 'b.yaml'],
    options: new Map(),
    config: 'gateway.yaml',
    overrides: [],
  });
});

const wrong: readonly (readonly [string, readonly string[]])[] = [
  ['autz', ['there is no command "autz"; did you mean "authz"?']],
  ['settings', ['"settings" needs to be one of settings validate, settings example']],
  ['policy validate', ['"policy validate" needs <file>...']],
  ['token', ['"token" needs --user <name>, such as --user alice']],
  [
    'token --user bob --ttl 3',
    ['--ttl 3: allowed is a duration such as 500ms, 30s, 5m or 1h30m, from 1s to 30d'],
  ],
  ['start --config a --config b', ['--config is given twice']],
  ['settings example --config a', ['--config is no option of "settings example"']],
  [
    'authz extra --confg=x --set a --config',
    [
      '--confg is no option of "authz"; did you mean "--config"?',
      '--set a: write it as name=value',
      '--config needs a value',
      '"authz" takes no "extra"',
    ],
  ],
];
for (const [line, messages] of wrong) {
  test(`refused: spark-gateway ${line}`, (t) => {
    t.deepEqual(parse(line), {
      kind: 'usage-error',
      messages: [...messages, 'see spark-gateway --help'],
    });
  });
}

test('no command at all names them', (t) => {
  const command = parse('');
  t.is(command.kind, 'usage-error');
  t.regex(
    command.kind === 'usage-error' ? (command.messages[0] ?? '') : '',
    /control-plane, authz/,
  );
});

// Help.

test('the overview names every command', (t) => {
  const text = renderHelp(undefined, describeSettings);
  for (const { name } of commands) t.true(text.includes(`  ${name} `), name);
});

test("a role's help lists its settings with default, variable and what is allowed", (t) => {
  const text = renderHelp('authz', describeSettings);
  t.regex(text, /authz\.hold_time \(default 60s\)/);
  t.regex(text, /Env: SPARK_GATEWAY_AUTHZ_HOLD_TIME/);
  t.regex(text, /Allowed: a duration such as/);
  t.notRegex(text, /session_ttl/);
});

test('each mistake is one line, and a configuration mistake has its own exit code', (t) => {
  t.deepEqual(reportFailure(new GatewayError('SETTINGS_INVALID', 'a:1: one\na:2: two')), {
    text: 'spark-gateway: a:1: one\nspark-gateway: a:2: two\n',
    exitCode: EXIT_USAGE,
  });
  t.is(reportFailure(new GatewayError('DRIVER_START_FAILED', 'no')).exitCode, EXIT_FAILED);
  t.regex(reportFailure(new TypeError('odd')).text, /^spark-gateway: TypeError: odd/);
});

// The commands that there are.

test('each command has a file of its own', (t) => {
  const table = readFileSync('src/cli/commands.ts', 'utf8');
  const imported = [...table.matchAll(/from '\.\/(commands\/[^']+)\.js'/g)].map(
    ([, file = '']) => file,
  );
  const there = readdirSync('src/cli/commands').map((file) => `commands/${file.slice(0, -3)}`);
  t.deepEqual(imported.toSorted(), there.toSorted());
});

// Completion in a shell.

/** What bash offers when Tab is pressed at the end of `line`. */
function offered(line: string): readonly string[] {
  const words = line.split(' ');
  const script = `${renderCompletion('bash', commands)}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})
COMP_CWORD=${words.length - 1}
_spark_gateway
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const options = { encoding: 'utf8', input: script, cwd: 'test/cli/fixtures' } as const;
  return execFileSync('bash', ['--norc', '-s'], options).split('\n').filter(Boolean).toSorted();
}

const cases: readonly (readonly [string, readonly string[]])[] = [
  ['spark-gateway se', ['sessions', 'settings']],
  ['spark-gateway settings ', ['example', 'validate']],
  ['spark-gateway sessions --te', ['--team']],
  ['spark-gateway sessions -o ', ['json', 'name', 'table', 'wide', 'yaml']],
  ['spark-gateway sessions --output j', ['json']],
  ['spark-gateway drivers --phase dr', ['draining']],
  ['spark-gateway drain --w', ['--wait']],
  ['spark-gateway sessions --team ', []],
  ['spark-gateway completion ', ['bash', 'fish', 'zsh']],
  ['spark-gateway policy validate ', ['empty.yaml']],
  ['spark-gateway status --config e', ['empty.yaml']],
  ['spark-gateway release --he', ['--help']],
];
for (const [line, expected] of cases) {
  test(`bash completes "${line}"`, (t) => {
    t.deepEqual(offered(line), expected);
  });
}

test('bash offers every command at the beginning', (t) => {
  const first = commands.map(({ name }) => name.split(' ')[0] ?? '');
  t.deepEqual(offered('spark-gateway '), [...new Set([...first, 'help'])].toSorted());
});

test('fish is told of every command and option', (t) => {
  const script = renderCompletion('fish', commands);
  t.regex(script, /-a sessions -d 'Who has a session/);
  t.regex(script, /__fish_seen_subcommand_from drivers' -l phase -x -a 'warming available/);
  t.regex(script, /Each Envoy\\'s|each Envoy\\'s|Envoy\\'s state/);
});

test('zsh gets what bash gets', (t) => {
  t.regex(
    renderCompletion('zsh', commands),
    /^#compdef spark-gateway\n.*bashcompinit\n_spark_gateway/,
  );
});

// Where commands ask.

function connectionOptions(
  given: Partial<ConnectionOptions> & { readonly flags?: Record<string, string> },
) {
  const { flags = {}, ...rest } = given;
  return {
    options: new Map(Object.entries(flags)),
    env: {},
    settingsUrl: 'http://127.0.0.1:1',
    issuerUrl: undefined,
    settingsNamed: false,
    login: async () => undefined,
    ...rest,
  };
}

async function exitCodeOf(promise: Promise<unknown>): Promise<number> {
  try {
    await promise;
  } catch (error) {
    return reportFailure(error).exitCode;
  }
  return 0;
}

test('the server and the token may come from variables, which options beat', async (t) => {
  const api = await startAdminApi(t);
  const folder = mkdtempSync(join(tmpdir(), 'connection-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'token');
  writeFileSync(file, `${await api.tokenOf('reader')}\n`);
  const env = {
    SPARK_GATEWAY_ADMIN_URL: api.url,
    SPARK_GATEWAY_TOKEN: await api.tokenOf('nobody'),
  };
  const nobody = await connect(connectionOptions({ env }));
  t.is(await exitCodeOf(nobody.get('status')), EXIT_DENIED);
  const reader = await connect(connectionOptions({ env, flags: { 'token-file': file } }));
  t.like(await reader.get<object>('status'), { version: '1.2.3' });
});

test('without a token one is told where to put it', async (t) => {
  const error = await t.throwsAsync(
    connect(connectionOptions({ flags: { server: 'http://127.0.0.1:1' } })),
  );
  t.regex(error?.message ?? '', /SPARK_GATEWAY_TOKEN/);
  t.is(reportFailure(error).exitCode, EXIT_DENIED);
});

test('where nothing answers, or something else than a gateway, that is said', async (t) => {
  const env = { SPARK_GATEWAY_TOKEN: 'token' };
  const client = await connect(connectionOptions({ env }));
  const error = await t.throwsAsync(client.get('status'));
  t.regex(error?.message ?? '', /http:\/\/127\.0\.0\.1:1 cannot be reached: .*ECONNREFUSED/);
  t.is(reportFailure(error).exitCode, EXIT_UNREACHABLE);
  const api = await startAdminApi(t);
  const elsewhere = await connect(
    connectionOptions({ env, flags: { server: `${api.url}/below` } }),
  );
  t.like(await t.throwsAsync(elsewhere.get('status')), { code: 'HTTP_PATH_UNKNOWN' });
  t.is(
    await exitCodeOf(connect(connectionOptions({ env, flags: { server: 'gateway:9090' } }))),
    EXIT_USAGE,
  );
});

test('https is believed by the authority that is named, and by no other', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'connection-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const names = { commonName: 'gateway', ipv4: ['127.0.0.1'] };
  const authority = new TestAuthority();
  const { certificatePem, keyPem } = authority.issue(names);
  const { caFile } = authority.writeFiles(folder, 'gateway', names);
  const server = createHttps({ cert: certificatePem, key: keyPem }, (_request, response) => {
    response.end('{"answer":42}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const env = { SPARK_GATEWAY_TOKEN: 'token' };
  const named = await connect(
    connectionOptions({ env, flags: { server: url, 'ca-file': caFile } }),
  );
  t.deepEqual(await named.get('status'), { answer: 42 });
  const unnamed = await connect(connectionOptions({ env, flags: { server: url } }));
  t.is(await exitCodeOf(unnamed.get('status')), EXIT_UNREACHABLE);
});
