import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { GatewayError } from '../../src/model/errors.js';
import { authzAddress } from '../../src/settings/authz-address.js';
import {
  accessLogIntervalMs,
  compileSettings,
  loadSettings,
  type SettingsSources,
} from '../../src/settings/compile-settings.js';
import { describeSettings, renderExample, rows } from '../../src/settings/rows.js';
import { gatewayRoles } from '../../src/settings/setting.js';
import type { Settings } from '../../src/settings/table.js';
import { localVariants, variantConf } from '../../src/settings/types.js';
import { isServiceLink } from '../../src/settings/written-settings.js';

// Settings.

function compile(text = '', rest: Partial<SettingsSources> = {}): Settings {
  return compileSettings({
    file: { name: '/etc/gateway.yaml', text },
    env: {},
    overrides: [],
    cwd: '/here',
    ...rest,
  });
}

function mistakes(text: string, rest: Partial<SettingsSources> = {}): readonly string[] {
  try {
    compile(text, rest);
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'SETTINGS_INVALID') {
      return error.message.split('\n');
    }
    throw error;
  }
  return [];
}

test('everything has a default', (t) => {
  const settings = compileSettings({ env: {}, overrides: [], cwd: '/here' });
  t.deepEqual(settings.listenAddr, { host: '0.0.0.0', port: 15002 });
  t.is(settings.sessionTtlMs, 30 * 60_000);
  t.is(settings.hotPoolSize, 10);
  t.is(settings.maxConnsPerHost, 100);
  t.is(settings.listener.maxMessageSizeBytes, 256 * 1024 * 1024);
  t.is(settings.pools.startTimeoutMs, 5 * 60_000);
  t.is(settings.authz.holdTimeMs, 60_000);
  t.is(settings.tlsCertFile, undefined);
  t.deepEqual(settings.drivers.local.sparkConf, {});
});

test('an argument beats the environment, which beats the file, which beats the default', (t) => {
  const env = { SPARK_GATEWAY_SESSION_TTL: '20m', SPARK_GATEWAY_XDS_DEBOUNCE: '7ms' };
  const settings = compile('session_ttl: 10m\nxds: {debounce: 6ms}\nhot_pool_size: 3\n', {
    env,
    overrides: [
      ['session_ttl', '1m'],
      ['session_ttl', '40m'],
    ],
  });
  t.is(settings.sessionTtlMs, 40 * 60_000);
  t.is(settings.xds.debounceMs, 7);
  t.is(settings.hotPoolSize, 3);
});

test('JAVA_HOME and its like count only where nothing else says', (t) => {
  const env = { JAVA_HOME: '/jdk', ENVOY_BIN: 'bin/envoy', SPARK_HOME: '' };
  t.is(compile('', { env }).drivers.local.javaHome, '/jdk');
  t.is(compile('', { env }).envoy.bin, '/here/bin/envoy');
  t.is(compile('', { env }).drivers.local.sparkHome, undefined);
  t.is(
    compile('drivers: {local: {java_home: jdk17}}', { env }).drivers.local.javaHome,
    '/etc/jdk17',
  );
});

test('a relative path starts at the directory of what names it', (t) => {
  t.is(compile('policy_file: policy.yaml').policyFile, '/etc/policy.yaml');
  t.is(
    compile('', { env: { SPARK_GATEWAY_POLICY_FILE: 'policy.yaml' } }).policyFile,
    '/here/policy.yaml',
  );
  t.deepEqual(compile('authz: {listen_addr: "unix:authz.sock"}').authz.listenAddr, {
    path: '/etc/authz.sock',
  });
});

