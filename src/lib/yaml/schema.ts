/**
 * Schemas for YAML documents: each reads one value, reports every mistake at its place, and has the
 * type of what it reads. `undefined` from `read` means that a mistake was reported.
 */
import type { YamlEntry, YamlValue } from './yaml-tree.js';
import { type Place, type Problem, quote, didYouMean } from './problem.js';
import type { TextType } from './text-types.js';

export interface Schema<T> {
  /** What may be written, for messages. */
  readonly allowed: string;
  /** What it is made of, for programs that describe it. */
  readonly shape: Shape;
  read(value: YamlValue, reader: Reader): T | undefined;
}

export type Shape =
  | { readonly kind: 'text'; readonly type: TextType<unknown> }
  | {
      readonly kind: 'list';
      readonly item: Schema<unknown>;
      readonly least: number;
      readonly most?: number;
    }
  | {
      readonly kind: 'record';
      readonly key: TextType<string>;
      readonly item: Schema<unknown>;
      readonly most?: number;
    }
  | {
      readonly kind: 'object';
      readonly name: string;
      readonly fields: Fields;
      readonly needsOneOf: readonly string[];
      readonly because: string;
      readonly admission: readonly AdmissionRule[];
    }
  | { readonly kind: 'either'; readonly of: readonly Schema<unknown>[] }
  /** Text, a number, true or false; `nothing`: or null. */
  | { readonly kind: 'scalar'; readonly nothing: boolean }
  /** A list or map of which nothing more is said. */
  | { readonly kind: 'any list' | 'any map' };

/** Gathers mistakes and remembers where each object and each of its fields was written. */
export class Reader {
  readonly problems: Problem[] = [];
  readonly #places = new WeakMap<object, { own: Place; fields: ReadonlyMap<string, Place> }>();
  /** The directory against which relative paths are resolved. */
  readonly base: string;

  constructor(base: string) {
    this.base = base;
  }

  refuse(place: Place, message: string): undefined {
    this.problems.push({ place, message });
  }

  remember(read: object, own: Place, fields: ReadonlyMap<string, Place>): void {
    this.#places.set(read, { own, fields });
  }

  /** Where something that a schema read was written. */
  placeOf(read: object): Place | undefined {
    return this.#places.get(read)?.own;
  }

  /** Whether a field has a value in something that a schema read, be it wrong. */
  wasGiven(read: object, field: string): boolean {
    return this.#places.get(read)?.fields.has(field) ?? false;
  }

  /** Reports a mistake at a field of something that a schema read, or at the thing itself. */
  refuseAt(read: object, field: string | undefined, message: string): void {
    const places = this.#places.get(read);
    const place = (field === undefined ? undefined : places?.fields.get(field)) ?? places?.own;
    this.refuse(place ?? { source: 'document' }, message);
  }
}

export function text<T>(type: TextType<T>): Schema<T> {
  return {
    allowed: type.allowed,
    shape: { kind: 'text', type },
    read(value, reader) {
      const parsed = value.kind === 'text' ? type.parse(value.text, reader.base) : undefined;
      if (parsed !== undefined) return parsed;
      const near =
        value.kind === 'text' && type.choices ? didYouMean(value.text, type.choices) : '';
      return reader.refuse(value.place, `${describe(value)} is not ${type.allowed}${near}`);
    },
  };
}

/** A list; items with mistakes are left out of what is read. One that is too long is not read at all. */
export function list<T>(
  item: Schema<T>,
  options: { readonly least?: number; readonly most?: number } = {},
): Schema<readonly T[]> {
  const { least = 0, most } = options;
  const bounds = [
    ...(least > 0 ? [`at least ${least}`] : []),
    ...(most === undefined ? [] : [`at most ${most}`]),
  ].join(' and ');
  const allowed = `a list${bounds === '' ? '' : ` of ${bounds}`}, each ${item.allowed}`;
  return {
    allowed,
    shape: { kind: 'list', item, least, ...(most === undefined ? {} : { most }) },
    read(value, reader) {
      if (value.kind !== 'list' || value.items.length < least) {
        return reader.refuse(value.place, `${describe(value)} is not ${allowed}`);
      }
      if (most !== undefined && value.items.length > most) {
        return reader.refuse(
          value.place,
          `${value.items.length} entries are too many: at most ${most} are allowed`,
        );
      }
      return value.items.flatMap((entry) => {
        const read = item.read(entry, reader);
        return read === undefined ? [] : [read];
      });
    },
  };
}

/** Names of any kind, each with a value. One with too many is not read at all. */
export function record<T>(
  key: TextType<string>,
  item: Schema<T>,
  { most }: { readonly most?: number } = {},
): Schema<ReadonlyMap<string, T>> {
  const allowed = `names (${key.allowed}) with values, each ${item.allowed}`;
  return {
    allowed,
    shape: { kind: 'record', key, item, ...(most === undefined ? {} : { most }) },
    read(value, reader) {
      if (value.kind !== 'map') {
        return reader.refuse(value.place, `${describe(value)} is not ${allowed}`);
      }
      if (most !== undefined && value.entries.length > most) {
        return reader.refuse(
          value.place,
          `${value.entries.length} entries are too many: at most ${most} are allowed`,
        );
      }
      const read = new Map<string, T>();
      const places = new Map<string, Place>();
      for (const entry of value.entries) {
        const name = key.parse(entry.key, reader.base);
        if (name === undefined) {
          const near = key.choices ? didYouMean(entry.key, key.choices) : '';
          reader.refuse(entry.place, `${quote(entry.key)} is not ${key.allowed}${near}`);
        }
        const parsed = item.read(entry.value, reader);
        if (name === undefined || parsed === undefined) continue;
        read.set(name, parsed);
        places.set(name, entry.place);
      }
      reader.remember(read, value.place, places);
      return read;
    },
  };
}

