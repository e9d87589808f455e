/** The policy's format for editors and for the API server. */
import { type Dialect, type JsonSchema, jsonSchema } from '../yaml/json-schema.js';
import { policyDocument } from './document.js';

/** `policy validate` knows more: names that a policy does not have, environments that it does not list. */
export function policySchema(dialect: Dialect): JsonSchema {
  const schema = jsonSchema(policyDocument, dialect);
  return dialect === 'kubernetes'
    ? schema
    : {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        title: 'RoutingPolicy of the Spark Connect gateway',
        ...schema,
      };
}

/** As `spark-gateway policy schema` prints it, and as docs/routing-policy.schema.json holds it. */
export function renderPolicySchema(): string {
  return `${JSON.stringify(policySchema('draft-2020-12'), undefined, 2)}\n`;
}
