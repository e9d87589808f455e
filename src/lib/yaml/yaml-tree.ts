/** YAML text as a tree, with every mistake. */
import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  Parser,
  type Scalar,
} from 'yaml';
import type { Place, Problem } from './problem.js';

export interface ParsedYaml {
  readonly value: YamlValue;
  readonly wellFormed: boolean;
  readonly problems: readonly Problem[];
}

export interface ParseOptions {
  /** Places also have paths, and texts know where they begin. */
  readonly detailed?: boolean;
  /** Signs and words of YAML at most: of a short text there may be as many as it has characters. */
  readonly mostTokens?: number;
}

/** Nobody reads more. */
const MOST_PROBLEMS = 1000;

/** What reads documents after us goes down by recursion: a document of brackets alone would end the process. */
const DEEPEST = 100;

/**
 * Parses one YAML document. Scalars stay text: their type is what their place asks for, so that
 * `okta_client_id: 0123` keeps its zero. Syntax errors and repeated keys become problems; what could
 * be read is returned beside them; `wellFormed` says whether that is all of it.
 */
export function parseYaml(
  text: string,
  source: string,
  { detailed = false, mostTokens }: ParseOptions = {},
): ParsedYaml {
  if (mostTokens !== undefined && hasMoreTokens(mostTokens, text)) {
    const place = { source, line: 1, column: 1 };
    const message = `this is more than ${mostTokens} signs and words of YAML: put data into files`;
    return { value: { kind: 'nothing', place }, wellFormed: false, problems: [{ place, message }] };
  }
  const lines = new LineCounter();
  const placeAt = (offset: number, path?: string): Place => {
    const { line, col } = lines.linePos(offset);
    return { source, line, column: col, ...(path === undefined ? {} : { path }) };
  };
  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  const tooDeep = deeperThan(DEEPEST, tokens);
  if (tooDeep !== undefined) {
    const place = placeAt(tooDeep);
    const message = `lists and maps are nested more than ${DEEPEST} deep here`;
    return { value: { kind: 'nothing', place }, wellFormed: false, problems: [{ place, message }] };
  }
  const { document, further } = compose(tokens, text.length);
  const problems = [...document.errors, ...document.warnings]
    .slice(0, MOST_PROBLEMS)
    .map(({ pos, message }): Problem => ({
      place: placeAt(pos[0]),
      message: `not valid YAML: ${message}`,
    }));
  if (further !== undefined) {
    const message = 'only one document is allowed: remove this --- and what follows';
    problems.push({ place: placeAt(further), message });
  }

  function convert(node: Node | null, fallback: Place, path: string): YamlValue {
    if (node === null) return { kind: 'nothing', place: fallback };
    const place = node.range ? placeAt(node.range[0], detailed ? path : undefined) : fallback;
    if (isAlias(node)) {
      problems.push({ place, message: 'aliases (*name) are not supported; write the value out' });
      return { kind: 'nothing', place };
    }
    if (isScalar(node)) {
      const written = typeof node.value === 'string' ? node.value : '';
      const value = scalarValue(written, node.type === 'PLAIN', place);
      return detailed && value.kind === 'text'
        ? { ...value, first: firstCharacter(node, value, text, placeAt) }
        : value;
    }
    if (isSeq<Node | null>(node)) {
      const items = node.items.map((item, index) => convert(item, place, `${path}[${index}]`));
      return { kind: 'list', items, place };
    }
    if (isMap<Node, Node | null>(node)) {
      const seen = new Set<string>();
      const entries = node.items.flatMap(({ key, value }): YamlEntry[] => {
        const offset = key?.range?.[0] ?? 0;
        if (!isScalar(key) || isCollection(key)) {
          problems.push({ place: placeAt(offset), message: 'a key must be plain text' });
          return [];
        }
        const name = String(key.value);
        const at = detailed ? pathOf(path, name) : '';
        const keyPlace = placeAt(offset, detailed ? at : undefined);
        if (seen.has(name)) {
          problems.push({ place: keyPlace, message: 'this key is given twice' });
        }
        seen.add(name);
        return [{ key: name, place: keyPlace, value: convert(value, keyPlace, at) }];
      });
      return { kind: 'map', entries, place };
    }
    return { kind: 'nothing', place };
  }

  const start = { source, line: 1, column: 1, ...(detailed ? { path: '' } : {}) };
  return {
    value: convert(document.contents, start, ''),
    wellFormed: document.errors.length === 0 && further === undefined,
    problems: problems.slice(0, MOST_PROBLEMS),
  };
}

