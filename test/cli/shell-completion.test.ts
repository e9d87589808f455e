import { execFileSync } from 'node:child_process';
import test from 'ava';
import { renderCompletion } from '../../src/cli/shell-completion.js';
import { commands } from '../../src/cli/commands.js';

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
