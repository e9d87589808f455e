/** Describes a document's format to editors (JSON Schema) and to the API server (OpenAPI). */
import { type AdmissionRule, type Field, oneOf, type Schema, type Shape } from './schema.js';
import type { TextType } from './text-types.js';

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
 * From how long lists and texts can be, the API server estimates what its rules cost, and it refuses
 * rules that may cost too much. Of objects a list holds fewer where it is itself in a list.
 */
const KUBERNETES_LIMITS = {
  texts: 1000,
  objects: 500,
  nestedObjects: 100,
  names: 500,
  textLength: 4096,
} as const;

/**
 * What is valid for it is not always good: what depends on other parts of the document, and what a
 * regular expression cannot say, is left to whoever reads the document.
 */
export function jsonSchema(schema: Schema<unknown>, dialect: Dialect): JsonSchema {
  return describe(schema, dialect, 0);
}

/** `depth`: how many lists it is in. */
function describe({ shape }: Schema<unknown>, dialect: Dialect, depth: number): JsonSchema {
  const kubernetes = dialect === 'kubernetes';
  switch (shape.kind) {
    case 'text':
      return textSchema(shape.type, dialect);
    case 'list':
      return {
        type: 'array',
        items: describe(shape.item, dialect, depth + 1),
        ...(shape.least > 0 ? { minItems: shape.least } : {}),
        ...(kubernetes
          ? { maxItems: shape.most ?? mostItems(shape.item.shape, depth) }
          : shape.most === undefined
            ? {}
            : { maxItems: shape.most }),
      };
    case 'record':
      return {
        type: 'object',
        ...(kubernetes
          ? {
              description: `Names: ${shape.key.allowed}.`,
              maxProperties: KUBERNETES_LIMITS.names,
            }
          : {
              propertyNames: textSchema(shape.key, dialect),
              ...(shape.most === undefined ? {} : { maxProperties: shape.most }),
            }),
        additionalProperties: describe(shape.item, dialect, depth + 1),
      };
    case 'object': {
      const fields = Object.entries(shape.fields);
      const required = fields.flatMap(([name, field]) => (field.required ? [name] : []));
      return {
        type: 'object',
        properties: Object.fromEntries(
          fields.map(([name, field]) => [name, fieldSchema(field, dialect, depth)]),
        ),
        ...(required.length > 0 ? { required } : {}),
        ...(kubernetes
          ? validations(shape)
          : {
              ...(shape.needsOneOf.length > 0 ? { anyOf: shape.needsOneOf.map(notEmpty) } : {}),
              additionalProperties: false,
            }),
      };
    }
    case 'either':
      return kubernetes
        ? { 'x-kubernetes-preserve-unknown-fields': true }
        : { anyOf: shape.of.map((one) => describe(one, dialect, depth)) };
    case 'scalar':
      return kubernetes
        ? { 'x-kubernetes-preserve-unknown-fields': true }
        : { type: ['string', 'number', 'boolean', ...(shape.nothing ? ['null'] : [])] };
    case 'any list':
      return kubernetes
        ? { type: 'array', items: { 'x-kubernetes-preserve-unknown-fields': true } }
        : { type: 'array' };
    case 'any map':
      return kubernetes
        ? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
        : { type: 'object' };
  }
}

function fieldSchema(field: Field<unknown>, dialect: Dialect, depth: number): JsonSchema {
  const { about, fallback, schema } = field;
  const { description: allowed, ...rest } = describe(schema, dialect, depth);
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

function textSchema(type: TextType<unknown>, dialect: Dialect): JsonSchema {
  const { allowed, choices, form = { type: 'string' } } = type;
  if (form.type === 'string' && choices) return { type: 'string', enum: [...choices] };
  const says = form.type === 'string' && allowed !== 'text';
  const bounded = form.type !== 'string' || dialect !== 'kubernetes';
  return {
    ...(bounded ? {} : { maxLength: KUBERNETES_LIMITS.textLength }),
    ...form,
    ...(says ? { description: `Allowed: ${allowed}.` } : {}),
  };
}

function mostItems({ kind }: Shape, depth: number): number {
  if (kind === 'text') return KUBERNETES_LIMITS.texts;
  return depth === 0 ? KUBERNETES_LIMITS.objects : KUBERNETES_LIMITS.nestedObjects;
}

function validations({
  name,
  needsOneOf,
  because,
  admission,
}: Extract<Shape, { kind: 'object' }>): JsonSchema {
  const rules: AdmissionRule[] = [...admission];
  if (needsOneOf.length > 0) {
    rules.unshift({
      rule: needsOneOf
        .map((field) => `(has(self.${field}) && self.${field}.size() > 0)`)
        .join(' || '),
      message: `${name} needs ${oneOf(needsOneOf)}${because}`,
    });
  }
  return rules.length > 0 ? { 'x-kubernetes-validations': rules } : {};
}

function notEmpty(name: string): JsonSchema {
  return { required: [name], properties: { [name]: { minItems: 1 } } };
}