function hasMoreTokens(most: number, text: string): boolean {
  const tokens = new Lexer().lex(text);
  for (let count = 0; count <= most; count++) {
    if (tokens.next().done === true) return false;
  }
  return true;
}

/** The first document of the text, and where a second one begins. */
function compose(
  tokens: readonly CST.Token[],
  length: number,
): { readonly document: Document.Parsed; readonly further: number | undefined } {
  // That keys are distinct is looked at above: the composer compares each with each.
  const composer = new Composer({ schema: 'failsafe', prettyErrors: false, uniqueKeys: false });
  const [document, second] = composer.compose(tokens, true, length);
  if (!document) throw new Error('a text without a document');
  return { document, further: second?.range[0] };
}

/** Where the first collection begins that is in so many others; undefined: there is none. */
function deeperThan(most: number, tokens: readonly CST.Token[]): number | undefined {
  const open: (readonly [CST.Token, number])[] = tokens.map((token) => [token, 0]);
  for (let next = open.pop(); next; next = open.pop()) {
    const [token, depth] = next;
    if (depth > most) return token.offset;
    if (token.type === 'document' && token.value) open.push([token.value, depth]);
    if (!('items' in token)) continue;
    for (const { key, value } of token.items) {
      if (key) open.push([key, depth + 1]);
      if (value) open.push([value, depth + 1]);
    }
  }
  return undefined;
}

/**
 * Where the text of a scalar begins. `literal`: it stands there as it is, each of its lines from that
 * column on, so that a place in it is a place in the document.
 */
function firstCharacter(
  { range, type }: Scalar,
  { text: written, place }: YamlText,
  document: string,
  placeAt: (offset: number) => Place,
): FirstCharacter {
  const [start, end] = range ?? [0, 0];
  const raw = document.slice(start, end);
  if (type !== 'BLOCK_LITERAL') {
    const quotes = type === 'PLAIN' ? 0 : 1;
    const literal = type !== 'BLOCK_FOLDED' && raw.slice(quotes, raw.length - quotes) === written;
    return { place: placeAt(start + (literal ? quotes : 0)), literal };
  }
  const { line = 1 } = place;
  const [, ...lines] = raw.split(/\r?\n/);
  const wanted = written.split('\n');
  const full = wanted.findIndex((one) => one !== '');
  const indent = full === -1 ? 0 : (lines[full] ?? '').length - (wanted[full] ?? '').length;
  const literal = wanted.every((one, index) => (lines[index] ?? '').slice(indent) === one);
  if (!literal) return { place, literal };
  return { place: { ...place, line: line + 1, column: indent + 1 }, literal };
}

// A document as a small tree in which every value knows where it was written.

export interface YamlText {
  readonly kind: 'text';
  readonly text: string;
  /** Written without quotes; absent: not known. */
  readonly plain?: boolean;
  /** Of a document that was parsed in detail. */
  readonly first?: FirstCharacter;
  readonly place: Place;
}

/** Where a text begins, without quotes and signs before it. */
export interface FirstCharacter {
  readonly place: Place;
  /** All of the text stands in the document as it is, each of its lines from this column on. */
  readonly literal: boolean;
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
  return { kind: 'text', text, plain, place };
}

// JSON as the tree that YAML is read into; places are paths, such as `spec.access[3].what`.

function pathOf(parent: string, key: string): string {
  if (!/^\w+$/.test(key)) return `${parent}[${JSON.stringify(key)}]`;
  return parent === '' ? key : `${parent}.${key}`;
}

/** `path`: of the value itself. Numbers and truth values become text: their type is what their place asks for. */
export function fromJson(value: unknown, path: string): YamlValue {
  const place = { source: path };
  if (Array.isArray(value)) {
    const items = value.map((item: unknown, index) => fromJson(item, `${path}[${index}]`));
    return { kind: 'list', items, place };
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, item]: [string, unknown]): YamlEntry => {
      const at = pathOf(path, key);
      return { key, place: { source: at }, value: fromJson(item, at) };
    });
    return { kind: 'map', entries, place };
  }
  if (typeof value === 'string') return { kind: 'text', text: value, plain: false, place };
  if (typeof value === 'number' || typeof value === 'boolean') {
    return { kind: 'text', text: String(value), plain: true, place };
  }
  return { kind: 'nothing', place };
}
