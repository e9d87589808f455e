import test from 'ava';
import * as fc from 'fast-check';
import { cut, tellingLine } from '../../src/model/telling-line.js';

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
