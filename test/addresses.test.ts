import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';

/** What says of itself that it is no address, and what hands them out. */
const APART = ['test/model/address.test.ts', 'test/support/loopback.ts', 'test/addresses.test.ts'];
/** Of this machine but 127.0.0.1, where the system gives a port that is free. */
const TYPED_IN = /\b127\\?\.(?!0\\?\.0\\?\.1\b)\d+\\?\.\d+\\?\.\d*/;
const PORT_TYPED_IN = /\.listen\((?!0\b)\d+/;

test('no test types in an address or a port to listen on: two that run at once would meet', (t) => {
  const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
    .map((name) => join('test', name))
    .filter((file) => file.endsWith('.ts') && !APART.includes(file));
  t.true(files.length > 100);
  const typedIn = files.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, at) =>
        TYPED_IN.test(line) || PORT_TYPED_IN.test(line)
          ? [`${file}:${at + 1}: ${line.trim()}`]
          : [],
      ),
  );
  t.deepEqual(
    typedIn,
    [],
    'use unusedAddress() of test/support/loopback.ts, or 192.0.2.x for mere data',
  );
});