/** One field of an object. */
export interface Field<T> {
  readonly schema: Schema<unknown>;
  readonly required: boolean;
  readonly fallback: T | undefined;
  /** What it is for, for people who write it. */
  readonly about?: string;
}

/** `standIn` takes its place when it is missing or wrong, so that the rest can still be checked. */
export function required<T>(schema: Schema<T>, standIn?: T): Field<T> {
  return { schema, required: true, fallback: standIn };
}

export function optional<T>(schema: Schema<T>): Field<T | undefined> {
  return { schema, required: false, fallback: undefined };
}

export function withDefault<T>(schema: Schema<T>, fallback: T): Field<T> {
  return { schema, required: false, fallback };
}

/** The same field with what it is for. */
export function about<T>(what: string, field: Field<T>): Field<T> {
  return { ...field, about: what };
}

export interface Fields {
  readonly [name: string]: Field<unknown>;
}

export type ObjectOf<F extends Fields> = {
  readonly [Name in keyof F]: F[Name] extends Field<infer T> ? T : never;
};

export type TypeOf<S> = S extends Schema<infer T> ? T : never;

/**
 * What an API server checks besides, in CEL
 * (https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules).
 * It repeats what whoever reads the document checks as well.
 */
export interface AdmissionRule {
  readonly rule: string;
  /** On one line. */
  readonly message: string;
}

export interface ObjectOptions<F> {
  /** Fields, each a list, of which at least one must not be empty. */
  readonly needsOneOf?: readonly (keyof F & string)[];
  /** Put behind what is said when all of these are empty. */
  readonly because?: string;
  readonly admission?: readonly AdmissionRule[];
}

/** Of one object: what holds more is something else, and nobody reads about each. */
const MOST_UNKNOWN_FIELDS = 20;

/** An object with exactly these fields; `name` says what it is: `an issuer`. */
export function object<F extends Fields>(
  name: string,
  fields: F,
  { needsOneOf = [], because = '', admission = [] }: ObjectOptions<F> = {},
): Schema<ObjectOf<F>> {
  const names = Object.keys(fields);
  return {
    allowed: `${name} with ${names.join(', ')}`,
    shape: { kind: 'object', name, fields, needsOneOf, because, admission },
    read(value, reader) {
      if (value.kind !== 'map') {
        return reader.refuse(
          value.place,
          `${describe(value)} is not ${name}; allowed: ${names.join(', ')}`,
        );
      }
      const places = new Map<string, Place>();
      const read: Record<string, unknown> = {};
      let unknown = 0;
      for (const entry of value.entries) {
        const field = Object.hasOwn(fields, entry.key) ? fields[entry.key] : undefined;
        if (!field) {
          if (++unknown > MOST_UNKNOWN_FIELDS) continue;
          const hint = didYouMean(entry.key, names) || `; allowed: ${names.join(', ')}`;
          reader.refuse(entry.place, `${quote(entry.key)} is no field of ${name}${hint}`);
          continue;
        }
        if (entry.value.kind === 'nothing') continue;
        places.set(entry.key, entry.place);
        read[entry.key] = field.schema.read(entry.value, reader);
      }
      if (unknown > MOST_UNKNOWN_FIELDS) {
        reader.refuse(
          value.place,
          `${name} has ${unknown} fields that are not known; allowed: ${names.join(', ')}`,
        );
      }
      let complete = true;
      for (const [key, field] of Object.entries(fields)) {
        if (field.required && read[key] === undefined) {
          complete &&= field.fallback !== undefined;
          if (!places.has(key)) {
            reader.refuse(value.place, `${name} needs ${quote(key)}: ${field.schema.allowed}`);
          }
        }
        read[key] ??= field.fallback;
      }
      if (needsOneOf.length > 0 && !value.entries.some((entry) => holds(entry, needsOneOf))) {
        reader.refuse(value.place, `${name} needs ${oneOf(needsOneOf)}${because}`);
      }
      if (!complete) return undefined;
      reader.remember(read, value.place, places);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each field was read by its own schema
      return read as ObjectOf<F>;
    },
  };
}

function holds({ key, value }: YamlEntry, names: readonly string[]): boolean {
  if (!names.includes(key) || value.kind === 'nothing') return false;
  return value.kind !== 'list' || value.items.length > 0;
}

/** `a, b or c`. */
export function oneOf(names: readonly string[]): string {
  return names.join(', ').replace(/, ([^,]*)$/, ' or $1');
}

/** What somebody wrote instead of what is allowed, for messages. */
export function describe(value: YamlValue): string {
  switch (value.kind) {
    case 'text':
      return quote(value.text);
    case 'list':
      return value.items.length === 0 ? 'an empty list' : 'a list';
    case 'map':
      return 'a map';
    case 'nothing':
      return 'an empty value';
  }
}