test('lists and maps can be written in a variable', (t) => {
  const settings = compile('', {
    env: {
      SPARK_GATEWAY_XDS_ALLOWED_SANS: 'spiffe://a/b, envoy.example.com',
      SPARK_GATEWAY_DRIVERS_LOCAL_SPARK_CONF: 'spark.ui.enabled=false, spark.a=b=c',
    },
  });
  t.deepEqual(settings.xds.allowedSans, ['spiffe://a/b', 'envoy.example.com']);
  t.deepEqual(settings.drivers.local.sparkConf, { 'spark.ui.enabled': 'false', 'spark.a': 'b=c' });
  const asYaml = [
    ['xds.allowed_sans', '[a, b]'],
    ['drivers.local.spark_conf', '{spark.a: "b,c"}'],
  ] as const;
  t.deepEqual(compile('', { overrides: asYaml }).xds.allowedSans, ['a', 'b']);
  t.deepEqual(compile('', { overrides: asYaml }).drivers.local.sparkConf, { 'spark.a': 'b,c' });
});

test('the value is frozen throughout', (t) => {
  const settings = compile('xds: {allowed_sans: [a]}');
  t.true(Object.isFrozen(settings));
  t.true(Object.isFrozen(settings.xds));
  t.true(Object.isFrozen(settings.xds.allowedSans));
});

test('text that looks like a number keeps its zeros', (t) => {
  const text = 'okta_issuer: https://example.okta.com\nokta_client_id: 0012\n';
  t.is(compile(text).oktaClientId, '0012');
});

test('every mistake is reported, with its line, what is wrong and what is allowed', (t) => {
  const text = `listen_adr: 0.0.0.0:1
session_ttl: 30
xds:
  debouce: 5ms
headers: 3
drivers:
  source: statik
  local: {memory: 512m, cores: 0}
okta_issuer: http://example.okta.com
envoy: {admin_addr: "0.0.0.0:9901"}
`;
  t.deepEqual(mistakes(text, { overrides: [['log_level', 'loud']] }), [
    '--set log_level: log_level: "loud" is not trace, debug, info, warn, error or fatal',
    '/etc/gateway.yaml:1:1: "listen_adr" is no setting; did you mean "listen_addr"?',
    '/etc/gateway.yaml:2:14: session_ttl: "30" is not a duration such as 500ms, 30s, 5m or 1h30m, from 10s to 7d',
    '/etc/gateway.yaml:4:3: "xds.debouce" is no setting; did you mean "xds.debounce"?',
    '/etc/gateway.yaml:5:10: headers is a group; allowed below it: team, environment, user',
    '/etc/gateway.yaml:7:11: drivers.source: "statik" is not local, static or kubernetes; did you mean "static"?',
    '/etc/gateway.yaml:8:19: drivers.local.memory: "512m" is not a size such as 512KiB, 256MiB or 2GiB, from 256MiB to 1TiB',
    '/etc/gateway.yaml:8:32: drivers.local.cores: "0" is not a whole number from 1 to 256',
    '/etc/gateway.yaml:9:14: okta_issuer: "http://example.okta.com" is not a URL that starts with https://, or http:// for a loopback address',
    '/etc/gateway.yaml:10:21: envoy.admin_addr: "0.0.0.0:9901" is not localhost, 127.x.x.x or [::1], and a port: it must not be reachable from elsewhere',
  ]);
});

test('a mistake in the file is reported even where a stronger source overrides it', (t) => {
  t.regex(
    mistakes('hot_pool_size: many', { overrides: [['hot_pool_size', '3']] })[0] ?? '',
    /^\/etc\/gateway\.yaml:1:16: hot_pool_size: "many"/,
  );
});

test('a misspelt variable is a mistake, those of Kubernetes and of our scripts are not', (t) => {
  const env = {
    SPARK_GATEWAY_SESION_TTL: '5m',
    SPARK_GATEWAY_CONFIG: '/etc/gateway.yaml',
    SPARK_GATEWAY_PYTHON_3_5: '/usr/bin/python3',
    SPARK_GATEWAY_PORT: 'tcp://10.0.0.1:15002',
    SPARK_GATEWAY_PORT_15002_TCP_ADDR: '10.0.0.1',
    SPARK_GATEWAY_SERVICE_HOST: '10.0.0.1',
    SPARK_GATEWAY_ADMIN_SERVICE_PORT_HTTP: '9090',
  };
  t.deepEqual(mistakes('', { env }), [
    'environment variable SPARK_GATEWAY_SESION_TTL: is no setting; did you mean "SPARK_GATEWAY_SESSION_TTL"?',
  ]);
});

