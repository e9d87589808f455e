import test from 'ava';
import { failureReason } from '../../src/discovery/local/local-driver.js';

const cases: readonly [string, Parameters<typeof failureReason>, RegExp][] = [
  [
    'the port',
    ['x\njava.net.BindException: Address already in use: bind', { code: 1, signal: null }],
    /exit code 1: its port is already in use/,
  ],
  [
    'memory',
    ['Terminating due to java.lang.OutOfMemoryError: Java heap space', { code: 3, signal: null }],
    /it ran out of memory/,
  ],
  [
    'the machine’s memory',
    ['Could not reserve enough space for object heap', { code: 1, signal: null }],
    /too little free memory/,
  ],
  [
    'an old Java',
    ['java.lang.UnsupportedClassVersionError: class file version 61.0', { code: 1, signal: null }],
    /too old for this Spark .* set JAVA_HOME/,
  ],
  [
    'a Spark without Connect',
    ['Error: Could not find or load main class org.apache.spark.sql.X', { code: 1, signal: null }],
    /no Spark Connect server/,
  ],
  ['a full disk', ['java.io.IOException: No space left on device', undefined], /the disk is full/],
  ['anything else', ['INFO a\nERROR it broke\nINFO b', undefined], /ended: ERROR it broke$/],
  ['a kill', ['INFO all is well', { code: null, signal: 'SIGKILL' }], /SIGKILL, perhaps/],
  [
    'a request to end, not by an exception of before',
    ['ERROR a query failed: java.lang.Exception', { code: 143, signal: null }],
    /^The driver was asked to end \(SIGTERM\), by somebody else than the gateway\.$/,
  ],
  ['nothing', ['', undefined], /^The driver ended\.$/],
];

for (const [what, [log, exit], expected] of cases) {
  test(`the end of a driver is explained by ${what}`, (t) => {
    const reason = failureReason(log, exit);
    t.regex(reason, expected);
    t.false(reason.includes('\n'));
  });
}
