/**
 * Reads YAML in its usual forms, many times as fast as the library does: block lists and maps, flow
 * ones, and scalars of one line, plain or quoted. Whatever else there is, and every mistake, is left
 * to the library. What is read here must be what the library reads, places included.
 * https://yaml.org/spec/1.2.2
 */
import type { Place } from './problem.js';
import {
  scalarValue,
  type YamlEntry,
  type YamlList,
  type YamlMap,
  type YamlValue,
} from './document.js';

/** Control characters, tabs and carriage returns among them, a byte order mark, and line breaks of Unicode. */
const UNUSUAL = /[^\n -~\u00a0-\u2027\u202a-\ufefe]/;
const DOUBLE_QUOTED = /"((?:[^"\\\n]|\\["\\])*)"/y;
const SINGLE_QUOTED = /'((?:[^'\n]|'')*)'/y;
/** In a block, and within brackets, where `,[]{}` end it. Neither begins with what has a meaning in YAML. */
const BLOCK_PLAIN =
  /(?:[A-Za-z0-9_/$(]|[.-](?=[A-Za-z0-9]))(?:[^\s:#]+|:(?=[^\s:#])| +(?=[^\s:#]))*/y;
const FLOW_PLAIN =
  /(?:[A-Za-z0-9_/$(]|[.-](?=[A-Za-z0-9]))(?:[^\s:#,[\]{}]+|:(?=[^\s:#,[\]{}])| +(?=[^\s:#,[\]{}]))*/y;
/** 1,024 with what surrounds it (https://yaml.org/spec/1.2.2/#822-block-mappings). */
const LONGEST_KEY = 1000;
/** Lists and maps within each other. */
const DEEPEST = 50;

/** undefined: there is something in it that only the library reads. */
export function readPlainYaml(text: string, source: string): YamlValue | undefined {
  if (UNUSUAL.test(text)) return undefined;
  try {
    return new PlainYaml(text, source).read();
  } catch (error) {
    // The second: a scalar of millions of characters is too long for the expressions above.
    if (error instanceof NotPlain || error instanceof RangeError) return undefined;
    throw error;
  }
}

class NotPlain extends Error {}

interface Scalar {
  readonly text: string;
  readonly plain: boolean;
  readonly place: Place;
}

class PlainYaml {
  readonly #text: string;
  readonly #source: string;
  #at = 0;
  #line = 1;
  #lineStart = 0;
  #depth = 0;

  constructor(text: string, source: string) {
    this.#text = text;
    this.#source = source;
  }

  read(): YamlValue {
    this.#nextContent();
    if (this.#isEnd || this.#column > 0) throw new NotPlain();
    const value = this.#block();
    if (!this.#isEnd) throw new NotPlain();
    return value;
  }

  /** From 0. After a block has been read, that of what comes behind it. */
  get #column(): number {
    return this.#at - this.#lineStart;
  }

  get #isEnd(): boolean {
    return this.#at === this.#text.length;
  }

  get #place(): Place {
    return { source: this.#source, line: this.#line, column: this.#column + 1 };
  }

  /** A value that begins here, of a list or a line below its key, with the end of its last line. */
  #block(): YamlValue {
    if (++this.#depth > DEEPEST) throw new NotPlain();
    const value = this.#isDash() ? this.#list() : this.#mapOrLeaf();
    this.#depth--;
    return value;
  }

  #list(): YamlList {
    const column = this.#column;
    const place = this.#place;
    const items: YamlValue[] = [];
    do {
      this.#at++;
      this.#spaces();
      items.push(this.#isLineEnd() ? this.#below(column, false) : this.#block());
    } while (!this.#isEnd && this.#column === column && this.#isDash());
    this.#endBlock(column);
    return { kind: 'list', items, place };
  }

  #mapOrLeaf(): YamlValue {
    const column = this.#column;
    const first = this.#isBracket() ? undefined : this.#scalar(BLOCK_PLAIN);
    if (first && this.#isColon()) return this.#map(column, first);
    const value = first ? valueOf(first) : this.#flow(column - 1);
    this.#endLine();
    return value;
  }

  #map(column: number, first: Scalar): YamlMap {
    const entries: YamlEntry[] = [];
    const keys = new Set<string>();
    let key = first;
    for (;;) {
      if (!this.#isColon() || keys.has(key.text) || key.text.length > LONGEST_KEY) {
        throw new NotPlain();
      }
      keys.add(key.text);
      this.#at++;
      entries.push({ key: key.text, place: key.place, value: this.#valueInMap(column) });
      if (this.#isEnd || this.#column !== column) break;
      key = this.#scalar(BLOCK_PLAIN);
    }
    this.#endBlock(column);
    return { kind: 'map', entries, place: first.place };
  }

  #valueInMap(column: number): YamlValue {
    this.#spaces();
    if (this.#isLineEnd()) return this.#below(column, true);
    const value = this.#isBracket() ? this.#flow(column) : valueOf(this.#scalar(BLOCK_PLAIN));
    this.#endLine();
    return value;
  }

  /** What is below its key or dash at `column`: deeper than that, but for a list in a map. */
  #below(column: number, inMap: boolean): YamlValue {
    this.#endLine();
    const least = inMap && this.#isDash() ? column : column + 1;
    if (this.#isEnd || this.#column < least) throw new NotPlain();
    const value = this.#block();
    // The library sees several lines in a scalar that has a comment such as #this above it.
    if (value.kind === 'text' || value.kind === 'nothing') throw new NotPlain();
    return value;
  }

  /** What is deeper than the block that has ended here would belong to a scalar of several lines. */
  #endBlock(column: number): void {
    if (!this.#isEnd && this.#column > column) throw new NotPlain();
  }

  /** `outside`: the column of the block that it is in. Its lines must be further in. */
  #flow(outside: number): YamlValue {
    if (!this.#isBracket()) return valueOf(this.#scalar(FLOW_PLAIN));
    if (++this.#depth > DEEPEST) throw new NotPlain();
    const place = this.#place;
    const close = this.#text[this.#at++] === '[' ? ']' : '}';
    const items: YamlValue[] = [];
    const entries: YamlEntry[] = [];
    const keys = new Set<string>();
    this.#flowSpace(outside);
    while (this.#text[this.#at] !== close) {
      if (close === ']') items.push(this.#flow(outside));
      else {
        const { text: key, place: keyPlace } = this.#scalar(FLOW_PLAIN);
        if (!this.#isColon() || keys.has(key) || key.length > LONGEST_KEY) throw new NotPlain();
        keys.add(key);
        this.#at++;
        this.#flowSpace(outside);
        entries.push({ key, place: keyPlace, value: this.#flow(outside) });
      }
      this.#flowSpace(outside);
      if (this.#text[this.#at] === ',') {
        this.#at++;
        this.#flowSpace(outside);
      } else if (this.#text[this.#at] !== close) throw new NotPlain();
    }
    this.#at++;
    this.#depth--;
    return close === ']' ? { kind: 'list', items, place } : { kind: 'map', entries, place };
  }

  #flowSpace(outside: number): void {
    this.#spaces();
    if (!this.#isLineEnd()) return;
    this.#endLine();
    if (this.#isEnd || this.#column <= outside) throw new NotPlain();
  }

  #scalar(plain: RegExp): Scalar {
    const place = this.#place;
    switch (this.#text[this.#at]) {
      case '"': {
        const text = this.#match(DOUBLE_QUOTED, 1).replaceAll(/\\(.)/g, '$1');
        return { text, plain: false, place };
      }
      case "'":
        return {
          text: this.#match(SINGLE_QUOTED, 1).replaceAll("''", "'"),
          plain: false,
          place,
        };
      default:
        return { text: this.#match(plain, 0), plain: true, place };
    }
  }

  #match(expression: RegExp, group: number): string {
    expression.lastIndex = this.#at;
    const text = expression.exec(this.#text)?.[group];
    if (text === undefined) throw new NotPlain();
    this.#at = expression.lastIndex;
    return text;
  }

  /** Ends a line that holds nothing more, and goes to what comes next. */
  #endLine(): void {
    this.#spaces();
    if (!this.#isLineEnd()) throw new NotPlain();
    this.#nextContent();
  }

  /** Goes over spaces, comments and line breaks. */
  #nextContent(): void {
    for (;;) {
      this.#spaces();
      if (this.#text[this.#at] === '#') {
        const end = this.#text.indexOf('\n', this.#at);
        this.#at = end === -1 ? this.#text.length : end;
      }
      if (this.#text[this.#at] !== '\n') return;
      this.#at++;
      this.#line++;
      this.#lineStart = this.#at;
    }
  }

  #spaces(): void {
    while (this.#text[this.#at] === ' ') this.#at++;
  }

  /** A comment needs a space before it. */
  #isLineEnd(): boolean {
    const next = this.#text[this.#at];
    if (next === '#') return this.#column === 0 || this.#text[this.#at - 1] === ' ';
    return next === '\n' || next === undefined;
  }

  #isBracket(): boolean {
    const next = this.#text[this.#at];
    return next === '[' || next === '{';
  }

  #isDash(): boolean {
    return this.#text[this.#at] === '-' && this.#isBlankAt(this.#at + 1);
  }

  #isColon(): boolean {
    return this.#text[this.#at] === ':' && this.#isBlankAt(this.#at + 1);
  }

  #isBlankAt(at: number): boolean {
    const next = this.#text[at];
    return next === ' ' || next === '\n' || next === undefined;
  }
}

function valueOf({ text, plain, place }: Scalar): YamlValue {
  return scalarValue(text, plain, place);
}