test('a file that is not YAML, or not settings, is reported once', (t) => {
  t.is(mistakes('a: [1\nb: 2\n').filter((line) => !line.includes('not valid YAML')).length, 0);
  t.deepEqual(mistakes('- a\n- b\n'), [
    '/etc/gateway.yaml:1:1: gateway.yaml must hold settings, one "name: value" on each line',
  ]);
  t.deepEqual(mistakes('log_level: info\nlog_level: warn\n'), [
    '/etc/gateway.yaml:2:1: this key is given twice',
  ]);
});

test('a running query is reported often enough for its session not to look idle', (t) => {
  t.is(accessLogIntervalMs(compile('')), 60_000);
  t.is(accessLogIntervalMs(compile('access_log: {interval: 1h}')), 600_000);
  t.is(accessLogIntervalMs(compile('session_ttl: 30s')), 10_000);
});

const together: readonly (readonly [string, RegExp])[] = [
  ['tls_cert_file: a.pem', /:1:16: tls_cert_file and tls_key_file must be set both/],
  ['listener: {client_ca_file: a.pem}', /needs tls_cert_file/],
  ['okta_issuer: https://example.okta.com', /needs okta_client_id or okta_audience/],
  ['okta_client_id: a', /need okta_issuer/],
  ['mtls: {cert_file: a.pem}', /must be set all or not at all/],
  ['xds: {listen_addr: "0.0.0.0:18000"}', /reachable from elsewhere: set mtls/],
  ['assignments: {listen_addr: "[::]:18001"}', /reachable from elsewhere: set mtls/],
  ['authz: {hold_time: 2m}', /authz.timeout must be longer/],
  ['xds: {debounce: 100ms}', /debounce_max must be at least/],
  [
    'batch: {kubernetes: {spark_conf: {spark.kubernetes.driver.container.image: x}}}',
    /spark.kubernetes.driver.container.image is none that a job may be given/,
  ],
  [
    'batch: {kubernetes: {templates: {a: "spark.a=1; spark.master=local"}}}',
    /spark.master is none/,
  ],
  ['batch: {records_maximum: 100, jobs_maximum: 100}', /records_maximum must be greater than/],
  [
    'drivers: {source: kubernetes}\nbatch: {output_url: "file:///results"}',
    /batch.output_url must be s3/,
  ],
  ['session_ttl: 13h', /:1:14: sessions.tombstone_ttl must be at least session_ttl/],
  ['hot_pool_size: 101', /must not exceed pools.maximum/],
  ['drivers: {source: static}', /needs drivers.static_file/],
  ['headers: {team: x-a, user: x-a}', /must differ/],
  ['issuer: {enabled: true}', /:1:19: issuer.enabled is for development only/],
];
for (const [text, expected] of together) {
  test(`refused as a whole: ${text}`, (t) => {
    const found = mistakes(text);
    t.is(found.length, 1);
    t.regex(found[0] ?? '', expected);
  });
}

test('drivers that would end sessions before the gateway does are refused', (t) => {
  const key = 'spark.connect.session.manager.defaultSessionTimeout';
  t.regex(
    mistakes(`session_ttl: 30m\ndrivers: {local: {spark_conf: {${key}: 10m}}}`)[0] ?? '',
    /defaultSessionTimeout is 10m, but must be longer than session_ttl \(1800 s\)/,
  );
  t.regex(
    mistakes(`drivers: {local: {variants: {old: '${key}=20m'}}}`)[0] ?? '',
    /must be longer than session_ttl/,
  );
  t.deepEqual(mistakes(`session_ttl: 5m\ndrivers: {local: {spark_conf: {${key}: 10m}}}`), []);
});

