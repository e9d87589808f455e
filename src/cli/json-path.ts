/**
 * kubectl's templates of JSONPath: text with expressions in braces, `{range …}…{end}`, `{"\n"}`.
 * https://kubernetes.io/docs/reference/kubectl/jsonpath/
 */
import { JSONPath } from 'jsonpath-plus';
import { GatewayError, reasonOf } from '../model/errors.js';

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly path: string }
  | { readonly kind: 'range'; readonly path: string; readonly parts: readonly Part[] };

const TOKEN = /\{((?:"(?:[^"\\]|\\.)*"|'[^']*'|[^{}"'])*)\}|([^{}]+)/y;

/** `value`: a list stands under `items`, as with kubectl. @throws GatewayError ARGUMENT_INVALID */
export function renderJsonPath(template: string, value: unknown): string {
  const root = Array.isArray(value) ? { items: value as unknown[] } : value;
  return `${rendered(parsed(template), root)}\n`;
}

/** What a path such as `.createdAt` finds in one row. @throws GatewayError ARGUMENT_INVALID */
export function valueAt(path: string, row: unknown): unknown {
  return found(path.replace(/^\{(.*)\}$/, '$1'), row)[0];
}

function parsed(template: string): readonly Part[] {
  const stack: { readonly path: string; readonly parts: Part[] }[] = [{ path: '', parts: [] }];
  const add = (part: Part) => stack.at(-1)?.parts.push(part);
  TOKEN.lastIndex = 0;
  // Without braces it is one path.
  const written = template.includes('{') ? template : `{${template}}`;
  let at = 0;
  while (at < written.length) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(written);
    if (!token)
      throw invalid(
        template,
        `it cannot be read from ${JSON.stringify(written.slice(at, at + 20))} on`,
      );
    at = TOKEN.lastIndex;
    const [, inside, text] = token;
    const expression = inside?.trim();
    if (expression === undefined) add({ kind: 'text', text: text ?? '' });
    else if (expression.startsWith('range ')) stack.push({ path: expression.slice(6), parts: [] });
    else if (expression === 'end') {
      const range = stack.length > 1 ? stack.pop() : undefined;
      if (!range) throw invalid(template, '{end} without {range}');
      add({ kind: 'range', ...range });
    } else if (/^["'].*["']$/s.test(expression)) add({ kind: 'text', text: unquoted(expression) });
    else add({ kind: 'value', path: expression });
  }
  if (stack.length > 1) throw invalid(template, '{range} without {end}');
  return stack[0]?.parts ?? [];
}

function unquoted(text: string): string {
  const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };
  return text.slice(1, -1).replaceAll(/\\(.)/gs, (_, one: string) => escapes[one] ?? one);
}

function rendered(parts: readonly Part[], value: unknown): string {
  return parts
    .map((part) => {
      switch (part.kind) {
        case 'text':
          return part.text;
        case 'value':
          return found(part.path, value).map(textOf).join(' ');
        case 'range':
          return found(part.path, value)
            .map((each) => rendered(part.parts, each))
            .join('');
      }
    })
    .join('');
}

function found(path: string, value: unknown): readonly unknown[] {
  const whole = path
    .trim()
    .replace(/^[$@]?\.?(?=[A-Za-z_*])/, '$.')
    .replace(/^[$@]?(?=[[.])/, '$');
  if (whole === '' || whole === '@' || whole === '.') return [value];
  if (typeof value !== 'object' || value === null) return [];
  try {
    // `safe`: an expression in a filter is interpreted and runs no code.
    const answer: unknown = JSONPath({ path: whole, json: value, eval: 'safe', wrap: true });
    return Array.isArray(answer) ? (answer as unknown[]) : [];
  } catch (error) {
    throw invalid(path, reasonOf(error));
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function invalid(path: string, why: string): GatewayError {
  return new GatewayError('ARGUMENT_INVALID', `jsonpath ${path}: ${why}`);
}
