import test from 'ava';
import { ResourceCache, type ViewChange } from '../../src/xds/resource-cache.js';
import { TypeUrl } from '../../src/xds/resource.js';
import { cluster } from '../support/xds-resources.js';

function recorded(cache: ResourceCache): ViewChange[] {
  const changes: ViewChange[] = [];
  cache.onChange((change) => changes.push(change));
  return changes;
}

test('an update tells what changed, at one revision', (t) => {
  const cache = new ResourceCache();
  const changes = recorded(cache);
  cache.update('edge', { upserts: [cluster('a'), cluster('b')] });
  const revision = cache.update('edge', {
    upserts: [cluster('a', 'new'), cluster('b')],
    removes: [
      { typeUrl: TypeUrl.CLUSTER, name: 'b' },
      { typeUrl: TypeUrl.CLUSTER, name: 'unknown' },
    ],
  });
  t.is(revision, 2);
  t.is(changes[1]?.revision, 2);
  t.deepEqual(
    changes[1]?.changes.map(({ name, before, after }) => [name, before?.version, after?.version]),
    [
      ['a', cluster('a').version, cluster('a', 'new').version],
      ['b', cluster('b').version, undefined],
    ],
  );
});

test('the same content again is no change', (t) => {
  const cache = new ResourceCache();
  const revision = cache.update('edge', { upserts: [cluster('a')] });
  const changes = recorded(cache);
  t.is(cache.update('edge', { upserts: [cluster('a')] }), revision);
  t.deepEqual(changes, []);
});

test('views do not see each other', (t) => {
  const cache = new ResourceCache();
  cache.update('one', { upserts: [cluster('a')] });
  t.is(cache.get('two', TypeUrl.CLUSTER, 'a'), undefined);
  t.is(cache.resources('two', TypeUrl.CLUSTER).size, 0);
});

test('the version of a type is that of its content, however it came about', (t) => {
  const cache = new ResourceCache();
  const empty = cache.version('edge', TypeUrl.CLUSTER);
  cache.update('edge', { upserts: [cluster('a'), cluster('b')] });
  cache.update('other', { upserts: [cluster('b', 'old'), cluster('c')] });
  cache.update('other', {
    upserts: [cluster('a'), cluster('b')],
    removes: [{ typeUrl: TypeUrl.CLUSTER, name: 'c' }],
  });
  t.is(cache.version('edge', TypeUrl.CLUSTER), cache.version('other', TypeUrl.CLUSTER));
  cache.update('edge', { removes: [cluster('a'), cluster('b')] });
  t.is(cache.version('edge', TypeUrl.CLUSTER), empty);
});
