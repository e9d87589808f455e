/** What a JSON Schema says of a place in a document. */
import { isObject } from '../../../model/json.js';

/** As src/lib/yaml/json-schema.ts makes it: no references. */
export interface Schema {
  readonly [keyword: string]: unknown;
}

/** undefined: the schema knows nothing there. @param path as of a YamlPlace */
export function schemaAt(root: Schema, path: readonly string[]): Schema | undefined {
  let schema: Schema | undefined = root;
  for (const name of path) {
    if (!schema) return undefined;
    schema = name === '-' ? objectOf(schema['items']) : fieldOf(schema, name);
  }
  return schema;
}

function fieldOf(schema: Schema, name: string): Schema | undefined {
  const properties = objectOf(schema['properties']);
  const own = properties && Object.hasOwn(properties, name) ? properties[name] : undefined;
  return objectOf(own) ?? objectOf(schema['additionalProperties']);
}

export interface KnownKey {
  readonly name: string;
  readonly schema: Schema;
  readonly required: boolean;
}

/** In the order in which the schema has them. */
export function keysOf(schema: Schema | undefined): readonly KnownKey[] {
  const properties = Object.entries(objectOf(schema?.['properties']) ?? {});
  const required = schema?.['required'];
  return properties.map(([name, field]) => ({
    name,
    schema: objectOf(field) ?? {},
    required: Array.isArray(required) && required.includes(name),
  }));
}

/** Values that may be written there, where there are only a few. */
export function valuesOf(schema: Schema | undefined): readonly string[] {
  if (!schema) return [];
  const { enum: choices, type } = schema;
  if (Array.isArray(choices)) return choices.map(String);
  return type === 'boolean' ? ['true', 'false'] : [];
}

/** What is written there, in a word. */
export function kindOf(schema: Schema): string {
  const { type, enum: choices } = schema;
  if (type === 'array') return 'list';
  if (type === 'object') return 'map';
  if (Array.isArray(choices)) return choices.length === 1 ? 'fixed' : 'choice';
  if (Array.isArray(type)) return 'value';
  return type === 'string' ? 'text' : typeof type === 'string' ? type : '';
}

/** For people: what it is for, what is allowed, what it is when left out. */
export function aboutOf(schema: Schema): readonly string[] {
  const { description, default: fallback, minimum, maximum } = schema;
  const values = valuesOf(schema);
  return [
    ...(typeof description === 'string' ? [description] : []),
    ...(values.length > 0 ? [`Allowed: ${values.join(', ')}.`] : []),
    ...(typeof minimum === 'number' && typeof maximum === 'number'
      ? [`From ${minimum} to ${maximum}.`]
      : []),
    ...(fallback === undefined ? [] : [`Default: ${JSON.stringify(fallback)}.`]),
  ];
}

function objectOf(value: unknown): Schema | undefined {
  return isObject(value) ? value : undefined;
}
