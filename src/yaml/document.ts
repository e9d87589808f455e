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
import { readPlainYaml } from './plain-yaml.js';
import type { Place, Problem } from './problem.js';
import { scalarValue, type YamlEntry, type YamlValue } from './tree.js';

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
  const value = readPlainYaml(text, source);
  return value ? { value, wellFormed: true, problems: [] } : parseAnyYaml(text, source);
}

/** The same by the library alone, which takes some ten times as long. */
export function parseAnyYaml(text: string, source: string): ParsedYaml {
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
