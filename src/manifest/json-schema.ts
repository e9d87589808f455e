/** Describes manifests to editors. */
import { jsonSchema, type JsonSchema } from '../lib/yaml/json-schema.js';
import { manifestDocument } from './document.js';

/** https://json-schema.org/draft/2020-12. What depends on more than one field is not in it. */
export function manifestSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'SparkJob',
    description: 'A batch job of the Spark gateway; see docs/batch.md.',
    ...jsonSchema(manifestDocument, 'draft-2020-12'),
  };
}

/** As `spark-gateway job schema` prints it, and as docs/spark-job.schema.json holds it. */
export function renderManifestSchema(): string {
  return `${JSON.stringify(manifestSchema(), undefined, 2)}\n`;
}
