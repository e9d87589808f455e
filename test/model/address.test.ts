import test from 'ava';
import { isLoopback } from '../../src/model/address.js';

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
