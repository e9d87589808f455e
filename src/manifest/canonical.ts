/** A manifest as JSON that is the same for everybody who writes the same: sorted keys, no spaces, defaults filled in. */
import {
  API_VERSION,
  KIND,
  type Manifest,
  type Sink,
  type Source,
  type Transform,
} from './document.js';
import { resourcesOf, resultOf } from './parse.js';
import type { Scalar } from './scalars.js';

/** What JSON holds; numbers may also be given as text that is written as it is. */
export type CanonicalValue =
  | null
  | string
  | number
  | boolean
  | { readonly number: string }
  | readonly CanonicalValue[]
  | ReadonlyMap<string, CanonicalValue>;

/** Keys in the order of their UTF-16 code units. */
export function canonicalJson(value: CanonicalValue): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (isList(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if ('number' in value) return value.number;
  const fields = [...value]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`);
  return `{${fields.join(',')}}`;
}

function isList(value: object): value is readonly CanonicalValue[] {
  return Array.isArray(value);
}

/** A map of the fields that there are. */
export function mapOf(
  of: Readonly<Record<string, CanonicalValue | undefined>>,
): ReadonlyMap<string, CanonicalValue> {
  const there = Object.entries(of).flatMap(([name, value]): [string, CanonicalValue][] =>
    value === undefined ? [] : [[name, value]],
  );
  return new Map(there);
}

/** `places`: each transform also says where its SQL stands in the manifest (`at`). */
export function canonicalManifest(
  manifest: Manifest,
  { places }: { readonly places: boolean },
): CanonicalValue {
  const { metadata, spec } = manifest;
  const { parameters, sinks, sources, transforms } = spec.coreEtl;
  const { driver, dynamicAllocation, executor } = resourcesOf(manifest);
  return mapOf({
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: mapOf({ name: metadata.name, team: metadata.team }),
    spec: mapOf({
      engine: mapOf({ version: spec.engine.version }),
      coreEtl: mapOf({
        parameters: new Map<string, Scalar>(parameters),
        sources: sources.map(sourceFields),
        transforms: transforms.map((transform) => transformFields(transform, places)),
        sinks: sinks.map((sink) => sinkFields(sink, resultOf(manifest))),
        resources: mapOf({
          driver: mapOf(driver),
          executor: mapOf(executor),
          dynamicAllocation: mapOf({
            enabled: dynamicAllocation !== undefined,
            ...dynamicAllocation,
          }),
        }),
      }),
    }),
  });
}

function sourceFields({
  format,
  name,
  options,
  path,
  rows,
  schema,
  table,
}: Source): CanonicalValue {
  return mapOf({
    name,
    table,
    path,
    format,
    rows: rows?.map((row) => new Map<string, Scalar | null>(row)),
    schema,
    ...(path === undefined ? {} : { options: new Map(options) }),
  });
}

function transformFields({ name, sql }: Transform, places: boolean): CanonicalValue {
  const { column, line, literal, text } = sql;
  return mapOf({
    name,
    sql: text,
    ...(places ? { at: mapOf({ line, column, literal }) } : {}),
  });
}

function sinkFields(sink: Sink, result: string): CanonicalValue {
  const { format, from = result, mode, options, partitionBy, path, table } = sink;
  return mapOf({ from, table, path, format, mode, partitionBy, options: new Map(options) });
}
