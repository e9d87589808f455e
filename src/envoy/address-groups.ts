/**
 * A limit for the connections of one address. Envoy has none: its connection limit counts for a filter
 * chain. So the listener has many equal chains, an address always gets the same one, by its hash, and
 * each chain has the limit. What one address takes is missing to those of its group only.
 */
import { create, type JsonObject } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import { TypedExtensionConfigSchema } from '#gen/xds/core/v3/extension_pb.js';
import { type Matcher, MatcherSchema } from '#gen/xds/type/matcher/v3/matcher_pb.js';
import { pack, typedStruct } from './settings.js';

const GROUPS = 16;
/** Any number will do, but it is part of the listener's bytes. */
const SEED = 20;

/** Names of the filter chains. */
export function addressGroups(): readonly string[] {
  return Array.from({ length: GROUPS }, (_, group) => `addresses_${group}`);
}

/** Closes what is over the limit at once. */
export function connectionLimit(maxConnections: number) {
  return {
    name: 'envoy.filters.network.connection_limit',
    configType: typedStruct(
      'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit',
      {
        stat_prefix: 'per_address',
        max_connections: maxConnections,
      },
    ),
  };
}

/** Chooses the chain: the highest number that the hash of the address, modulo their count, has reached. */
export function byAddress(names: readonly string[]): Matcher {
  const [first = '', ...rest] = names;
  return create(MatcherSchema, {
    matcherType: {
      case: 'matcherList',
      value: {
        matchers: rest
          .map((name, at) => ({
            predicate: {
              matchType: {
                case: 'singlePredicate' as const,
                value: {
                  input: struct(
                    'envoy.matching.inputs.source_ip',
                    'envoy.extensions.matching.common_inputs.network.v3.SourceIPInput',
                  ),
                  matcher: {
                    case: 'customMatch' as const,
                    value: struct(
                      'envoy.matching.matchers.consistent_hashing',
                      'envoy.extensions.matching.input_matchers.consistent_hashing.v3.ConsistentHashing',
                      { threshold: at + 1, modulo: names.length, seed: SEED },
                    ),
                  },
                },
              },
            },
            onMatch: onMatch(name),
          }))
          .toReversed(),
      },
    },
    onNoMatch: onMatch(first),
  });
}

function struct(name: string, type: string, value: JsonObject = {}) {
  return extension(name, typedStruct(type, value).value);
}

function extension(name: string, typedConfig: ReturnType<typeof pack>) {
  return create(TypedExtensionConfigSchema, { name, typedConfig });
}

function onMatch(name: string) {
  return {
    onMatch: {
      case: 'action' as const,
      value: extension(name, pack(StringValueSchema, { value: name })),
    },
  };
}
