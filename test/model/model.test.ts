import test from 'ava';
import * as fc from 'fast-check';
import { isLoopback } from '../../src/model/address.js';
import { connectConf, refuseSessionTimeout, withFence } from '../../src/model/connect-conf.js';
import { issuerNote } from '../../src/model/issuer-note.js';
import { RateLimiter } from '../../src/model/limit-refusals.js';
import { cut, tellingLine } from '../../src/model/telling-line.js';
import { compileSettings } from '../../src/settings/compile-settings.js';
import { describeGoodSettings } from '../../src/settings/policy-options.js';
import { tries } from '../support/tries.js';

// Addresses.

test('only this machine is loopback, whatever else begins like it', (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.255.1.20', '::1', '[::1]']) {
    t.true(isLoopback(host), host);
  }
  const others = [
    '127.0.0.1.example.com',
    '127.0.0',
    '127.0.0.256',
    '127.0.0.01',
    'localhost.',
    '',
  ];
  for (const host of [...others, '128.0.0.1', '0.0.0.0', '::', '::2', 'a127.0.0.1']) {
    t.false(isLoopback(host), host);
  }
});

// Spark Connect's configuration.

const BATCH = 'spark.connect.grpc.arrow.maxBatchSize';
const BUFFER = 'spark.connect.execute.reattachable.observerRetryBufferSize';

test('batches have Spark’s own size, which every client can receive', (t) => {
  const conf = connectConf({}, 256 * 1024 * 1024);
  t.deepEqual(conf, { 'spark.connect.grpc.maxInboundMessageSize': '268435456' });
});

test('larger batches have a retry buffer that holds some of them, unless it is set as well', (t) => {
  for (const [batch, buffer] of [
    ['10m', '26214400'],
    ['10485760', '26214400'],
    ['1GB', '2684354560'],
  ] as const) {
    t.is(connectConf({ [BATCH]: batch }, 1)[BUFFER], buffer);
  }
  t.is(connectConf({ [BATCH]: '10m', [BUFFER]: '50m' }, 1)[BUFFER], '50m');
});

test('a limit of messages beyond what Spark can read is the largest that it can', (t) => {
  t.is(connectConf({}, 2 ** 40)['spark.connect.grpc.maxInboundMessageSize'], '2147483647');
});

test('interceptors of the operator stay, and are asked after the fence', (t) => {
  const name = 'spark.connect.grpc.interceptor.classes';
  t.is(withFence({})[name], 'sparkgateway.DriverFence');
  t.is(withFence({ [name]: 'a.B,c.D' })[name], 'a.B,c.D,sparkgateway.DriverFence');
});

const refusal = (text: string) =>
  refuseSessionTimeout({ 'spark.connect.session.manager.defaultSessionTimeout': text }, 60_000);

test('a driver that would end sessions before the gateway does is refused', (t) => {
  for (const text of ['60s', '1min', '60000', '60000ms', '0', ' 30S ']) {
    t.regex(refusal(text) ?? '', /must be longer than session_ttl \(60 s\)/, text);
  }
  // -1 is never; what Spark cannot read is told by Spark.
  for (const text of ['61s', '2m', '1h', '1d', '-1', 'soon']) t.is(refusal(text), undefined, text);
  t.is(refuseSessionTimeout({}, 60_000), undefined);
});

// Notes of issuers.

