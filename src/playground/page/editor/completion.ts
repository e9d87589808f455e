/** Completion and hover, from the manifest's schema. */
import {
  type Completion,
  type CompletionContext,
  type CompletionResult,
  startCompletion,
} from '@codemirror/autocomplete';
import { type EditorView, hoverTooltip, type Tooltip } from '@codemirror/view';
import {
  aboutOf,
  type KnownKey,
  keysOf,
  kindOf,
  type Schema,
  schemaAt,
  valuesOf,
} from './schema.js';
import { keyAt, placeAt, type YamlPlace } from './yaml-place.js';

export function completeFrom(schema: Schema) {
  return (context: CompletionContext): CompletionResult | null => {
    const text = context.state.doc.toString();
    const place = placeAt(text, context.pos);
    if (!place || (place.from === context.pos && !context.explicit && place.kind === 'key')) {
      return null;
    }
    const options =
      place.kind === 'key' ? keyOptions(schema, place) : valueOptions(schema, place, text);
    return options.length === 0 ? null : { from: place.from, options, validFor: /^[\w.-]*$/ };
  };
}

function keyOptions(root: Schema, place: YamlPlace): readonly Completion[] {
  const schema = schemaAt(root, place.path);
  const isItem = schema?.['type'] === 'array';
  const keys = keysOf(isItem ? schemaAt(root, [...place.path, '-']) : schema);
  return keys
    .filter(({ name }) => isItem || !place.siblings.includes(name))
    .map((key, at): Completion => ({
      label: key.name,
      type: 'property',
      detail: key.required ? `${kindOf(key.schema)}, required` : kindOf(key.schema),
      info: aboutOf(key.schema).join(' ') || key.name,
      boost: (key.required ? 50 : 0) - at,
      apply: insertKey(key, place.column + (isItem ? 2 : 0), isItem ? '- ' : ''),
    }));
}

/** Writes the key, and what begins its value; then offers values. */
function insertKey({ name, schema }: KnownKey, column: number, before: string) {
  return (view: EditorView, _: Completion, from: number, to: number): void => {
    const deeper = `\n${' '.repeat(column + 2)}`;
    const kind = kindOf(schema);
    const start = kind === 'map' ? deeper : kind === 'list' ? `${deeper}- ` : ' ';
    const insert = `${before}${name}:${start}`;
    view.dispatch({
      changes: { from, to, insert },
      selection: { anchor: from + insert.length },
      userEvent: 'input.complete',
      scrollIntoView: true,
    });
    if (valuesOf(schema).length > 0 || kind === 'map') startCompletion(view);
  };
}

function valueOptions(root: Schema, place: YamlPlace, text: string): readonly Completion[] {
  const { path } = place;
  if (path.at(-1) === 'from' && path.includes('sinks')) {
    return stepNames(text).map((label) => ({ label, type: 'variable' }));
  }
  const schema = schemaAt(root, path);
  const fallback = schema?.['default'];
  return valuesOf(schema).map((value, at): Completion => ({
    label: value,
    type: 'enum',
    detail: value === String(fallback) ? 'default' : '',
    // Spark's releases look like numbers, and are text.
    apply: schema?.['type'] === 'string' && /^\d+(\.\d+)?$/.test(value) ? `"${value}"` : value,
    boost: -at,
  }));
}

/** Names of sources and transforms, as far as they are written. */
function stepNames(text: string): readonly string[] {
  const names = text.matchAll(/^ *- +name: *([a-z_]\w*)/gm);
  return [...new Set(Array.from(names, ([, name = '']) => name))];
}

/** What a key is for, below the pointer. */
export function hoverFrom(schema: Schema) {
  return hoverTooltip((view, offset): Tooltip | null => {
    const key = keyAt(view.state.doc.toString(), offset);
    const found = key && schemaAt(schema, key.path);
    if (!found) return null;
    return {
      pos: key.from,
      end: key.to,
      above: true,
      create() {
        const dom = document.createElement('div');
        dom.className = 'cm-about';
        const title = document.createElement('b');
        title.textContent = `${key.path.at(-1) ?? ''}: ${kindOf(found)}`;
        const lines = aboutOf(found).map((line) => {
          const paragraph = document.createElement('p');
          paragraph.textContent = line;
          return paragraph;
        });
        dom.append(title, ...lines);
        return { dom };
      },
    };
  });
}
