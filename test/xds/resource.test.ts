import test from 'ava';
import { create, fromBinary } from '@bufbuild/protobuf';
import { anyUnpack, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { ClusterSchema, Cluster_DiscoveryType } from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import {
  DeltaDiscoveryResponseSchema,
  DiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js';
import { encodeResource, PUSH_ORDER, StateVersion, TypeUrl } from '../../src/xds/resource.js';
import { cluster, endpoints, route } from '../support/xds-resources.js';

test('the ready bytes are the resources field of both kinds of response', (t) => {
  const resource = cluster('spark/ns', 'x');
  const sotw = fromBinary(DiscoveryResponseSchema, resource.sotwField);
  const delta = fromBinary(DeltaDiscoveryResponseSchema, resource.deltaField);
  t.is(sotw.resources.length, 1);
  t.is(delta.resources.length, 1);
  t.is(delta.resources[0]?.name, 'spark/ns');
  t.is(delta.resources[0]?.version, resource.version);
  for (const any of [sotw.resources[0], delta.resources[0]?.resource]) {
    t.is(any && anyUnpack(any, ClusterSchema)?.altStatName, 'x');
  }
});

test('resources longer than one varint byte are framed right', (t) => {
  const ports = Array.from({ length: 3000 }, (_, port) => port + 1);
  const resource = endpoints('spark/ns', ports);
  t.is(fromBinary(DiscoveryResponseSchema, resource.sotwField).resources.length, 1);
  t.is(fromBinary(DeltaDiscoveryResponseSchema, resource.deltaField).resources.length, 1);
});

test('versions are short hashes of name and content, the same in every process', (t) => {
  t.is(cluster('a', 'x').version, cluster('a', 'x').version);
  t.not(cluster('a', 'x').version, cluster('a', 'y').version);
  t.not(endpoints('a', []).version, endpoints('b', []).version);
  t.is(route('edge').version, 'd9a22d5bb4e86d9e');
});

test('a type that is not served is refused', (t) => {
  t.throws(() => encodeResource(TimestampSchema, 'now', create(TimestampSchema)), {
    message: /google\.protobuf\.Timestamp is not served/,
  });
});

test('an EDS cluster is warmed by its endpoints, another one by nothing', (t) => {
  t.deepEqual(cluster('a').warmedBy, { typeUrl: TypeUrl.ENDPOINTS, name: 'a' });
  const named = create(ClusterSchema, {
    name: 'a',
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { serviceName: 'service' },
  });
  t.is(encodeResource(ClusterSchema, 'a', named).warmedBy?.name, 'service');
  const fixed = create(ClusterSchema, {
    name: 'a',
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
  });
  t.is(encodeResource(ClusterSchema, 'a', fixed).warmedBy, undefined);
});

test('the version of a set depends on its members alone', (t) => {
  const [a, b] = [cluster('a'), cluster('b')];
  const one = new StateVersion();
  const other = new StateVersion();
  one.add(a);
  one.add(b);
  other.add(b);
  other.add(cluster('c'));
  other.add(a);
  t.not(one.toString(), other.toString());
  other.remove(cluster('c'));
  t.is(one.toString(), other.toString());
  t.regex(one.toString(), /^[0-9a-f]{16}$/);
});

test('what is referred to comes before what refers to it', (t) => {
  t.deepEqual(PUSH_ORDER, [
    TypeUrl.CLUSTER,
    TypeUrl.ENDPOINTS,
    TypeUrl.SECRET,
    TypeUrl.EXTENSION_CONFIG,
    TypeUrl.LISTENER,
    TypeUrl.ROUTE,
  ]);
});
