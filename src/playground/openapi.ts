/** openapi.json (https://spec.openapis.org/oas/v3.1.1), made from the schemas that check what comes in. */
import { API_ROOT, type Endpoint, endpoints } from './endpoints.js';
import { type JsonSchema, queries, ref, schemas } from './schemas.js';

type Json = Readonly<Record<string, unknown>>;

export function openApi(version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const endpoint of endpoints) {
    const [method = '', path = ''] = endpoint.route.split(' ');
    paths[`${API_ROOT}${path}`] = {
      ...paths[`${API_ROOT}${path}`],
      [method.toLowerCase()]: operation(endpoint, method, path),
    };
  }
  return {
    openapi: '3.1.1',
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    info: {
      title: 'Spark Playground',
      version,
      description:
        'Batch jobs by REST: a manifest goes in, a job comes out. Each answer is of the user that the token names.',
    },
    security: [{ token: [] }, { session: [] }],
    paths,
    components: {
      schemas,
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'spark-playground',
          description:
            'Of who has signed in at the page. What changes something repeats forgery_token of GET me in the header x-spark-console-token.',
        },
      },
    },
  };
}

function operation(endpoint: Endpoint, method: string, path: string): Json {
  const { about, answer, body, events, headers = {}, query, refusals = {} } = endpoint;
  const parameters = [
    ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
      name,
      in: 'path',
      required: true,
      schema: { type: 'string' },
      description: 'The job_id.',
    })),
    ...(query === undefined ? [] : parametersOf('query', queries[query])),
    ...parametersOf('header', headers),
  ];
  return {
    operationId: `${method.toLowerCase()}${operationName(path)}`,
    summary: about,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : {
          requestBody: { required: true, content: { 'application/json': { schema: ref(body) } } },
        }),
    responses: {
      '200': {
        description: events ?? 'Done.',
        content: {
          'application/json': { schema: ref(answer) },
          ...(events === undefined ? {} : { 'text/event-stream': { schema: { type: 'string' } } }),
        },
      },
      ...Object.fromEntries(
        Object.entries(refusals).map(([status, description]) => [status, refusal(description)]),
      ),
      default: refusal('Refused, or failed: `code` says why. 401: no token, or none that is good.'),
    },
  };
}

function parametersOf(where: 'query' | 'header', given: Readonly<Record<string, JsonSchema>>) {
  return Object.entries(given).map(([name, { description, ...schema }]) => ({
    name,
    in: where,
    description,
    schema,
  }));
}

function refusal(description: string): Json {
  return { description, content: { 'application/problem+json': { schema: ref('Problem') } } };
}

/** `/status/{id}` → `Status`. */
function operationName(path: string): string {
  const word = path.split('/')[1] ?? '';
  return `${word.charAt(0).toUpperCase()}${word.slice(1)}`;
}
