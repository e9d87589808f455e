import test from 'ava';
import { commands } from '../../src/cli/commands.js';
import { renderHelp } from '../../src/cli/help.js';
import { EXIT_FAILED, EXIT_USAGE, reportFailure } from '../../src/cli/report.js';
import { GatewayError } from '../../src/model/errors.js';
import { describeSettings } from '../../src/settings/rows.js';

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
