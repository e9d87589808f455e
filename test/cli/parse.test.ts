import test from 'ava';
import { type CommandLine, parseCommandLine } from '../../src/cli/parse.js';

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
