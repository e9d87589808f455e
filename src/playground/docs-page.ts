/** `/docs`: the REST API for people, made once from its description. Needs no script. */
import { createHash } from 'node:crypto';
import { type Answer, escapeHtml } from '../lib/http/answer.js';
import { isObject } from '../model/json.js';
import { API_ROOT, type Endpoint, endpoints } from './endpoints.js';
import { queries, type SchemaName, schemas } from './schemas.js';

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 0.9em ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid color-mix(in srgb, currentColor 25%, transparent); border-radius: 4px; }
section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: 0.5rem 0; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 1rem 0.2rem 0; }
`;

const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export function docsPage(): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': POLICY },
    body: `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>REST API – Spark Playground</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>REST API of the Spark Playground</h1>
<p>For programs: <a href="${API_ROOT}/openapi.json">openapi.json</a>. Each request needs
<code>authorization: Bearer &lt;token&gt;</code>; each answer is of the user that the token names. Refusals are
<code>application/problem+json</code> whose <code>code</code> stays.</p>
<pre>curl -H "authorization: Bearer $TOKEN" -H "content-type: application/json" -H "idempotency-key: $(uuidgen)" \\
  -d "$(jq -n --rawfile m manifest.yaml '{manifest: $m, environment: "test"}')" \\
  https://playground.example.com${API_ROOT}/submit</pre>
${endpoints.map(sectionOf).join('\n')}
</main>
</body>
</html>
`,
  };
}

function sectionOf(endpoint: Endpoint): string {
  const { about, answer, body, events, headers = {}, query, refusals = {}, route } = endpoint;
  const [method = '', path = ''] = route.split(' ');
  const rows = [
    ...Object.entries(query === undefined ? {} : queries[query]),
    ...Object.entries(headers),
    ...(body === undefined ? [] : propertiesOf(body)),
  ].map(([name, schema]) => row(name, textOf(schema)));
  return `<section>
<h2><code>${method} ${escapeHtml(API_ROOT + path)}</code></h2>
<p>${escapeHtml(about)}</p>
${tableOf('Takes', rows)}
${tableOf('Answers', fieldsOf(answer))}
${events === undefined ? '' : `<p>With <code>accept: text/event-stream</code>: ${escapeHtml(events)}</p>`}
${tableOf(
  'Refuses',
  Object.entries(refusals).map(([status, why]) => row(status, why)),
)}
</section>`;
}

function fieldsOf(answer: Endpoint['answer']): string[] {
  return propertiesOf(answer).map(([name, field]) => row(name, textOf(field)));
}

function propertiesOf(name: SchemaName): [string, unknown][] {
  const { properties } = schemas[name];
  return isObject(properties) ? Object.entries(properties) : [];
}

function tableOf(heading: string, rows: readonly string[]): string {
  return rows.length === 0 ? '' : `<h3>${heading}</h3>\n<table>${rows.join('')}</table>`;
}

function row(name: string, text: string): string {
  return `<tr><th scope="row"><code>${escapeHtml(name)}</code></th><td>${escapeHtml(text)}</td></tr>`;
}

function textOf(schema: unknown): string {
  const description = isObject(schema) ? schema['description'] : '';
  return typeof description === 'string' ? description : '';
}
