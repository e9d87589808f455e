/** Describes a document's format to editors (JSON Schema) and to the API server (OpenAPI). */
import type { Field, Schema } from './schema.js';
import type { TextType } from './text-type.js';

/** A JSON Schema, or a part of one, as plain JSON. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

/**
 * `draft-2020-12`: https://json-schema.org/draft/2020-12. `kubernetes`: a structural schema, which
 * prunes unknown fields instead of refusing them, and sets no defaults
 * (https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema).
 */
export type Dialect = 'draft-2020-12' | 'kubernetes';

/**
 * What is valid for it is not always good: what depends on other parts of the document, and what a
 * regular expression cannot say, is left to whoever reads the document.
 */
export function jsonSchema(schema: Schema<unknown>, dialect: Dialect): JsonSchema {
  const { shape } = schema;
  switch (shape.kind) {
    case 'text':
      return textSchema(shape.type);
    case 'list':
      return {
        type: 'array',
        items: jsonSchema(shape.item, dialect),
        ...(shape.least > 0 ? { minItems: shape.least } : {}),
      };
    case 'record':
      return {
        type: 'object',
        ...(dialect === 'kubernetes'
          ? { description: `Names: ${shape.key.allowed}.` }
          : { propertyNames: textSchema(shape.key) }),
        additionalProperties: jsonSchema(shape.item, dialect),
      };
    case 'object': {
      const fields = Object.entries(shape.fields);
      const required = fields.flatMap(([name, field]) => (field.required ? [name] : []));
      return {
        type: 'object',
        properties: Object.fromEntries(
          fields.map(([name, field]) => [name, fieldSchema(field, dialect)]),
        ),
        ...(required.length > 0 ? { required } : {}),
        ...(shape.needsOneOf.length > 0 ? { anyOf: shape.needsOneOf.map(notEmpty) } : {}),
        ...(dialect === 'kubernetes' ? {} : { additionalProperties: false }),
      };
    }
    case 'either':
      return dialect === 'kubernetes'
        ? { 'x-kubernetes-preserve-unknown-fields': true }
        : { anyOf: shape.of.map((one) => jsonSchema(one, dialect)) };
    case 'any list':
      return dialect === 'kubernetes'
        ? { type: 'array', items: { 'x-kubernetes-preserve-unknown-fields': true } }
        : { type: 'array' };
    case 'any map':
      return dialect === 'kubernetes'
        ? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
        : { type: 'object' };
  }
}

function fieldSchema(field: Field<unknown>, dialect: Dialect): JsonSchema {
  const { about, fallback, schema } = field;
  const { description: allowed, ...rest } = jsonSchema(schema, dialect);
  const description = [about, allowed].filter((part) => typeof part === 'string').join(' ');
  const plain = typeof fallback === writtenAs(rest) && dialect !== 'kubernetes' && !field.required;
  return {
    ...(description === '' ? {} : { description }),
    ...rest,
    ...(plain ? { default: fallback } : {}),
  };
}

/** What has another type when it has been read, as a duration has, is not shown as it was written. */
function writtenAs({ type }: JsonSchema): string {
  return type === 'integer' ? 'number' : String(type);
}

function textSchema(type: TextType<unknown>): JsonSchema {
  const { allowed, choices, form = { type: 'string' } } = type;
  if (form.type === 'string' && choices) return { type: 'string', enum: [...choices] };
  const says = form.type === 'string' && allowed !== 'text';
  return { ...form, ...(says ? { description: `Allowed: ${allowed}.` } : {}) };
}

function notEmpty(name: string): JsonSchema {
  return { required: [name], properties: { [name]: { minItems: 1 } } };
}
