import test from 'ava';
import { CheckMemory } from '../../src/authz/check-memory.js';
import { encodeDecision } from '../../src/authz/authz-server.js';

test('an answer that is kept for as long as its session keeps no more than its own bytes', (t) => {
  const memory = new CheckMemory();
  const response = {
    set: [{ name: 'x-spark-cluster', value: 'spark/sjns-data-prod' }],
    remove: [],
    metadata: { session: 'session-1' },
  };
  const encoded = encodeDecision({ allowed: true, response }, memory);
  t.is(encodeDecision({ allowed: true, response }, memory), encoded, 'it is kept');
  t.is(encoded.buffer.byteLength, encoded.length);
});