test('an issuer of Okta is told with both spellings where it cannot be meant so, and others are left alone', (t) => {
  const custom = /org authorization server.*"https:\/\/corp\.okta\.com\/oauth2\/default"/;
  const slash =
    /"https:\/\/corp\.okta\.com\/oauth2\/aus1\/" ends.*write "https:\/\/corp\.okta\.com\/oauth2\/aus1"/;
  t.regex(issuerNote('https://corp.okta.com') ?? '', custom);
  t.regex(issuerNote('https://corp.okta.com/') ?? '', custom);
  t.regex(issuerNote('https://corp.oktapreview.com') ?? '', /oktapreview\.com\/oauth2\/default/);
  t.regex(issuerNote('https://corp.okta.com/oauth2/aus1/') ?? '', slash);
  for (const good of [
    'https://corp.okta.com/oauth2/default',
    'https://tenant.auth0.com/',
    'https://notokta.com',
    'http://127.0.0.1:18080',
  ]) {
    t.is(issuerNote(good), undefined, good);
  }
  t.regex(issuerNote('https://login.corp.com/oauth2/a/', true) ?? '', /write "https:\/\/login/);
});

const settings = (oktaIssuer: string) =>
  compileSettings({
    env: { SPARK_GATEWAY_OKTA_ISSUER: oktaIssuer, SPARK_GATEWAY_OKTA_CLIENT_ID: 'x' },
    overrides: [],
    cwd: '/here',
  });

test('settings validate says what is probably a mistake beside that the settings are good', (t) => {
  t.is(
    describeGoodSettings(settings('https://corp.okta.com/oauth2/default')),
    'The settings are good.\n',
  );
  t.regex(
    describeGoodSettings(settings('https://corp.okta.com/oauth2/default/')),
    /good\.\nNote: okta_issuer: .*ends with a slash.*\.\n$/,
  );
});

// Rates.

const limit = { count: 3, perMs: 3_000 };
const take = (limiter: RateLimiter, key: string, nowMs: number) =>
  limiter.take([{ key, limit }], nowMs);

test('a count at once, then one after another, each at the time that was told', (t) => {
  const limiter = new RateLimiter();
  for (let i = 0; i < 3; i += 1) t.is(take(limiter, 'a', 10_000), undefined);
  t.is(take(limiter, 'a', 10_000)?.retryAfterMs, 1_000);
  t.is(take(limiter, 'a', 10_400)?.retryAfterMs, 600);
  t.is(take(limiter, 'a', 11_000), undefined);
  t.is(take(limiter, 'a', 11_000)?.retryAfterMs, 1_000);
  t.is(take(limiter, 'b', 11_000), undefined, 'another key has its own');
});

test('where one of several limits is used up, none is taken from the others', (t) => {
  const limiter = new RateLimiter();
  const both = [
    { key: 'own', limit: { count: 1, perMs: 1_000 } },
    { key: 'team', limit: { count: 2, perMs: 1_000 } },
  ];
  t.is(limiter.take(both, 0), undefined);
  t.is(limiter.take(both, 0)?.demand.key, 'own');
  t.is(limiter.take(both.slice(1), 0), undefined);
  t.is(limiter.take(both.slice(1), 0)?.retryAfterMs, 500);
});

test('a clock that goes back refuses for no longer than a whole time', (t) => {
  const limiter = new RateLimiter();
  for (let i = 0; i < 3; i += 1) take(limiter, 'a', 1_000_000);
  t.true((take(limiter, 'a', 0)?.retryAfterMs ?? 0) <= limit.perMs);
});

test('what is remembered is bounded, and nothing of full buckets', (t) => {
  const limiter = new RateLimiter(100);
  for (let n = 0; n < 1_000; n += 1) take(limiter, `key ${n}`, 0);
  t.is(limiter.size, 100);
  take(limiter, 'later', 60_000);
  t.is(limiter.size, 1);
});

test('never more than the count and what was refilled, and never refused after the time that was told', (t) => {
  const step = fc.record({
    pauseMs: fc.nat(5_000),
    key: fc.constantFrom('a', 'b'),
    waits: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1_000, max: 60_000 }),
      fc.array(step, { maxLength: 200 }),
      (count, perMs, steps) => {
        const limiter = new RateLimiter();
        const taken = new Map<string, number[]>();
        let nowMs = 0;
        for (const { pauseMs, key, waits } of steps) {
          nowMs += pauseMs;
          const ask = () => limiter.take([{ key, limit: { count, perMs } }], nowMs);
          let refused = ask();
          if (refused && waits) {
            nowMs += refused.retryAfterMs;
            refused = ask();
            t.is(refused, undefined);
          }
          if (!refused) taken.set(key, [...(taken.get(key) ?? []), nowMs]);
        }
        for (const times of taken.values()) {
          for (const [first, fromMs] of times.entries()) {
            for (const [further, toMs] of times.slice(first).entries()) {
              const most = count + ((toMs - fromMs) / perMs) * count;
              t.true(further + 1 <= most + 1e-6);
            }
          }
        }
      },
    ),
    { numRuns: tries(50) },
  );
});

// The line of a log that tells.

const STACK = `failed to run spark-submit: exit status 1
WARNING: Using incubator modules
Exception in thread "main" io.fabric8.kubernetes.client.KubernetesClientException: Failure executing: POST
\tat io.fabric8.kubernetes.client.KubernetesClientException.copyAsCause(KubernetesClientException.java:238)
\tat java.base/java.lang.reflect.Method.invoke(Method.java:569)
Caused by: java.net.ConnectException: Connection refused
\tat java.base/sun.nio.ch.Net.pollConnect(Native Method)
\t... 12 more
`;

for (const [what, text, line] of [
  ['a stack trace', STACK, 'java.net.ConnectException: Connection refused'],
  ['one line', '  exceeded quota: pods ', 'exceeded quota: pods'],
  ['a failure among others', 'starting\nERROR no such file\nbye', 'ERROR no such file'],
  ['no failure', 'first\nsecond', 'first'],
  ['nothing', '', ''],
] as const) {
  test(`the telling line of ${what}`, (t) => t.is(tellingLine(text), line));
}

test('a text is never longer than it may be, and no character is cut in two', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.nat(50), (text, longest) => {
      const short = cut(text, longest + 1);
      t.true(short.length <= longest + 1);
      t.is(Buffer.from(short).toString(), short);
      t.false(/[\r\n]/.test(tellingLine(text)));
    }),
  );
});
