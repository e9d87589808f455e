import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import test from 'ava';
import { isObject } from '../../src/model/json.js';
import { docsPage } from '../../src/playground/docs-page.js';
import { endpoints } from '../../src/playground/endpoints.js';
import { openApi } from '../../src/playground/openapi.js';
import { schemas } from '../../src/playground/schemas.js';

/** https://spec.openapis.org/oas/3.1/schema */
const metaSchema = JSON.parse(
  readFileSync('node_modules/@seriousme/openapi-schema-validator/schemas/v3.1/schema.json', 'utf8'),
) as object;

const description = JSON.parse(JSON.stringify(openApi('1.2.3'))) as Record<string, unknown>;

test('openapi.json is what OpenAPI 3.1 says it has to be', (t) => {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  t.true(ajv.validate(metaSchema, description), ajv.errorsText());
  const wrong = structuredClone(description);
  delete wrong['info'];
  t.false(ajv.validate(metaSchema, wrong), 'a mistake would be found');
});

test('each address has its operation, and each reference leads somewhere', (t) => {
  const paths = description['paths'] as Record<string, Record<string, unknown>>;
  for (const { route } of endpoints) {
    const [method = '', path = ''] = route.split(' ');
    t.truthy(paths[`/api/v1/playground${path}`]?.[method.toLowerCase()], route);
  }
  const refs = JSON.stringify(description).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g);
  for (const [, name = ''] of refs) t.true(name in schemas, name);
  const ids = JSON.stringify(description).matchAll(/"operationId":"(\w+)"/g);
  const names = Array.from(ids, ([, name]) => name);
  t.is(new Set(names).size, names.length);
});

test('every schema is one that can be compiled', (t) => {
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, validateFormats: false });
  ajv.addVocabulary(['components']);
  ajv.addSchema({ $id: 'api', components: { schemas } }, undefined, false, false);
  for (const name of Object.keys(schemas)) {
    t.notThrows(() => ajv.compile({ $ref: `api#/components/schemas/${name}` }), name);
  }
});

test('the page for people names every address and needs no script and nothing from elsewhere', (t) => {
  const { body, headers } = docsPage();
  const html = String(body);
  for (const { route } of endpoints) t.true(html.includes(route.split(' ')[1] ?? ''), route);
  t.notRegex(html, /<script|src=|href="https?:/);
  t.regex(String(headers['content-security-policy']), /default-src 'none'/);
  t.true(isObject(description));
});
