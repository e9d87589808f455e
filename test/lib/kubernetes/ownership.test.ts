import test from 'ava';
import {
  GatewayKey,
  isOurs,
  signature,
  SIGNATURE_ANNOTATION,
  VARIANT_ANNOTATION,
} from '../../../src/lib/kubernetes/ownership.js';

const key = new GatewayKey(Buffer.alloc(32, 7));

function resource(variant: string | undefined, signed: string) {
  return {
    metadata: {
      name: 'driver-1',
      namespace: 'sjns-data-dev',
      annotations: {
        [SIGNATURE_ANNOTATION]: signed,
        ...(variant === undefined ? {} : { [VARIANT_ANNOTATION]: variant }),
      },
    },
  };
}

const sign = (variant?: string) =>
  signature(key, 'SparkConnect', 'sjns-data-dev', 'driver-1', variant);

const isOursAs = (kind: string, variant: string | undefined, signed: string) =>
  isOurs(key, kind, resource(variant, signed));

test('a resource is the gateway’s under its name and for its variant only', (t) => {
  t.true(isOursAs('SparkConnect', undefined, sign()));
  t.true(isOursAs('SparkConnect', 'canary', sign('canary')));
  t.false(isOursAs('SparkConnect', 'canary', sign()));
  t.false(isOursAs('SparkConnect', undefined, sign('canary')));
  t.false(isOursAs('SparkConnect', 'other', sign('canary')));
  t.false(isOursAs('SparkApplication', undefined, sign()));
  t.false(isOursAs('SparkConnect', undefined, ''));
});