test('authz listens on a unix socket in state_dir unless another place is said, and its path fits', (t) => {
  t.deepEqual(authzAddress(compile('state_dir: /var/lib/one')), {
    path: '/var/lib/one/authz.sock',
  });
  t.deepEqual(authzAddress(compile('authz: {listen_addr: "127.0.0.1:9191"}')), {
    host: '127.0.0.1',
    port: 9191,
  });
  const long = `state_dir: /${'long/'.repeat(30)}`;
  t.throws(() => compile(long), {
    message: /107 bytes: set authz\.listen_addr or a shorter state_dir/,
  });
  t.notThrows(() => compile(`${long}\nauthz: {listen_addr: "unix:/run/authz.sock"}`));
});

// Where they come from.

test('reads a file', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'settings-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const file = join(directory, 'gateway.yaml');
  await writeFile(file, 'hot_pool_size: 2\nstate_dir: state\n');
  const settings = await loadSettings({ file, env: {}, overrides: [], cwd: '/' });
  t.is(settings.hotPoolSize, 2);
  t.is(settings.stateDir, join(directory, 'state'));
});

test('a file that is not there is one clear line', async (t) => {
  const error = await t.throwsAsync(
    loadSettings({ file: '/no/such/file.yaml', env: {}, overrides: [], cwd: '/' }),
  );
  t.regex(
    error?.message ?? '',
    /^\/no\/such\/file\.yaml: the settings file cannot be read: ENOENT/,
  );
});

// The table.

test('each default is allowed by its own type', (t) => {
  for (const { name, setting } of rows) {
    if (setting.form === 'text' && setting.default !== undefined) {
      t.not(setting.type.parse(setting.default, '/'), undefined, name);
    }
  }
});

test('no two settings share a variable, and none looks like one that Kubernetes adds', (t) => {
  t.is(new Set(rows.map(({ env }) => env)).size, rows.length);
  t.deepEqual(
    rows.filter(({ env }) => isServiceLink(env)).map(({ env }) => env),
    [],
  );
});

test('each setting says what it is for and who uses it', (t) => {
  for (const { name, setting } of rows) {
    t.true(setting.about.length > 10, name);
    t.true(setting.roles.length > 0, name);
  }
  t.is(describeSettings('start').length, rows.length);
  for (const role of gatewayRoles) t.true(describeSettings(role).length > 0, role);
});

test('the example file is valid and changes nothing', (t) => {
  const sources = { env: {}, overrides: [], cwd: '/etc' };
  const file = { name: '/etc/settings.yaml', text: renderExample() };
  t.deepEqual(compileSettings({ ...sources, file }), compileSettings(sources));
});

test('docs/settings.yaml is current (spark-gateway settings example > docs/settings.yaml)', async (t) => {
  t.is(await readFile('docs/settings.yaml', 'utf8'), renderExample());
});

// Variants of local drivers.

test('a variant is Spark configuration, and another Spark where it names one', (t) => {
  const variants = {
    next: 'spark_home=/opt/spark-4.3; spark.sql.shuffle.partitions=7',
    plain: 'spark.a=b=c;spark.d=e',
  };
  t.deepEqual(localVariants({ drivers: { local: { variants } } }), [
    { name: 'next', sparkHome: '/opt/spark-4.3', conf: { 'spark.sql.shuffle.partitions': '7' } },
    { name: 'plain', conf: { 'spark.a': 'b=c', 'spark.d': 'e' } },
  ]);
});

test('anything else is refused', (t) => {
  for (const written of ['', 'spark.a', 'spark.a=', 'java_home=/x', 'sparky=1', 'spark.a=1;;']) {
    t.is(variantConf.parse(written, '/'), undefined, written);
  }
});
