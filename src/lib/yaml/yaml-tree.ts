/** YAML text as a tree, with every mistake. */
import {
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
} from 'yaml';
import type { Place, Problem } from './problem.js';

export interface ParsedYaml {
  readonly value: YamlValue;
  readonly wellFormed: boolean;
  readonly problems: readonly Problem[];
}

/**
 * Parses one YAML document. Scalars stay text: their type is what their place asks for, so that
 * `okta_client_id: 0123` keeps its zero. Syntax errors and repeated keys become problems; what could
 * be read is returned beside them; `wellFormed` says whether that is all of it.
 */
export function parseYaml(text: string, source: string): ParsedYaml {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    schema: 'failsafe',
    prettyErrors: false,
    lineCounter: lines,
  });
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { source, line, column: col };
  };
  const problems = [...document.errors, ...document.warnings].map(({ pos, message }): Problem => ({
    place: placeAt(pos[0]),
    message: syntaxMessage(message),
  }));
  const placeOf = (node: Node | null | undefined): Place => placeAt(node?.range?.[0] ?? 0);

  function convert(node: Node | null, fallback: Place): YamlValue {
    if (node === null) return { kind: 'nothing', place: fallback };
    const place = node.range ? placeOf(node) : fallback;
    if (isAlias(node)) {
      problems.push({ place, message: 'aliases (*name) are not supported; write the value out' });
      return { kind: 'nothing', place };
    }
    if (isScalar(node)) {
      const written = typeof node.value === 'string' ? node.value : '';
      return scalarValue(written, node.type === 'PLAIN', place);
    }
    if (isSeq<Node | null>(node)) {
      return { kind: 'list', items: node.items.map((item) => convert(item, place)), place };
    }
    if (isMap<Node, Node | null>(node)) {
      const entries = node.items.flatMap(({ key, value }): YamlEntry[] => {
        const keyPlace = placeOf(key);
        if (!isScalar(key) || isCollection(key)) {
          problems.push({ place: keyPlace, message: 'a key must be plain text' });
          return [];
        }
        return [{ key: String(key.value), place: keyPlace, value: convert(value, keyPlace) }];
      });
      return { kind: 'map', entries, place };
    }
    return { kind: 'nothing', place };
  }

  const wellFormed = document.errors.every(({ code }) => code === 'DUPLICATE_KEY');
  return {
    value: convert(document.contents, { source, line: 1, column: 1 }),
    wellFormed,
    problems,
  };
}

function syntaxMessage(message: string): string {
  if (message === 'Map keys must be unique') return 'this key is given twice';
  if (message.startsWith('Source contains multiple documents')) {
    return 'only one document is allowed: remove this --- and what follows';
  }
  return `not valid YAML: ${message}`;
}

// A document as a small tree in which every value knows where it was written.

export interface YamlText {
  readonly kind: 'text';
  readonly text: string;
  readonly place: Place;
}

export interface YamlList {
  readonly kind: 'list';
  readonly items: readonly YamlValue[];
  readonly place: Place;
}

export interface YamlEntry {
  readonly key: string;
  readonly place: Place;
  readonly value: YamlValue;
}

export interface YamlMap {
  readonly kind: 'map';
  readonly entries: readonly YamlEntry[];
  readonly place: Place;
}

/** A key without a value, `~` or `null`: as if it were not there. */
export interface YamlNothing {
  readonly kind: 'nothing';
  readonly place: Place;
}

export type YamlValue = YamlText | YamlList | YamlMap | YamlNothing;

/** A scalar as a value. `plain`: it was written without quotes. */
export function scalarValue(text: string, plain: boolean, place: Place): YamlText | YamlNothing {
  if (plain && (text === '' || text === '~' || text === 'null')) return { kind: 'nothing', place };
  return { kind: 'text', text, place };
}

// JSON as the tree that YAML is read into; places are paths, such as `spec.access[3].what`.

/** `path`: of the value itself. Numbers and truth values become text: their type is what their place asks for. */
export function fromJson(value: unknown, path: string): YamlValue {
  const place = { source: path };
  if (Array.isArray(value)) {
    const items = value.map((item: unknown, index) => fromJson(item, `${path}[${index}]`));
    return { kind: 'list', items, place };
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, item]: [string, unknown]): YamlEntry => {
      const at = /^\w+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
      return { key, place: { source: at }, value: fromJson(item, at) };
    });
    return { kind: 'map', entries, place };
  }
  if (typeof value === 'string') return { kind: 'text', text: value, place };
  if (typeof value === 'number' || typeof value === 'boolean') {
    return { kind: 'text', text: String(value), place };
  }
  return { kind: 'nothing', place };
}
