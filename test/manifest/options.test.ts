import test from 'ava';
import { parseOptions } from '../../src/manifest/options.js';
import { GatewayError } from '../../src/model/errors.js';

function refusal(options: Readonly<Record<string, string>>): string {
  try {
    parseOptions(options);
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'OPTION_INVALID') return error.message;
    throw error;
  }
  return '';
}

test('options are read as what they mean; what is not said is undefined', (t) => {
  t.deepEqual(parseOptions({}), {
    clientRequestId: undefined,
    sandbox: undefined,
    sampling: undefined,
    ttlSeconds: undefined,
  });
  const options = {
    client_request_id: 'run/2026-11-29#1',
    sandbox_mode: 'false',
    data_sampling: '0.25',
    ttl_seconds: '600',
  };
  t.deepEqual(parseOptions(options), {
    clientRequestId: 'run/2026-11-29#1',
    sandbox: false,
    sampling: 0.25,
    ttlSeconds: 600,
  });
});

test('every mistake is said at once, an unknown name with the nearest that there is', (t) => {
  const lines = refusal({ ttl_second: '60', sandbox_mode: 'yes', data_sampling: '2' }).split('\n');
  t.is(lines.length, 3);
  t.regex(lines[0] ?? '', /"ttl_second" is no option; did you mean "ttl_seconds"/);
  t.regex(lines[1] ?? '', /sandbox_mode is "yes", which is not true or false/);
  t.regex(lines[2] ?? '', /data_sampling is "2", which is not a number above 0 and at most 1/);
  t.regex(refusal({ colour: 'red' }), /there are client_request_id, sandbox_mode/);
});

const refused: readonly (readonly [string, string])[] = [
  ['data_sampling', '0'],
  ['data_sampling', '0.0'],
  ['data_sampling', '-0.5'],
  ['data_sampling', '1.5'],
  ['data_sampling', '1e-3'],
  ['data_sampling', 'NaN'],
  ['data_sampling', ''],
  ['ttl_seconds', '59'],
  ['ttl_seconds', '86401'],
  ['ttl_seconds', '1h'],
  ['ttl_seconds', '60.5'],
  ['client_request_id', ''],
  ['client_request_id', 'a b'],
  ['client_request_id', 'é'],
  ['client_request_id', 'a\n'],
  ['client_request_id', 'x'.repeat(129)],
  ['sandbox_mode', 'TRUE'],
  ['__proto__', 'x'],
  ['constructor', 'x'],
];
for (const [name, value] of refused) {
  test(`refused: ${name}=${JSON.stringify(value.slice(0, 20))}`, (t) => {
    t.not(refusal(Object.fromEntries([[name, value]])), '');
  });
}
